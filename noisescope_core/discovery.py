"""Discovery of generators without an example: the default method (docs/method.md).

Candidates grow on the bands that neither the JPEG grid nor lines of processing reach. The best
is accepted as a shared pattern if it passes two tests, its images are taken out, and the search
goes on until nothing is left:

- *chance*: were all correlations independent and normal, sets this cohesive would be found
  anywhere among all subsets of their size with less than a stated probability (union bound);
- *signs*: real correlations have heavier tails than that. Noise is as likely as its negative, so
  the same search is repeated with the sign of every image drawn at random, which leaves
  everything in place but what images truly share. The candidate must beat all repeats by a margin.

At last every set is refined over all bands, and each image goes to the fingerprint that it fits
best.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import gammaln
from scipy.stats import chi2

from noisescope_core.candidates import pair_clusters, spectral_directions
from noisescope_core.confidence import Bar, fit_bar
from noisescope_core.duplicates import NOISE, first_of_group
from noisescope_core.growth import band_scores, combined, grow, learned_weights
from noisescope_core.splitting import split
from noisescope_core.whitening import BANDS, OFF_GRID, PLANES

SURE = 8.0
"""Cohesion at which no repeat with drawn signs can come near, so none is made."""

LEAST_SEARCHED = 10
FINAL_ROUNDS = 8
ASSIGNMENTS = 3


@dataclass(frozen=True)
class Correlations:
    """Correlations of one size's tested and reference images, as discovery needs them.

    Attributes
    ----------
    products : (b, t + r, t) float32
        Of tested images and held-out reference images with tested images, by band of the
        search, scaled to one spread per image, cut at `duplicates.NOISE`, 0 where an image meets
        itself.
    whole : (33, t + r, t) float32
        The same over all bands, neither scaled nor cut.
    views : list of (t + s, t + s) float32
        Of tested images and the reference images that search: all planes and bands, and parts.
    scale : float
        Times a squared correlation of unrelated images is chi-square with one degree of freedom.
    centre, spread : (b,) float
        Of the correlations of unrelated images, by band.
    shares : (33,) float, of all values in each band
    counted : (t,) bool
        Tested images that count: of duplicates only the first.
    """

    products: NDArray[np.float32]
    whole: NDArray[np.float32]
    views: list[NDArray[np.float32]]
    scale: float
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    shares: NDArray[np.float64]
    counted: NDArray[np.bool_]

    @property
    def tested(self) -> int:
        """Number of tested images."""
        return int(self.products.shape[2])

    def with_signs(self, rng: np.random.Generator) -> Correlations:
        """Draw a sign for every image: what images share is gone, all else is as it was."""
        searching = len(self.views[0])
        signs = rng.choice(np.array([-1, 1], np.float32), searching + self.products.shape[1])
        rows = np.concatenate([signs[: self.tested], signs[searching + self.tested :]])
        joint = signs[:searching]
        return replace(
            self,
            products=self.products * rows[:, None] * rows[: self.tested],
            views=[view * joint[:, None] * joint for view in self.views],
            centre=np.zeros_like(self.centre),
        )


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


def prepare(
    correlations: NDArray[np.float32],
    tested: int,
    searching: NDArray[np.intp],
    held_out: NDArray[np.intp],
    shares: NDArray[np.float64],
    counted: NDArray[np.bool_] | None = None,
) -> Correlations:
    """Arrange the correlations of all pairs for discovery.

    Parameters
    ----------
    correlations : (33, n, n) float32, from `whitening.band_correlations`
        Tested images first. The diagonal is set to 0, in place.
    tested : int
    searching, held_out : int
        Row numbers of the reference images that take part in the search, and of those that serve
        for the bars alone.
    shares : (33,) float, from `whitening.Layout.shares`
    counted : (tested,) bool, or None for all
    """
    images = correlations.shape[1]
    diagonal = np.arange(images)
    correlations[:, diagonal, diagonal] = 0
    total = correlations.sum(0) / len(PLANES)
    cut = np.minimum(1, NOISE / np.maximum(np.abs(total), 1e-9)).astype(np.float32)
    reference = np.concatenate([searching, held_out])
    rows = np.concatenate([np.arange(tested), held_out])
    joint = np.concatenate([np.arange(tested), searching])
    scale = 0.4549 / float(np.median(total[np.ix_(searching, held_out)] ** 2))
    products = np.empty((int(OFF_GRID.sum()), len(rows), tested), np.float32)
    views = [np.zeros((len(joint), len(joint)), np.float32) for _ in _VIEWS]
    searched = 0
    for band, matrix in enumerate(correlations):
        # Images with little noise have correlations of a wider spread.
        size = np.sqrt(np.einsum("ij,ij->i", matrix[:, reference], matrix[:, reference]))
        size = np.maximum(size / np.median(size[reference]), 0.5).astype(np.float32)
        even = matrix / size[:, None] / size * cut
        if OFF_GRID[band]:
            products[searched] = even[np.ix_(rows, np.arange(tested))]
            searched += 1
        part = even[np.ix_(joint, joint)]
        for view, bands in zip(views, _VIEWS, strict=True):
            if bands[band]:
                view += part
    unrelated = products[:, tested:].reshape(len(products), -1)
    return Correlations(
        products,
        correlations[:, rows][:, :, :tested],
        views,
        scale,
        np.median(unrelated, axis=1).astype(np.float64),
        unrelated.std(axis=1, dtype=np.float64),
        shares,
        np.ones(tested, bool) if counted is None else counted,
    )


def prepare_counted(
    correlations: NDArray[np.float32],
    sketches: NDArray[np.uint8],
    tested: int,
    shares: NDArray[np.float64],
) -> Correlations:
    """Hold duplicates apart, halve the reference, and `prepare`.

    Parameters
    ----------
    correlations, tested, shares : as for `prepare`; all others are reference images, in an order
        that says nothing of them
    sketches : (n, 1024) uint8, from `duplicates.sketch`
    """
    rows = np.arange(len(sketches))
    counted = first_of_group(sketches, correlations.sum(0) / len(PLANES)) == rows
    searching, held_out = np.array_split(rows[tested:][counted[tested:]], 2)
    return prepare(correlations, tested, searching, held_out, shares, counted[:tested])


def _views() -> list[NDArray[np.bool_]]:
    names = np.array([name.split(", ")[0] for name in BANDS])
    planes = [OFF_GRID & (names == plane) for plane in PLANES]
    ring = np.arange(len(BANDS)) % (len(BANDS) // len(PLANES))
    rings = [OFF_GRID & (ring >= first) & (ring < first + 3) for first in (0, 3, 6)]
    return [np.ones(len(BANDS), bool), OFF_GRID, *planes, *rings]


_VIEWS = _views()


def cohesion(
    correlations: Correlations, members: NDArray[np.bool_], alive: int, chance: float
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
    pairs = sizes * (sizes - 1) / 2
    columns = members.astype(np.float32)
    excess = np.zeros(members.shape[1])
    tested = correlations.tested
    for band, matrix in enumerate(correlations.products):
        within = ((matrix[:tested] @ columns) * columns).sum(0) / 2 / pairs
        z = (within - correlations.centre[band]) / correlations.spread[band] * np.sqrt(pairs)
        excess += np.maximum(z, 0) ** 2
    freedom = len(correlations.products)
    bounds = {size: excess_bound(alive, int(size), freedom, chance) for size in np.unique(sizes)}
    return np.asarray(excess / np.array([bounds[size] for size in sizes]), np.float64)


def excess_bound(images: int, size: int, freedom: int, chance: float) -> float:
    """Chi-square value that any subset of `size` of `images` exceeds with at most `chance`."""
    subsets = gammaln(images + 1) - gammaln(size + 1) - gammaln(images - size + 1)
    target = np.log(chance) - subsets

    def missing(value: float) -> float:
        log_tail = chi2.logsf(value, freedom)
        # Beyond the smallest double the tail is exp(-x / 2) and a power.
        if not np.isfinite(log_tail):
            half = freedom / 2
            log_tail = -value / 2 + (half - 1) * np.log(value / 2) - gammaln(half)
        return float(log_tail - target)

    return float(brentq(missing, freedom, 10 * (freedom - target)))


def discover(
    correlations: Correlations,
    *,
    chance: float = 0.01,
    margin: float = 1.3,
    repeats: int = 3,
    least: int = 5,
    seed: int = 0,
    note: Callable[[str], None] = lambda text: None,
) -> list[SharedPattern]:
    """Find the patterns that tested images share and reference images lack.

    Parameters
    ----------
    correlations : Correlations, from `prepare`
    chance : float
        Of accepting a set of a given size among independent, normal correlations.
    margin : float
        By which a candidate's cohesion must exceed that of every repeat with drawn signs.
    repeats : int
    least : int
        Images in the smallest set accepted.
    seed : int
        Of the signs.
    note : callable
        Told what is going on.

    Returns
    -------
    list of SharedPattern
        The largest first. No image is in two of them.
    """
    alive = correlations.counted.copy()
    found: list[tuple[NDArray[np.bool_], float, list[float]]] = []
    while alive.sum() > max(least, LEAST_SEARCHED):
        members, value = _best(correlations, alive, chance, least)
        if members is None or value < 1:
            break
        chances: list[float] = []
        if value < SURE:
            for repeat in range(repeats):
                drawn = correlations.with_signs(np.random.default_rng((seed, repeat)))
                chances.append(_best(drawn, alive, chance, least)[1])
        if value < margin * max(chances, default=0):
            break
        found.append((members, value, chances))
        alive &= ~members
        note(f"{len(found)} found, {int(alive.sum()):,} images left")
    return _refined(correlations, found, least)


def _best(
    correlations: Correlations, alive: NDArray[np.bool_], chance: float, least: int
) -> tuple[NDArray[np.bool_] | None, float]:
    rows = np.flatnonzero(alive)
    starts: list[NDArray[np.intp]] = []
    together = correlations.views[0][np.ix_(rows, rows)] / np.float32(len(PLANES))
    # A pair beyond any fingerprint's strength is one picture twice: no reason to merge.
    together[together >= 0.99 * NOISE] = 0
    starts += [rows[cluster] for cluster in pair_clusters(together, correlations.scale)]
    searching = np.arange(correlations.tested, len(correlations.views[0]))
    joint = np.concatenate([rows, searching])
    for view in correlations.views:
        starts += [
            rows[seed] for seed in spectral_directions(view[np.ix_(joint, joint)], len(rows))
        ]
    seeds = np.zeros((correlations.tested, len(starts)), bool)
    for column, start in enumerate(starts):
        seeds[start, column] = True
    grown = grow(correlations.products, seeds, alive, correlations.shares[OFF_GRID])
    grown = grown[:, grown.sum(0) >= least]
    if not grown.shape[1]:
        return None, 0.0
    values = cohesion(correlations, grown, int(alive.sum()), chance)
    # Cohesion grows with the size, so the most cohesive is also the most complete.
    best = int(np.argmax(values))
    return grown[:, best], float(values[best])


def _refined(
    correlations: Correlations,
    found: list[tuple[NDArray[np.bool_], float, list[float]]],
    least: int,
) -> list[SharedPattern]:
    if not found:
        return []
    everything = np.ones(len(BANDS), bool)
    sets, kept, facts = [], [], []
    for members, value, chances in found:
        off, z = _settle(correlations, members, OFF_GRID, least)
        whole, _ = _settle(correlations, off, everything, least)
        added = whole & ~off
        # Images that only the grid or lines bring in must carry the pattern off them too.
        few = added.sum() <= max(5, 0.2 * off.sum())
        carried = few or z[added].mean() > 0.25 * z[off].mean()
        for piece in _pieces(correlations, whole if carried else off, least):
            sets.append(piece)
            kept.append(everything if carried else OFF_GRID)
            facts.append((value, chances))
    patterns: list[SharedPattern] = []
    rounds = 0
    while True:
        patterns, values = [], []
        for members, bands, (value, chances) in zip(sets, kept, facts, strict=True):
            bar, z, weights, centre = _tested(correlations, members, bands)
            values.append(bar.fit(z[: correlations.tested]))
            above = float((z[correlations.tested :] > bar.threshold).mean())
            patterns.append(
                SharedPattern(
                    np.flatnonzero(members), weights, centre, bar, value, chances,
                    bool((~bands).any()), above,
                )
            )  # fmt: skip
        best = best_fit(values)
        assigned = [(best == number) & correlations.counted for number in range(len(sets))]
        left = [number for number, members in enumerate(assigned) if members.sum() >= least]
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
    scores = band_scores(correlations.products, column)
    weights, _ = learned_weights(scores, column, correlations.shares[OFF_GRID])
    rows = np.flatnonzero(members)
    side = split(correlations.products[:, rows][:, :, rows], weights[:, 0])
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
    bar = fit_bar(total[: correlations.tested], total[correlations.tested :], members)
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
