"""Discovery of generators without an example: the default method (docs/method.md).

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

At last every set is refined over all bands, and each image goes to the fingerprint that it fits
best.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import chdtrc, gammaln
from threadpoolctl import ThreadpoolController

from noisescope_core.candidates import pair_clusters, spectral_directions
from noisescope_core.compiled import compiled, compiled_sums
from noisescope_core.confidence import Bar, fit_bar
from noisescope_core.duplicates import NOISE, first_of_group
from noisescope_core.growth import band_scores, combined, grow, learned_weights, reference_bar
from noisescope_core.splitting import split
from noisescope_core.whitening import BANDS, OFF_GRID, PLANES

Part = TypeVar("Part")
Result = TypeVar("Result")

SURE = 8.0
"""Cohesion from which repeats with drawn signs wait until the search tells what chance reaches."""

CLEAR = 3.0
"""Times the best of what is left in the end at which they are not needed."""

TO_ONE_OPPOSITE = 4
"""Members of a set to one image with its negative at which they are not needed."""

INDEPENDENT = 1e-12
"""Chance that a set chosen on the grid agrees off it as much, were noise independent and normal."""

LEAST_SEARCHED = 10
ROWS_AT_ONCE = 256
LEAST_CARRYING = 20
FINAL_ROUNDS = 8
ASSIGNMENTS = 3


@dataclass(frozen=True)
class Search:
    """Correlations over the bands of one search.

    Attributes
    ----------
    products : (b, t + r, t) float32
        Of tested images and held-out reference images with tested images, by band, scaled to one
        spread per image, cut at `duplicates.NOISE`, 0 where an image meets itself.
    views : list of (t + s, t + s) float32
        Of tested images and the reference images that search: all planes and bands, and parts.
    scale : float
        Times a squared correlation of unrelated images in the first view, over the number of
        planes, is chi-square with one degree of freedom.
    centre, spread : (b,) float
        Of the correlations of unrelated images, by band.
    shares : (b,) float, of all values in each band
    """

    products: NDArray[np.float32]
    views: list[NDArray[np.float32]]
    scale: float
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    shares: NDArray[np.float64]

    def with_signs(self, rng: np.random.Generator) -> Search:
        """Draw a sign for every image: what images share is gone, all else is as it was."""
        tested, searching = self.products.shape[2], len(self.views[0])
        signs = rng.choice(np.array([-1, 1], np.float32), searching + self.products.shape[1])
        rows = np.concatenate([signs[:tested], signs[searching + tested :]])
        joint = signs[:searching]
        return replace(
            self,
            products=self.products * rows[:, None] * rows[:tested],
            views=[view * joint[:, None] * joint for view in self.views],
            centre=np.zeros_like(self.centre),
        )


@dataclass(frozen=True)
class Correlations:
    """Correlations of one size's tested and reference images, as discovery needs them.

    Attributes
    ----------
    whole : (33, t + r, t) float32
        Of tested images and held-out reference images with tested images, over all bands, neither
        scaled nor cut; 0 in bands that fewer than `LEAST_CARRYING` reference images carry.
    off_grid, on_grid : Search
        Over the bands that neither grid nor lines reach, and over grid and lines.
    shares : (33,) float, of all values in each band
    counted : (t,) bool
        Tested images that count: of duplicates only the first.
    stands_for : (t,) float or None
        Images of the pile that each tested image stands for; None if they are the pile.
    """

    whole: NDArray[np.float32]
    off_grid: Search
    on_grid: Search
    shares: NDArray[np.float64]
    counted: NDArray[np.bool_]
    stands_for: NDArray[np.float64] | None = None

    @property
    def tested(self) -> int:
        """Number of tested images."""
        return int(self.whole.shape[2])


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
    stands_for: NDArray[np.float64] | None = None,
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
    stands_for : (tested,) float, or None
        Images of the pile that each tested image stands for.
    """
    images = correlations.shape[1]
    diagonal = np.arange(images)
    correlations[:, diagonal, diagonal] = 0
    reference = np.concatenate([searching, held_out])
    sizes = np.stack(_side_by_side(lambda matrix: _lengths(matrix, reference), correlations))
    for matrix, size in zip(correlations, sizes, strict=True):
        carrying = size[reference] > 0
        if carrying.sum() < LEAST_CARRYING:
            # Grey photographs say nothing of colours.
            matrix[:] = 0
            size[:] = 1
        else:
            # Images with little noise have correlations of a wider spread.
            size[:] = np.maximum(size / np.median(size[reference][carrying]), 0.5)
    total = correlations.sum(0) / len(PLANES)
    cut = np.minimum(1, NOISE / np.maximum(np.abs(total), 1e-9)).astype(np.float32)
    rows = np.concatenate([np.arange(tested), held_out])
    columns, joint = np.arange(tested), np.concatenate([np.arange(tested), searching])
    squares = total[np.ix_(searching, held_out)] ** 2
    scale = 0.4549 / max(float(np.median(squares)), 1e-30)
    everything = np.zeros((len(joint), len(joint)), np.float32)
    # By rows, so that sums have one order whatever the number of threads.
    longest = max(len(rows), len(joint))
    blocks = [slice(i, i + ROWS_AT_ONCE) for i in range(0, longest, ROWS_AT_ONCE)]

    def search(bands: NDArray[np.bool_], parts: list[NDArray[np.bool_]]) -> Search:
        products = np.empty((int(bands.sum()), len(rows), tested), np.float32)
        views = [np.zeros_like(everything) for _ in parts]

        def fill(share: slice) -> None:
            part = np.empty_like(everything[share])
            for number, band in enumerate(np.flatnonzero(bands)):
                inverse = (1 / sizes[band]).astype(np.float32)
                even = products[number, share]
                _even(correlations[band], inverse, cut, rows[share], columns, even)
                _even(correlations[band], inverse, cut, joint[share], joint, part)
                everything[share] += part
                for view, chosen in zip(views, parts, strict=True):
                    if chosen[band]:
                        view[share] += part

        _side_by_side(fill, blocks)
        unrelated = products[:, tested:].reshape(len(products), len(held_out) * tested)
        return Search(
            products,
            [everything, *views],
            scale,
            np.median(unrelated, axis=1).astype(np.float64),
            _spread(unrelated),
            shares[bands],
        )

    return Correlations(
        np.stack([matrix[rows, :tested] for matrix in correlations]),
        search(OFF_GRID, _PARTS),
        search(~OFF_GRID, _GRID_PARTS),
        shares,
        np.ones(tested, bool) if counted is None else counted,
        stands_for,
    )


