"""Discovery of generators without an example: the default method (docs/method.md).

Sets of images that agree beyond chance (`acceptance.shared_sets`) are refined over all bands, cut
where they are of two generators, and each image goes to the fingerprint that it fits best.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from noisescope_core.whitened.acceptance import (
    DEFAULT_ACCEPTANCE,
    Acceptance,
    SharedSet,
    measured_cohesion,
    shared_sets,
)
from noisescope_core.whitened.confidence import Bar, fit_bar
from noisescope_core.whitened.correlations import Correlations
from noisescope_core.whitened.growth import band_scores, combined, learned_weights
from noisescope_core.whitened.planes.bands import BANDS, OFF_GRID
from noisescope_core.whitened.splitting import split

FINAL_ROUNDS = 8

ASSIGNMENTS = 3

GROWTH_STEPS = (
    "as the search found them",
    "each image tested for itself, off the JPEG grid",
    "over all frequencies, and cut where two patterns were in it",
    "each image with the pattern that it fits best",
)
"""On the way from a set of the search to the members of a pattern."""


@dataclass(frozen=True)
class SharedPattern:
    """A set of images that share a pattern, and how an image is tested against it.

    Attributes
    ----------
    members : row numbers of tested images, ascending
    weights, centre : (33,) float, of the bands
    bar : how scores are read
    cohesion : how many times the excess that chance allows
    repeats : the same of the best sets found with drawn signs
    off_grid : whether the grid and lines had to be left out
    in_reference : share of the held-out reference images above the threshold
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


def discover(
    correlations: Correlations,
    bars: Acceptance = DEFAULT_ACCEPTANCE,
    note: Callable[[str], None] = lambda text: None,
) -> list[SharedPattern]:
    """Find the patterns that tested images share and reference images lack.

    Parameters
    ----------
    correlations : Correlations, from `arrange`
    bars : Acceptance
    note : callable
        Told what is going on.

    Returns
    -------
    list of SharedPattern
        The largest first. No image is in two of them.
    """
    found = shared_sets(correlations, bars, note)
    return _refined(correlations, [one for one in found if one.accepted], bars)


def _refined(
    correlations: Correlations, found: list[SharedSet], bars: Acceptance
) -> list[SharedPattern]:
    everything = np.ones(len(BANDS), bool)
    sets, kept, facts = [], [], []
    alive = int(correlations.counted.sum())
    for one in found:
        off, z = _settle(correlations, one.members, OFF_GRID, bars.least)
        whole, _ = _settle(correlations, off, everything, bars.least)
        added = whole & ~off
        # Images that only the grid or lines bring in must carry the pattern off them too.
        few = added.sum() <= max(5, 0.2 * off.sum())
        carried = few or z[added].mean() > 0.25 * z[off].mean()
        settled = whole if carried else off
        # What chance picked together falls apart where every image is tested for itself.
        if measured_cohesion(correlations, one, settled, alive, bars.chance) < max(
            [1, *one.repeats]
        ):
            continue
        for piece in _pieces(correlations, settled, bars.least):
            sets.append(piece)
            kept.append(everything if carried else OFF_GRID)
            facts.append((one.cohesion, one.repeats, [one.members, off, piece]))
    if not sets:
        return []
    patterns: list[SharedPattern] = []
    rounds = 0
    while True:
        patterns, values = [], []
        for members, bands, (value, chances, steps) in zip(sets, kept, facts, strict=True):
            bar, z, weights, centre = _tested(correlations, members, bands)
            values.append(bar.fit(z[: correlations.tested]))
            above = float((z[correlations.tested :] > bar.threshold).mean())
            patterns.append(
                SharedPattern(
                    np.flatnonzero(members), weights, centre, bar, value, chances,
                    bool((~bands).any()), above,
                    growth=[np.flatnonzero(step) for step in (*steps, members)],
                )
            )  # fmt: skip
        best = best_fit(values)
        assigned = [(best == number) & correlations.counted for number in range(len(sets))]
        left = [number for number, members in enumerate(assigned) if members.sum() >= bars.least]
        rounds += 1
        same = all((a == b).all() for a, b in zip(assigned, sets, strict=True))
        if not left or same or (rounds >= ASSIGNMENTS and len(left) == len(sets)):
            break
        # A set that lost its images to others was a part of them.
        sets = [assigned[number] for number in left]
        kept = [kept[number] for number in left]
        facts = [facts[number] for number in left]
    unrelated = correlations.whole[:, correlations.tested :].std((1, 2), dtype=np.float64)
    patterns = [
        replace(
            pattern,
            agreement=_agreement(correlations, pattern.members),
            error=unrelated / np.sqrt(len(pattern.members) * (len(pattern.members) - 1) / 2),
        )
        for pattern in patterns
    ]
    return sorted(patterns, key=lambda pattern: (-len(pattern.members), pattern.members[0]))


def _pieces(
    correlations: Correlations, members: NDArray[np.bool_], least: int
) -> list[NDArray[np.bool_]]:
    column = members[:, None]
    scores = band_scores(correlations.off_grid.products, column)
    weights, _ = learned_weights(scores, column, correlations.shares[OFF_GRID])
    rows = np.flatnonzero(members)
    side = split(correlations.off_grid.products[:, rows][:, :, rows], weights[:, 0])
    if side is None or min(side.sum(), (~side).sum()) < least:
        return [members]
    halves = []
    for part in (rows[side], rows[~side]):
        half = np.zeros_like(members)
        half[part] = True
        halves += _pieces(correlations, half, least)
    return halves


def _agreement(correlations: Correlations, members: NDArray[np.intp]) -> NDArray[np.float64]:
    within = correlations.whole[:, members][:, :, members].sum((1, 2), dtype=np.float64)
    return np.asarray(within / (len(members) * (len(members) - 1)), np.float64)


def best_fit(values: list[NDArray[np.float64]]) -> NDArray[np.intp]:
    """Choose for every image the fingerprint that it fits best, -1 for none."""
    graded = np.stack(values)
    return np.where(graded.max(0) > 0, graded.argmax(0), -1)


def _tested(
    correlations: Correlations, members: NDArray[np.bool_], bands: NDArray[np.bool_]
) -> tuple[Bar, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Test all images over some bands.

    Returns
    -------
    bar : Bar
    z : (t + r,) float64, standardised scores of the tested and held-out reference images
    weights, centre : (33,) float64, 0 for bands left out
    """
    column = members[:, None]
    scores = band_scores(correlations.whole[bands], column)
    weights, centre = np.zeros(len(bands)), np.zeros(len(bands))
    learned, centres = learned_weights(scores, column, correlations.shares[bands])
    weights[bands], centre[bands] = learned[:, 0], centres[:, 0]
    total = combined(scores, learned, centres)[:, 0]
    tested, reference = total[: correlations.tested], total[correlations.tested :]
    bar = fit_bar(tested, reference, members, correlations.stands_for)
    return bar, bar.standardised(total), weights, centre


def _settle(
    correlations: Correlations,
    members: NDArray[np.bool_],
    bands: NDArray[np.bool_],
    least: int,
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    for _ in range(FINAL_ROUNDS):
        bar, z, _, _ = _tested(correlations, members, bands)
        z = z[: correlations.tested]
        chosen = (z > bar.threshold) & correlations.counted
        if chosen.sum() < least or (chosen == members).all():
            break
        members = chosen
    return members, z
