"""Search for sets of images that agree, and acceptance of those that chance does not explain.

This is step 6 of docs/method.md. In come `Correlations`, out come `SharedSet`s.

Candidates grow on the bands that neither the JPEG grid nor lines of processing reach. The most
cohesive one is accepted as a shared pattern if it passes two tests. Then its images are taken out,
and the search goes on until nothing more is accepted:

- *chance*: were all correlations independent and normal, a set this cohesive would be found
  anywhere among all subsets of its size with less than a stated probability (union bound);
- *signs*: real correlations have heavier tails than that. Noise is as likely as its negative, so
  the same search is repeated with the sign of every image drawn at random, which leaves
  everything in place but what images truly share. The candidate must beat all repeats by a margin.

When nothing more is found so, candidates grow on the grid and lines alone, where upsampling leaves
much of its pattern. Photographs of one history share those too, so such a set is accepted only if
its images agree off the grid, on bands that had no part in choosing them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from noisescope_core.config import Config
from noisescope_core.method import Note, say_nothing
from noisescope_core.whitened.discovery.candidates import pair_clusters, spectral_directions
from noisescope_core.whitened.discovery.cohesion import bound_of_one_set, cohesion, excess
from noisescope_core.whitened.discovery.correlations import BandGroup, Correlations, side_by_side
from noisescope_core.whitened.discovery.growth import (
    band_scores,
    combined,
    grow,
    learned_weights,
    reference_bar,
)
from noisescope_core.whitened.planes.bands import PLANES
from noisescope_core.whitened.planes.duplicates import DUPLICATE_CORRELATION

SURE_COHESION = 8.0
"""Cohesion from which drawn signs wait until the end of the search, which tells what chance
reaches in this pile. Chosen: each repeat costs as much as the search itself."""

CLEAR_TIMES = 3.0
"""A sure set needs no drawn signs if it is so many times as cohesive as the best that is left in
the end. Chosen, to be well above `Acceptance.margin`."""

TO_ONE_OPPOSITE = 4
"""A sure set needs no drawn signs if it has more than so many members to one image with the
negative of its pattern. Chosen: no generator makes negatives, but resized edges come with either
sign."""

LEAST_ALIVE = 10
"""With so many images or fewer left, the search ends. Chosen: fewer tell nothing of chance."""

SAME_PICTURE = 0.99 * DUPLICATE_CORRELATION
"""Correlation of a pair, -1..1, from which it is no reason to merge: `correlations` cuts stronger
ones at `DUPLICATE_CORRELATION`, up to rounding."""


@dataclass(frozen=True)
class Acceptance:
    """What a set of images must pass to be more than chance.

    The values are those of `conf/default.yaml`, section `discovery`.

    Attributes
    ----------
    chance : of accepting a set of a given size among independent, normal correlations, 0..1
    margin : by which its cohesion must exceed that of every repeat with drawn signs, at least 1
    repeats : number of these
    least : images in the smallest set
    seed : of the signs
    """

    chance: float = 0.01
    margin: float = 1.3
    repeats: int = 3
    least: int = 5
    seed: int = 0


DEFAULT_ACCEPTANCE = Acceptance()
"""What the default method asks for."""


def acceptance_of(config: Config) -> Acceptance:
    """Take out of a configuration what a set must pass.

    Examples
    --------
    >>> acceptance_of(Config()) == DEFAULT_ACCEPTANCE
    True
    """
    limits = config.discovery
    return Acceptance(limits.chance, limits.margin, limits.repeats, limits.members, config.seed)


@dataclass(frozen=True)
class SharedSet:
    """A set of tested images that agree, and whether chance explains it.

    Its members are rows of one search. `discovery.SharedPattern` is what an accepted set becomes
    once it is refined over all bands and has a bar. `piles.shards.Candidate` is a set that the
    search of one shard found, as it comes back from the table: members by id, without the rest.

    Attributes
    ----------
    members : (t,) bool
    cohesion : how many times the excess that chance allows
    repeats : the same of the best sets found with drawn signs, up to the first that decides
    off_grid : whether it was found off the grid; else cohesion is measured on one set alone
    accepted : whether neither chance nor the repeats explain it
    """

    members: NDArray[np.bool_]
    cohesion: float
    repeats: list[float]
    off_grid: bool
    accepted: bool


@dataclass(frozen=True)
class _Taken:
    """A set that was taken out of the search, and the images that it was found among."""

    shared: SharedSet
    searched: NDArray[np.bool_]


def shared_sets(
    correlations: Correlations,
    acceptance: Acceptance = DEFAULT_ACCEPTANCE,
    note: Note = say_nothing,
) -> list[SharedSet]:
    """Search for sets of images that agree: `discovery.discover` without its last steps.

    Parameters
    ----------
    correlations : Correlations, from `correlations.arrange`
    acceptance : Acceptance
    note : callable
        Takes sentences on what is going on.

    Returns
    -------
    list of SharedSet
        Those accepted, in the order in which they were found, no image in two of them; then those
        that drawn signs explain and the best of what was left, which were not accepted.
    """
    alive = correlations.counted.copy()
    taken: list[_Taken] = []
    refused: list[SharedSet] = []
    reached = np.inf
    while alive.sum() > max(acceptance.least, LEAST_ALIVE):
        shared = _search_off_grid(correlations, alive, acceptance, note)
        if shared is None or not shared.accepted:
            best = shared
            reached = max([best.cohesion, *best.repeats]) if best else 0.0
            shared = _search_on_grid(correlations, alive, acceptance)
            if shared is None or not shared.accepted:
                refused = [last for last in (best, shared) if last]
                break
        taken.append(_Taken(shared, alive.copy()))
        alive &= ~shared.members
        note(f"{len(taken)} found, {int(alive.sum()):,} images left")
    confirmed = _confirmed(correlations, taken, reached, acceptance, note)
    return sorted(confirmed, key=lambda shared: not shared.accepted) + refused


def _confirmed(
    correlations: Correlations,
    taken: list[_Taken],
    reached: float,
    acceptance: Acceptance,
    note: Note,
) -> list[SharedSet]:
    """Repeat with signs drawn what was taken without, unless it is clear of all that is left.

    Parameters
    ----------
    reached : float
        Cohesion of the best that was left in the end, drawn signs included.
    """
    confirmed = []
    explained = np.zeros_like(correlations.counted)
    for find in taken:
        shared, searched = find.shared, find.searched
        if shared.off_grid and explained.any():
            # What was found once a chance set was out must hold with it in.
            searched = searched | explained
            alive = int(searched.sum())
            value = measured_cohesion(
                correlations, shared, shared.members, alive, acceptance.chance
            )
            shared = _repeated(
                correlations, replace(shared, cohesion=value), searched, acceptance, note
            )
        elif (
            shared.off_grid
            and not shared.repeats
            and (
                shared.cohesion < CLEAR_TIMES * reached
                or _has_opposite(correlations, shared.members)
            )
        ):
            shared = _repeated(correlations, shared, searched, acceptance, note)
        if not shared.accepted:
            explained |= shared.members
        confirmed.append(shared)
    return confirmed


def _search_off_grid(
    correlations: Correlations,
    alive: NDArray[np.bool_],
    acceptance: Acceptance,
    note: Note = say_nothing,
) -> SharedSet | None:
    """Find the most cohesive set off the grid; None if no candidate grows to the least size."""
    members, value = _most_cohesive(correlations.off_grid, alive, acceptance)
    if members is None:
        return None
    shared = SharedSet(members, value, [], True, value >= 1)
    if not shared.accepted or value >= SURE_COHESION:
        return shared
    return _repeated(correlations, shared, alive, acceptance, note)


def _repeated(
    correlations: Correlations,
    shared: SharedSet,
    alive: NDArray[np.bool_],
    acceptance: Acceptance,
    note: Note,
) -> SharedSet:
    """Repeat the search that found a set with signs drawn, until one repeat comes near it."""
    repeats: list[float] = []
    accepted = True
    while accepted and len(repeats) < acceptance.repeats:
        note(
            f"a set of {shared.members.sum():,} is held against drawn signs, "
            f"{len(repeats) + 1} of {acceptance.repeats}"
        )
        rng = np.random.default_rng((acceptance.seed, len(repeats)))
        signed = correlations.off_grid.with_signs(rng)
        repeats.append(_most_cohesive(signed, alive, acceptance)[1])
        accepted = shared.cohesion >= acceptance.margin * repeats[-1]
    return replace(shared, repeats=repeats, accepted=accepted)


def _has_opposite(correlations: Correlations, members: NDArray[np.bool_]) -> bool:
    """Say whether many images carry the negative of a set's pattern, as no generator's do."""
    group, column = correlations.off_grid, members[:, None]
    scores = band_scores(group.products, column)
    total = -combined(scores, *learned_weights(scores, column, group.shares))
    opposite = total[: correlations.tested] > reference_bar(total[correlations.tested :])
    return bool(opposite[correlations.counted].sum() * TO_ONE_OPPOSITE > members.sum())


def _most_cohesive(
    group: BandGroup, alive: NDArray[np.bool_], acceptance: Acceptance
) -> tuple[NDArray[np.bool_] | None, float]:
    """Grow all candidates; return the members and the cohesion of the best one."""
    grown = _grown_candidates(group, alive, acceptance.least)
    if not grown.shape[1]:
        return None, 0.0
    values = cohesion(group, grown, int(alive.sum()), acceptance.chance)
    # Cohesion grows with the size, so the most cohesive is also the most complete.
    number = int(np.argmax(values))
    return grown[:, number], float(values[number])


def _search_on_grid(
    correlations: Correlations, alive: NDArray[np.bool_], acceptance: Acceptance
) -> SharedSet | None:
    """Grow candidates on grid and lines; choose and test the best by the bands off them."""
    grown = _grown_candidates(correlations.on_grid, alive, acceptance.least)
    if not grown.shape[1]:
        return None
    columns = grown.astype(np.float32)
    bound = bound_of_one_set(correlations.off_grid)
    values = excess(correlations.off_grid, columns) / bound
    number = int(np.argmax(values))
    repeats = []
    for repeat in range(acceptance.repeats):
        rng = np.random.default_rng((acceptance.seed, repeat))
        signs = rng.choice(np.array([-1, 1], np.float32), len(columns))
        repeats.append(float(excess(correlations.off_grid, columns * signs[:, None]).max()) / bound)
    value = float(values[number])
    accepted = value >= max(1, acceptance.margin * max(repeats, default=0))
    return SharedSet(grown[:, number], value, repeats, False, accepted)


def _grown_candidates(group: BandGroup, alive: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """Grow every candidate among the images alive: (t, k) bool, sets of `least` or more."""
    rows = np.flatnonzero(alive)
    tested = len(alive)
    starts = _starts(group, rows, tested)
    seeds = np.zeros((tested, len(starts)), bool)
    for column, start in enumerate(starts):
        seeds[start, column] = True
    products = group.products
    if len(rows) < tested:
        met = np.concatenate([rows, np.arange(tested, products.shape[1])])
        products = np.stack([matrix[met][:, rows] for matrix in products])
    grown = grow(products, seeds[rows], group.shares)
    grown = grown[:, grown.sum(0) >= least]
    candidates = np.zeros((tested, grown.shape[1]), bool)
    candidates[rows] = grown
    return candidates


def _starts(group: BandGroup, rows: NDArray[np.intp], tested: int) -> list[NDArray[np.intp]]:
    """List the sets that growth starts from: row numbers of pair clusters, then of directions."""
    starts: list[NDArray[np.intp]] = []
    together = group.views[0][np.ix_(rows, rows)] / np.float32(len(PLANES))
    # A pair beyond any fingerprint's strength is one picture twice: no reason to merge.
    together[together >= SAME_PICTURE] = 0
    starts += [rows[cluster] for cluster in pair_clusters(together, group.scale)]
    joint = np.concatenate([rows, np.arange(tested, len(group.views[0]))])
    for directions in side_by_side(
        lambda view: spectral_directions(view[joint][:, joint], len(rows)), group.views
    ):
        starts += [rows[start] for start in directions]
    return starts


def measured_cohesion(
    correlations: Correlations,
    shared: SharedSet,
    members: NDArray[np.bool_],
    alive: int,
    chance: float,
) -> float:
    """Measure the cohesion of some members as that of a shared set was measured.

    Parameters
    ----------
    shared : SharedSet
        Its `off_grid` says how cohesion is measured.
    members : (t,) bool
        Of that set as it is now.
    alive, chance : as for `cohesion`
    """
    column, group = members[:, None], correlations.off_grid
    if shared.off_grid:
        return float(cohesion(group, column, alive, chance)[0])
    return float(excess(group, column.astype(np.float32))[0]) / bound_of_one_set(group)