@compiled
def _even(matrix: Any, inverse: Any, cut: Any, rows: Any, columns: Any, out: Any) -> None:
    """Take rows and columns of a band, scaled to one spread per image and cut."""
    for i in range(len(rows)):
        row = rows[i]
        for j in range(len(columns)):
            column = columns[j]
            scaled = matrix[row, column] * inverse[row] * inverse[column]
            out[i, j] = scaled * cut[row, column]


@compiled_sums
def _lengths(matrix: Any, columns: Any) -> Any:
    """Lengths of the rows over some columns."""
    lengths = np.empty(len(matrix), np.float32)
    for row in range(len(matrix)):
        total = np.float32(0)
        for column in columns:
            total += matrix[row, column] * matrix[row, column]
        lengths[row] = np.sqrt(total)
    return lengths


def _spread(unrelated: NDArray[np.float32]) -> NDArray[np.float64]:
    # An image without the plane correlates with nothing, and says nothing of those that have it.
    pairs = np.maximum((unrelated != 0).sum(1), 1)
    squares = np.einsum("bn,bn->b", unrelated, unrelated, dtype=np.float64) / pairs
    mean = unrelated.sum(1, dtype=np.float64) / pairs
    return np.asarray(np.sqrt(np.maximum(squares - mean**2, 1e-30)), np.float64)


def prepare_counted(
    correlations: NDArray[np.float32],
    sketches: NDArray[np.uint8],
    tested: int,
    shares: NDArray[np.float64],
    stands_for: NDArray[np.float64] | None = None,
) -> Correlations:
    """Hold duplicates apart, halve the reference, and `prepare`.

    Parameters
    ----------
    correlations, tested, shares, stands_for : as for `prepare`; all others are reference images,
        in an order that says nothing of them
    sketches : (n, 1024) uint8, from `duplicates.sketch`
    """
    rows = np.arange(len(sketches))
    counted = first_of_group(sketches, correlations.sum(0) / len(PLANES)) == rows
    searching, held_out = np.array_split(rows[tested:][counted[tested:]], 2)
    return prepare(correlations, tested, searching, held_out, shares, counted[:tested], stands_for)


