"""Search for sets of images that agree, and acceptance of those that chance does not explain.

Candidates grow on the bands that neither the JPEG grid nor lines of processing reach. The best
is accepted as a shared pattern if it passes two tests, its images are taken out, and the search
goes on until nothing is left:

- *chance*: were all correlations independent and normal, sets this cohesive would be found
  anywhere among all subsets of their size with less than a stated probability (union bound);
- *signs*: real correlations have heavier tails than that. Noise is as likely as its negative, so
  the same search is repeated with the sign of every image drawn at random, which leaves
  everything in place but what images truly share. The candidate must beat all repeats by a margin.

When nothing more is found so, candidates grow on the grid and lines alone, where upsampling leaves
much of its pattern. Photographs of one history share those too, so such a set is accepted only if
its images agree off the grid, on bands that had no part in choosing them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import chdtrc, gammaln

from noisescope_core.config import Config
from noisescope_core.whitened.candidates import pair_clusters, spectral_directions
from noisescope_core.whitened.correlations import BandGroup, Correlations, side_by_side
from noisescope_core.whitened.growth import (
    band_scores,
    combined,
    grow,
    learned_weights,
    reference_bar,
)
from noisescope_core.whitened.planes.bands import PLANES
from noisescope_core.whitened.planes.duplicates import DUPLICATE_CORRELATION

SURE_COHESION = 8.0
"""Cohesion from which repeats with drawn signs wait until the search tells what chance reaches."""

CLEAR_TIMES = 3.0
"""Times the best of what is left in the end at which they are not needed."""

TO_ONE_OPPOSITE = 4
"""Members of a set to one image with its negative at which they are not needed."""

GRID_SET_CHANCE = 1e-12
"""Chance that a set chosen on the grid agrees off it as much, were noise independent and normal."""

LEAST_ALIVE = 10


@dataclass(frozen=True)
class Acceptance:
    """What a set of images must pass to be more than chance.

    Attributes
    ----------
    chance : of accepting a set of a given size among independent, normal correlations
    margin : by which its cohesion must exceed that of every repeat with drawn signs
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
"""Those of the default method."""


def acceptance_of(config: Config) -> Acceptance:
    """Take the bars out of a configuration."""
    limits = config.discovery
    return Acceptance(limits.chance, limits.margin, limits.repeats, limits.members, config.seed)


