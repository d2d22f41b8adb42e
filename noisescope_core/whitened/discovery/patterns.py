"""Discovery of generators without an example (docs/method.md, steps 4 to 8).

In come the `Correlations` of one size's images, out come `SharedPattern`s. The sets of images that
agree beyond chance (`acceptance.shared_sets`) are refined over all bands, cut where they hold the
patterns of two generators (`splitting.split`), and each image goes to the pattern that it fits
best.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from noisescope_core.method import Note, say_nothing
from noisescope_core.whitened.discovery.acceptance import (
    DEFAULT_ACCEPTANCE,
    Acceptance,
    SharedSet,
    measured_cohesion,
    shared_sets,
)
from noisescope_core.whitened.discovery.confidence import Bar, fit_bar
from noisescope_core.whitened.discovery.correlations import Correlations
from noisescope_core.whitened.discovery.growth import (
    band_scores,
    combined,
    learned_weights,
    without_absent,
)
from noisescope_core.whitened.discovery.splitting import split
from noisescope_core.whitened.planes.bands import BANDS, OFF_GRID

SETTLING_ROUNDS = 8
"""Times that members are chosen again over some bands, at most. Chosen: it
bounds the time of sets that go in a circle."""

ASSIGNMENT_ROUNDS = 3
"""Times that images are dealt out to the patterns, unless one is still dropped. Chosen: what moves
after that lies between two patterns."""

FEW_ADDED, FEW_ADDED_SHARE = 5, 0.2
"""Images that grid and lines may bring into a set unchecked: so many, or that share of the set.
Chosen: so few cannot carry a set away."""

CARRIED_OFF_GRID = 0.25
"""Mean score off the grid, over that of the set, which images need that grid and lines bring in.
Chosen: a generator's images have some of its pattern in every band, photographs of one history
have none."""

GROWTH_STEPS = (
    "as the search found them",
    "each image tested for itself, off the JPEG grid",
    "over all frequencies, and cut where two patterns were in it",
    "each image with the pattern that it fits best",
)
"""Names of the steps from a set of the search to the members of a pattern, in order."""


@dataclass(frozen=True)
class SharedPattern:
    """A set of images that share a pattern, and how an image is tested against it.

    This is what becomes a fingerprint. `acceptance.SharedSet` is the set as the search found it.

    Attributes
    ----------
    members : row numbers of tested images, ascending
    weights, centre : (33,) float, of the bands; 0 for bands left out
    bar : how scores are read
    cohesion : how many times the excess that chance allows
    repeats : the same of the best sets found with drawn signs
    off_grid : whether the grid and lines had to be left out
    in_reference : share of the held-out reference images above the threshold, 0..1
    agreement, error : (33,) float, mean correlation of two members by band, and its standard
        error if they were unrelated
    growth : row numbers of its images after every step of `GROWTH_STEPS`
    """

    members: NDArray[np.intp]
    weights: NDArray[np.float64]
    centre: NDArray[np.float64]
    bar: Bar
    cohesion: float
    repeats: list[float] = field(default_factory=list)
    off_grid: bool = False
    in_reference: float = 0.0
    agreement: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(BANDS)))
    error: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(BANDS)))
    growth: list[NDArray[np.intp]] = field(default_factory=list)


@dataclass(frozen=True)
class _Refined:
    """A set on its way to a pattern.

    Attributes
    ----------
    members : (t,) bool
    bands : (33,) bool, over which it is tested
    shared : the set of the search that it comes from
    steps : (t,) bool after every step of `GROWTH_STEPS` so far
    """

    members: NDArray[np.bool_]
    bands: NDArray[np.bool_]
    shared: SharedSet
    steps: tuple[NDArray[np.bool_], ...]


@dataclass(frozen=True)
class _Tested:
    """All images tested against a set.

    Attributes
    ----------
    bar : Bar
    z : (t + r,) float64, standardised scores of the tested and held-out reference images
    weights, centre : (33,) float64, 0 for bands left out
    """

    bar: Bar
    z: NDArray[np.float64]
    weights: NDArray[np.float64]
    centre: NDArray[np.float64]


def discover(
    correlations: Correlations,
    acceptance: Acceptance = DEFAULT_ACCEPTANCE,
    note: Note = say_nothing,
) -> list[SharedPattern]:
    """Find the patterns that tested images share and reference images lack.

    Parameters
    ----------
    correlations : Correlations, from `correlations.arrange`
    acceptance : Acceptance
        What a set must pass.
    note : callable
        Takes sentences on what is going on.

    Returns
    -------
    list of SharedPattern
        The largest first. No image is in two of them.
    """
    searched = shared_sets(correlations, acceptance, note)
    accepted = [shared for shared in searched if shared.accepted]
    return patterns_of(correlations, accepted, acceptance)


def patterns_of(
    correlations: Correlations, accepted: list[SharedSet], acceptance: Acceptance
) -> list[SharedPattern]:
    """Refine accepted sets: `discover` without the search.

    Parameters
    ----------
    accepted : list of SharedSet
    correlations, acceptance : as for `discover`

    Returns
    -------
    list of SharedPattern
        As of `discover`.
    """
    sets = _refined(correlations, accepted, acceptance)
    if not sets:
        return []
    unrelated = correlations.whole[:, correlations.tested :].std((1, 2), dtype=np.float64)
    patterns = [
        replace(
            pattern,
            agreement=_agreement(correlations, pattern.members),
            error=unrelated / np.sqrt(_pairs(correlations, pattern.members) / 2),
        )
        for pattern in _dealt_out(correlations, sets, acceptance.least)
    ]
    return sorted(patterns, key=lambda pattern: (-len(pattern.members), pattern.members[0]))


def _refined(
    correlations: Correlations, accepted: list[SharedSet], acceptance: Acceptance
) -> list[_Refined]:
    """Test every image for itself, first off the grid, then over all bands; cut what holds two."""
    refined = []
    all_bands = np.ones(len(BANDS), bool)
    alive, least = int(correlations.counted.sum()), acceptance.least
    for shared in accepted:
        off, z = _settle(correlations, shared.members, OFF_GRID, least)
        whole, _ = _settle(correlations, off, all_bands, least)
        added = whole & ~off
        # Images that only the grid or lines bring in must carry the pattern off them too.
        few = added.sum() <= max(FEW_ADDED, FEW_ADDED_SHARE * off.sum())
        carried = few or z[added].mean() > CARRIED_OFF_GRID * z[off].mean()
        settled = whole if carried else off
        # What chance picked together falls apart where every image is tested for itself.
        value = measured_cohesion(correlations, shared, settled, alive, acceptance.chance)
        if value < max([1, *shared.repeats]):
            continue
        bands = all_bands if carried else OFF_GRID
        refined += [
            _Refined(piece, bands, shared, (shared.members, off, piece))
            for piece in _pieces(correlations, settled, least)
        ]
    return refined


def _dealt_out(correlations: Correlations, sets: list[_Refined], least: int) -> list[SharedPattern]:
    """Deal the images out to the patterns that they fit best, until nothing moves."""
    rounds = 0
    while True:
        tested = [_tested(correlations, refined.members, refined.bands) for refined in sets]
        best = best_fit([scores.bar.fit(scores.z[: correlations.tested]) for scores in tested])
        assigned = [(best == number) & correlations.counted for number in range(len(sets))]
        kept = [number for number, members in enumerate(assigned) if members.sum() >= least]
        rounds += 1
        same = all((a == b.members).all() for a, b in zip(assigned, sets, strict=True))
        if not kept or same or (rounds >= ASSIGNMENT_ROUNDS and len(kept) == len(sets)):
            return [_pattern(correlations, *pair) for pair in zip(sets, tested, strict=True)]
        # A set that lost its images to others was a part of them.
        sets = [replace(sets[number], members=assigned[number]) for number in kept]


def _pattern(correlations: Correlations, refined: _Refined, tested: _Tested) -> SharedPattern:
    """Make the pattern of a set, but for agreement and error."""
    above = float((tested.z[correlations.tested :] > tested.bar.threshold).mean())
    return SharedPattern(
        np.flatnonzero(refined.members), tested.weights, tested.centre, tested.bar,
        refined.shared.cohesion, refined.shared.repeats, bool((~refined.bands).any()), above,
        growth=[np.flatnonzero(step) for step in (*refined.steps, refined.members)],
    )  # fmt: skip


def _pieces(
    correlations: Correlations, members: NDArray[np.bool_], least: int
) -> list[NDArray[np.bool_]]:
    """Cut a set as often as two patterns are in it; pieces have `least` members or more."""
    column = members[:, None]
    scores = band_scores(correlations.off_grid.products, column)
    weights, _ = learned_weights(scores, column, correlations.shares[OFF_GRID])
    rows = np.flatnonzero(members)
    side = split(correlations.off_grid.products[:, rows][:, :, rows], weights[:, 0])
    if side is None or min(side.sum(), (~side).sum()) < least:
        return [members]
    pieces = []
    for part in (rows[side], rows[~side]):
        half = np.zeros_like(members)
        half[part] = True
        pieces += _pieces(correlations, half, least)
    return pieces


def _agreement(correlations: Correlations, members: NDArray[np.intp]) -> NDArray[np.float64]:
    """Average the correlation of two members, by band: (33,)."""
    within = correlations.whole[:, members][:, :, members].sum((1, 2), dtype=np.float64)
    return np.asarray(within / _pairs(correlations, members), np.float64)


def _pairs(correlations: Correlations, members: NDArray[np.intp]) -> NDArray[np.intp]:
    """Count the pairs of members, in both orders, that have the plane of each band: (33,)."""
    within = correlations.whole[:, members][:, :, members]
    return np.asarray(np.maximum(np.count_nonzero(within, axis=(1, 2)), 1), np.intp)


def best_fit(values: list[NDArray[np.float64]]) -> NDArray[np.intp]:
    """Choose for every image the fingerprint that it fits best, -1 for none.

    Parameters
    ----------
    values : list of (t,) float, one for each fingerprint, from `Bar.fit`

    Examples
    --------
    >>> best_fit([np.array([0.5, -1.0, 0.2]), np.array([0.1, -2.0, 0.3])])
    array([ 0, -1,  1])
    """
    graded = np.stack(values)
    return np.where(graded.max(0) > 0, graded.argmax(0), -1)


def _tested(
    correlations: Correlations, members: NDArray[np.bool_], bands: NDArray[np.bool_]
) -> _Tested:
    """Test all images against a set over some bands."""
    column = members[:, None]
    scores = band_scores(correlations.whole[bands], column)
    weights, centre = np.zeros(len(bands)), np.zeros(len(bands))
    learned, centres = learned_weights(scores, column, correlations.shares[bands])
    weights[bands], centre[bands] = learned[:, 0], centres[:, 0]
    total = combined(scores, learned, centres)[:, 0]
    # Grey reference images keep theirs: the bar stands on what photographs have.
    lacking = np.flatnonzero((scores[:, : correlations.tested] == 0).any(0)[:, 0])
    if len(lacking):
        own = scores[:, lacking, 0]
        by_image = without_absent(learned[:, 0], own == 0, correlations.shares[bands])
        total[lacking] = (by_image * (own - centres)).sum(0)
    tested, reference = total[: correlations.tested], total[correlations.tested :]
    bar = fit_bar(tested, reference, members, correlations.stands_for)
    return _Tested(bar, bar.standardised(total), weights, centre)


def _settle(
    correlations: Correlations,
    members: NDArray[np.bool_],
    bands: NDArray[np.bool_],
    least: int,
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Choose the members again by the bar until they stay: (t,) bool and (t,) their last scores."""
    for _ in range(SETTLING_ROUNDS):
        tested = _tested(correlations, members, bands)
        z = tested.z[: correlations.tested]
        chosen = (z > tested.bar.threshold) & correlations.counted
        if chosen.sum() < least or (chosen == members).all():
            break
        members = chosen
    return members, z