def _parts() -> tuple[list[NDArray[np.bool_]], list[NDArray[np.bool_]]]:
    names = np.array([name.split(", ")[0] for name in BANDS])
    ring = np.arange(len(BANDS)) % (len(BANDS) // len(PLANES))
    planes = [names == plane for plane in PLANES]
    rings = [(ring >= first) & (ring < first + 3) for first in (0, 3, 6)]
    off_grid = [OFF_GRID & part for part in [np.ones(len(BANDS), bool), *planes, *rings]]
    on_grid = [~OFF_GRID & part for part in [np.ones(len(BANDS), bool), *planes]]
    return off_grid, on_grid


_PARTS, _GRID_PARTS = _parts()


def cohesion(
    search: Search, members: NDArray[np.bool_], alive: int, chance: float
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


def _excess(search: Search, columns: NDArray[np.float32]) -> NDArray[np.float64]:
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


def discover(
    correlations: Correlations,
    bars: Acceptance = Acceptance(),
    note: Callable[[str], None] = lambda text: None,
) -> list[SharedPattern]:
    """Find the patterns that tested images share and reference images lack.

    Parameters
    ----------
    correlations : Correlations, from `prepare`
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


def shared_sets(
    correlations: Correlations,
    bars: Acceptance = Acceptance(),
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
    while alive.sum() > max(bars.least, LEAST_SEARCHED):
        one = _found_off_grid(correlations, alive, bars)
        if one is None or not one.accepted:
            rejected, reached = one, max([one.cohesion, *one.repeats]) if one else 0.0
            one = _found_on_grid(correlations, alive, bars)
            if one is None or not one.accepted:
                left = [last for last in (rejected, one) if last]
                break
        found.append((one, alive.copy()))
        alive &= ~one.members
        note(f"{len(found)} found, {int(alive.sum()):,} images left")
    sets = []
    explained = np.zeros_like(alive)
    for one, searched in found:
        unclear = one.cohesion < CLEAR * reached or _has_opposite(correlations, one)
        # What was found once a chance set was out must hold with it in.
        if one.off_grid and ((unclear and not one.repeats) or explained.any()):
            searched = searched | explained
            column, number = one.members[:, None], int(searched.sum())
            (value,) = cohesion(correlations.off_grid, column, number, bars.chance)
            one = replace(one, cohesion=float(value))
            one = _repeated(correlations, one, searched, bars)
        if not one.accepted:
            explained |= one.members
        sets.append(one)
    return [one for one in sets if one.accepted] + [one for one in sets if not one.accepted] + left


def _found_off_grid(
    correlations: Correlations, alive: NDArray[np.bool_], bars: Acceptance
) -> SharedSet | None:
    members, value = _most_cohesive(correlations.off_grid, alive, bars)
    if members is None:
        return None
    one = SharedSet(members, value, [], True, value >= 1)
    if not one.accepted or value >= SURE:
        return one
    return _repeated(correlations, one, alive, bars)


def _repeated(
    correlations: Correlations, one: SharedSet, alive: NDArray[np.bool_], bars: Acceptance
) -> SharedSet:
    """Repeat the search that found a set with signs drawn, until one repeat comes near it."""
    chances: list[float] = []
    accepted = True
    while accepted and len(chances) < bars.repeats:
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
    search: Search, alive: NDArray[np.bool_], bars: Acceptance
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


def _candidates(search: Search, alive: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    rows = np.flatnonzero(alive)
    starts: list[NDArray[np.intp]] = []
    together = search.views[0][np.ix_(rows, rows)] / np.float32(len(PLANES))
    # A pair beyond any fingerprint's strength is one picture twice: no reason to merge.
    together[together >= 0.99 * NOISE] = 0
    starts += [rows[cluster] for cluster in pair_clusters(together, search.scale)]
    tested = len(alive)
    joint = np.concatenate([rows, np.arange(tested, len(search.views[0]))])
    for directions in _side_by_side(
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


def _side_by_side(work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
    """Work on several parts at once, each in one of the threads that BLAS may have.

    Products with a vector gain nothing from a second thread.
    """
    libraries = ThreadpoolController().select(user_api="blas")
    threads = max((one["num_threads"] for one in libraries.info()), default=1)
    with libraries.limit(limits=1), ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, parts))


def _refined(
    correlations: Correlations, found: list[SharedSet], bars: Acceptance
) -> list[SharedPattern]:
    everything = np.ones(len(BANDS), bool)
    sets, kept, facts = [], [], []
    for one in found:
        off, z = _settle(correlations, one.members, OFF_GRID, bars.least)
        whole, _ = _settle(correlations, off, everything, bars.least)
        added = whole & ~off
        # Images that only the grid or lines bring in must carry the pattern off them too.
        few = added.sum() <= max(5, 0.2 * off.sum())
        carried = few or z[added].mean() > 0.25 * z[off].mean()
        settled = whole if carried else off
        # What chance picked together falls apart where every image is tested for itself.
        if _measured(correlations, one, settled, bars.chance) < max([1, *one.repeats]):
            continue
        for piece in _pieces(correlations, settled, bars.least):
            sets.append(piece)
            kept.append(everything if carried else OFF_GRID)
            facts.append((one.cohesion, one.repeats))
    if not sets:
        return []
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


def _measured(
    correlations: Correlations, one: SharedSet, members: NDArray[np.bool_], chance: float
) -> float:
    """Cohesion of other members, as that of the set was measured."""
    column, search = members[:, None], correlations.off_grid
    if one.off_grid:
        return float(cohesion(search, column, int(correlations.counted.sum()), chance)[0])
    return float(_excess(search, column.astype(np.float32))[0]) / _bound_of_one_set(search)


def _bound_of_one_set(search: Search) -> float:
    # Sets that were not chosen in this search: no subsets to allow for.
    return excess_bound(1, 1, len(search.products), INDEPENDENT)


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