@dataclass(frozen=True)
class SharedSet:
    """A set of tested images that agree, and whether chance explains it.

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


def shared_sets(
    correlations: Correlations,
    bars: Acceptance = DEFAULT_ACCEPTANCE,
    note: Callable[[str], None] = lambda text: None,
) -> list[SharedSet]:
    """Search for sets of images that agree: `discover` without its last step.

    Returns
    -------
    list of SharedSet
        Those accepted, in the order in which they were found, no image in two of them; then those
        that drawn signs explain and the best of what was left, which were not accepted.
    """
    alive = correlations.counted.copy()
    found: list[tuple[SharedSet, NDArray[np.bool_]]] = []
    left: list[SharedSet] = []
    reached = np.inf
    while alive.sum() > max(bars.least, LEAST_ALIVE):
        one = _found_off_grid(correlations, alive, bars, note)
        if one is None or not one.accepted:
            rejected, reached = one, max([one.cohesion, *one.repeats]) if one else 0.0
            one = _found_on_grid(correlations, alive, bars)
            if one is None or not one.accepted:
                left = [last for last in (rejected, one) if last]
                break
        found.append((one, alive.copy()))
        alive &= ~one.members
        note(f"{len(found)} found, {int(alive.sum()):,} images left")
    sets = _confirmed(correlations, found, reached, bars, note)
    return sorted(sets, key=lambda one: not one.accepted) + left


def _confirmed(
    correlations: Correlations,
    found: list[tuple[SharedSet, NDArray[np.bool_]]],
    reached: float,
    bars: Acceptance,
    note: Callable[[str], None],
) -> list[SharedSet]:
    """Repeat with signs drawn what was taken without, unless it is clear of all that is left."""
    sets = []
    explained = np.zeros_like(correlations.counted)
    for one, searched in found:
        if one.off_grid and explained.any():
            # What was found once a chance set was out must hold with it in.
            searched = searched | explained
            value = measured(correlations, one, one.members, int(searched.sum()), bars.chance)
            one = _repeated(correlations, replace(one, cohesion=value), searched, bars, note)
        elif (
            one.off_grid
            and not one.repeats
            and (one.cohesion < CLEAR_TIMES * reached or _has_opposite(correlations, one))
        ):
            one = _repeated(correlations, one, searched, bars, note)
        if not one.accepted:
            explained |= one.members
        sets.append(one)
    return sets


def _found_off_grid(
    correlations: Correlations,
    alive: NDArray[np.bool_],
    bars: Acceptance,
    note: Callable[[str], None] = lambda text: None,
) -> SharedSet | None:
    members, value = _most_cohesive(correlations.off_grid, alive, bars)
    if members is None:
        return None
    one = SharedSet(members, value, [], True, value >= 1)
    if not one.accepted or value >= SURE_COHESION:
        return one
    return _repeated(correlations, one, alive, bars, note)


def _repeated(
    correlations: Correlations,
    one: SharedSet,
    alive: NDArray[np.bool_],
    bars: Acceptance,
    note: Callable[[str], None],
) -> SharedSet:
    """Repeat the search that found a set with signs drawn, until one repeat comes near it."""
    chances: list[float] = []
    accepted = True
    while accepted and len(chances) < bars.repeats:
        note(
            f"a set of {one.members.sum():,} is held against drawn signs, "
            f"{len(chances) + 1} of {bars.repeats}"
        )
        signed = correlations.off_grid.with_signs(np.random.default_rng((bars.seed, len(chances))))
        chances.append(_most_cohesive(signed, alive, bars)[1])
        accepted = one.cohesion >= bars.margin * chances[-1]
    return replace(one, repeats=chances, accepted=accepted)


def _has_opposite(correlations: Correlations, one: SharedSet) -> bool:
    """Whether many images carry the negative of a set's pattern, as no generator's do."""
    products, column = correlations.off_grid.products, one.members[:, None]
    scores = band_scores(products, column)
    total = -combined(scores, *learned_weights(scores, column, correlations.off_grid.shares))
    opposite = total[: correlations.tested] > reference_bar(total[correlations.tested :])
    return bool(opposite[correlations.counted].sum() * TO_ONE_OPPOSITE > one.members.sum())


def _most_cohesive(
    search: BandGroup, alive: NDArray[np.bool_], bars: Acceptance
) -> tuple[NDArray[np.bool_] | None, float]:
    grown = _candidates(search, alive, bars.least)
    if not grown.shape[1]:
        return None, 0.0
    values = cohesion(search, grown, int(alive.sum()), bars.chance)
    # Cohesion grows with the size, so the most cohesive is also the most complete.
    number = int(np.argmax(values))
    return grown[:, number], float(values[number])


def _found_on_grid(
    correlations: Correlations, alive: NDArray[np.bool_], bars: Acceptance
) -> SharedSet | None:
    grown = _candidates(correlations.on_grid, alive, bars.least)
    if not grown.shape[1]:
        return None
    columns = grown.astype(np.float32)
    bound = _bound_of_one_set(correlations.off_grid)
    values = _excess(correlations.off_grid, columns) / bound
    number = int(np.argmax(values))
    chances = []
    for repeat in range(bars.repeats):
        rng = np.random.default_rng((bars.seed, repeat))
        signs = rng.choice(np.array([-1, 1], np.float32), len(columns))
        chances.append(
            float(_excess(correlations.off_grid, columns * signs[:, None]).max()) / bound
        )
    value = float(values[number])
    accepted = value >= max(1, bars.margin * max(chances, default=0))
    return SharedSet(grown[:, number], value, chances, False, accepted)


def _candidates(search: BandGroup, alive: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    rows = np.flatnonzero(alive)
    starts: list[NDArray[np.intp]] = []
    together = search.views[0][np.ix_(rows, rows)] / np.float32(len(PLANES))
    # A pair beyond any fingerprint's strength is one picture twice: no reason to merge.
    together[together >= 0.99 * DUPLICATE_CORRELATION] = 0
    starts += [rows[cluster] for cluster in pair_clusters(together, search.scale)]
    tested = len(alive)
    joint = np.concatenate([rows, np.arange(tested, len(search.views[0]))])
    for directions in side_by_side(
        lambda view: spectral_directions(view[joint][:, joint], len(rows)), search.views
    ):
        starts += [rows[seed] for seed in directions]
    seeds = np.zeros((tested, len(starts)), bool)
    for column, start in enumerate(starts):
        seeds[start, column] = True
    products = search.products
    if len(rows) < tested:
        met = np.concatenate([rows, np.arange(tested, products.shape[1])])
        products = np.stack([matrix[met][:, rows] for matrix in products])
    grown = grow(products, seeds[rows], search.shares)
    grown = grown[:, grown.sum(0) >= least]
    found = np.zeros((tested, grown.shape[1]), bool)
    found[rows] = grown
    return found


def cohesion(
    search: BandGroup, members: NDArray[np.bool_], alive: int, chance: float
) -> NDArray[np.float64]:
    """Say how far sets exceed what chance allows.

    The mean correlation within a set is standardised band by band; for a given set of unrelated
    images the sum of the squares is at most chi-square. The bound is its value at `chance` over
    the number of subsets of that size.

    Parameters
    ----------
    members : (t, k) bool
    alive : int
        Images that sets were chosen from.
    chance : float
        Of finding any set of a given size beyond 1 among unrelated images.

    Returns
    -------
    (k,) float64
        The sum over its bound.
    """
    sizes = members.sum(0)
    freedom = len(search.products)
    bounds = {size: excess_bound(alive, int(size), freedom, chance) for size in np.unique(sizes)}
    excess = _excess(search, members.astype(np.float32))
    return np.asarray(excess / np.array([bounds[size] for size in sizes]), np.float64)


def measured(
    correlations: Correlations,
    one: SharedSet,
    members: NDArray[np.bool_],
    alive: int,
    chance: float,
) -> float:
    """Cohesion of these members, out of so many images, as that of the set is measured."""
    column, search = members[:, None], correlations.off_grid
    if one.off_grid:
        return float(cohesion(search, column, alive, chance)[0])
    return float(_excess(search, column.astype(np.float32))[0]) / _bound_of_one_set(search)


def _excess(search: BandGroup, columns: NDArray[np.float32]) -> NDArray[np.float64]:
    # Columns of 0 and 1, or with signs drawn -1 and 1.
    tested = len(columns)
    sizes = np.abs(columns).sum(0)
    pairs = sizes * (sizes - 1) / 2
    signed = bool((columns < 0).any())
    excess = np.zeros(columns.shape[1])
    for matrix, centre, spread in zip(search.products, search.centre, search.spread, strict=True):
        within = ((matrix[:tested] @ columns) * columns).sum(0) / 2 / pairs
        z = (within - (0 if signed else centre)) / spread * np.sqrt(pairs)
        excess += np.maximum(z, 0) ** 2
    return excess


def _bound_of_one_set(search: BandGroup) -> float:
    # Sets that were not chosen in this search: no subsets to allow for.
    return excess_bound(1, 1, len(search.products), GRID_SET_CHANCE)


def excess_bound(images: int, size: int, freedom: int, chance: float) -> float:
    """Chi-square value that any subset of `size` of `images` exceeds with at most `chance`."""
    subsets = gammaln(images + 1) - gammaln(size + 1) - gammaln(images - size + 1)
    target = np.log(chance) - subsets

    def missing(value: float) -> float:
        tail = chdtrc(freedom, value)
        if tail > 0:
            log_tail = np.log(tail)
        else:
            # Beyond the smallest double the tail is exp(-x / 2) and a power.
            half = freedom / 2
            log_tail = -value / 2 + (half - 1) * np.log(value / 2) - gammaln(half)
        return float(log_tail - target)

    return float(brentq(missing, freedom, 10 * (freedom - target)))
