"""Correlations of all pairs, arranged for the search (docs/method.md, step 3).

In come the correlations of all pairs of one size's images, band by band
(`planes.products.band_correlations`), tested images first, then reference images. Out come
`Correlations`. Tested images and one half of the reference take part in the search together; the
other half is held out, so that the bars of fingerprints stand on images which had no say in
choosing them. The bands off the JPEG grid and off lines of processing are kept apart from those
on them, and the correlations of every image are scaled to one spread: images with little noise
correlate more widely than others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from noisescope_core.compiled import compiled, compiled_sums
from noisescope_core.whitened.planes.bands import BANDS, OFF_GRID, PLANES
from noisescope_core.whitened.planes.duplicates import DUPLICATE_CORRELATION, first_of_group

Part = TypeVar("Part")
"""What `side_by_side` shares out."""

Result = TypeVar("Result")
"""What its work gives."""

ROWS_AT_ONCE = 256
"""Rows that a thread scales at a time. Chosen: enough blocks for all threads, and few of them."""

LEAST_CARRYING = 20
"""Reference images that must have noise in a band; with fewer the band has no say. Chosen: the
spread of the band is known from so many at least."""

LEAST_SPREAD = 0.5
"""Spread of an image's correlations, over the typical one, below which it is not scaled up
further. Chosen: noise in an image that correlates with nothing must not be blown up."""

CHI_SQUARE_MEDIAN = 0.4549
"""Median of a chi-square with one degree of freedom."""


@dataclass(frozen=True)
class Roles:
    """Which images of a size do what.

    Attributes
    ----------
    tested : int
        The first so many rows are tested images.
    searching, held_out : (s,) and (r,) int
        Row numbers of the reference images that take part in the search, and of those that serve
        for the bars alone.
    counted : (tested,) bool, or None for all
        Tested images that count: of duplicates only the first.
    stands_for : (tested,) float, or None
        Images of the pile that each tested image stands for; None if they are the pile.
    """

    tested: int
    searching: NDArray[np.intp]
    held_out: NDArray[np.intp]
    counted: NDArray[np.bool_] | None = None
    stands_for: NDArray[np.float64] | None = None

    def tested_and_held_out(self) -> NDArray[np.intp]:
        """Row numbers of the images that are scored: (t + r,)."""
        return np.concatenate([np.arange(self.tested), self.held_out])

    def tested_and_searching(self) -> NDArray[np.intp]:
        """Row numbers of the images that candidates are looked for among: (t + s,)."""
        return np.concatenate([np.arange(self.tested), self.searching])


@dataclass(frozen=True)
class BandGroup:
    """Correlations over a group of bands: those off grid and lines, or those on them.

    Attributes
    ----------
    products : (b, t + r, t) float32
        Of tested images and held-out reference images with tested images, by band, scaled to one
        spread per image, cut at `duplicates.DUPLICATE_CORRELATION`, 0 where an image meets itself.
    views : list of (t + s, t + s) float32
        Sums over bands of the same for tested images and the reference images that search. The
        first is the sum over all 33 bands, the others are sums over parts of this group.
    scale : float
        Times a squared correlation of unrelated images in the first view, over the number of
        planes, is chi-square with one degree of freedom.
    centre, spread : (b,) float
        Of the correlations of unrelated images, by band.
    shares : (b,) float, of all values in each band, 0..1
    """

    products: NDArray[np.float32]
    views: list[NDArray[np.float32]]
    scale: float
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    shares: NDArray[np.float64]

    def with_signs(self, rng: np.random.Generator) -> BandGroup:
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
    off_grid, on_grid : BandGroup
        Over the bands that neither grid nor lines reach, and over grid and lines.
    shares : (33,) float, of all values in each band, 0..1
    counted : (t,) bool
        Tested images that count: of duplicates only the first.
    stands_for : (t,) float or None
        Images of the pile that each tested image stands for; None if they are the pile.
    """

    whole: NDArray[np.float32]
    off_grid: BandGroup
    on_grid: BandGroup
    shares: NDArray[np.float64]
    counted: NDArray[np.bool_]
    stands_for: NDArray[np.float64] | None = None

    @property
    def tested(self) -> int:
        """Number of tested images."""
        return int(self.whole.shape[2])


def arrange(
    correlations: NDArray[np.float32], roles: Roles, shares: NDArray[np.float64]
) -> Correlations:
    """Arrange the correlations of all pairs for discovery.

    Parameters
    ----------
    correlations : (33, n, n) float32, from `products.band_correlations`
        Tested images first. Changed in place: the diagonal is set to 0, and so are bands that the
        reference does not carry.
    roles : Roles
        Which of the n images do what.
    shares : (33,) float, from `bands.Layout.shares`
    """
    diagonal = np.arange(correlations.shape[1])
    correlations[:, diagonal, diagonal] = 0
    spreads = _relative_spreads(correlations, np.concatenate([roles.searching, roles.held_out]))
    total = correlations.sum(0) / len(PLANES)
    cut = np.minimum(1, DUPLICATE_CORRELATION / np.maximum(np.abs(total), 1e-9)).astype(np.float32)
    squares = total[np.ix_(roles.searching, roles.held_out)] ** 2
    scale = CHI_SQUARE_MEDIAN / max(float(np.median(squares)), 1e-30)
    scaled = _Scaled(correlations, spreads, cut, scale, shares)
    joint = roles.tested + len(roles.searching)
    everything = np.zeros((joint, joint), np.float32)
    off_parts, on_parts = VIEW_BANDS
    return Correlations(
        np.stack([matrix[roles.tested_and_held_out(), : roles.tested] for matrix in correlations]),
        _band_group(scaled, roles, OFF_GRID, off_parts, everything),
        _band_group(scaled, roles, ~OFF_GRID, on_parts, everything),
        shares,
        np.ones(roles.tested, bool) if roles.counted is None else roles.counted,
        roles.stands_for,
    )


def arrange_distinct(
    correlations: NDArray[np.float32],
    sketches: NDArray[np.uint8],
    tested: int,
    shares: NDArray[np.float64],
    stands_for: NDArray[np.float64] | None = None,
) -> Correlations:
    """Hold duplicates apart, halve the reference, and `arrange`.

    Parameters
    ----------
    correlations, shares : as for `arrange`
    sketches : (n, 1024) uint8, from `duplicates.sketch`
    tested : int
        The first so many rows are tested images; all others are reference images, in an order
        that says nothing of them.
    stands_for : as of `Roles`
    """
    rows = np.arange(len(sketches))
    counted = first_of_group(sketches, correlations.sum(0) / len(PLANES)) == rows
    searching, held_out = np.array_split(rows[tested:][counted[tested:]], 2)
    roles = Roles(tested, searching, held_out, counted[:tested], stands_for)
    return arrange(correlations, roles, shares)


@dataclass(frozen=True)
class _Scaled:
    """Correlations, and what scales and cuts them.

    Attributes
    ----------
    bands : (33, n, n) float32
    spreads : (33, n) float32, of every image's correlations, over the typical one
    cut : (n, n) float32, 0..1, factor that brings a pair down to what no fingerprint exceeds
    scale, shares : as of `BandGroup` and `Correlations`
    """

    bands: NDArray[np.float32]
    spreads: NDArray[np.float32]
    cut: NDArray[np.float32]
    scale: float
    shares: NDArray[np.float64]


def _relative_spreads(
    correlations: NDArray[np.float32], reference: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Measure every image's spread against the reference, over the typical one: (33, n).

    Bands that too few reference images carry are set to 0 in `correlations`.
    """
    spreads = np.stack(side_by_side(lambda matrix: _lengths(matrix, reference), correlations))
    for matrix, spread in zip(correlations, spreads, strict=True):
        carrying = spread[reference] > 0
        if carrying.sum() < LEAST_CARRYING:
            # Grey photographs say nothing of colours.
            matrix[:] = 0
            spread[:] = 1
        else:
            # Images with little noise have correlations of a wider spread.
            spread[:] = np.maximum(spread / np.median(spread[reference][carrying]), LEAST_SPREAD)
    return np.asarray(spreads)


def _band_group(
    scaled: _Scaled,
    roles: Roles,
    bands: NDArray[np.bool_],
    parts: list[NDArray[np.bool_]],
    everything: NDArray[np.float32],
) -> BandGroup:
    """Scale and cut the correlations of some bands, and sum up each part of them.

    Parameters
    ----------
    bands : (33,) bool, the bands of the group
    parts : list of (33,) bool, one for each view but the first
    everything : (t + s, t + s) float32
        First view. The group adds its bands to it, so after both groups it holds all bands.
    """
    rows, joint = roles.tested_and_held_out(), roles.tested_and_searching()
    columns = np.arange(roles.tested)
    products = np.empty((int(bands.sum()), len(rows), roles.tested), np.float32)
    views = [np.zeros_like(everything) for _ in parts]

    def fill(share: slice) -> None:
        block = np.empty_like(everything[share])
        for number, band in enumerate(np.flatnonzero(bands)):
            inverse = (1 / scaled.spreads[band]).astype(np.float32)
            matrix, product = scaled.bands[band], products[number, share]
            _scale_and_cut(matrix, inverse, scaled.cut, rows[share], columns, product)
            _scale_and_cut(matrix, inverse, scaled.cut, joint[share], joint, block)
            everything[share] += block
            for view, part in zip(views, parts, strict=True):
                if part[band]:
                    view[share] += block

    # By rows, so that sums have one order whatever the number of threads.
    longest = max(len(rows), len(joint))
    side_by_side(fill, [slice(i, i + ROWS_AT_ONCE) for i in range(0, longest, ROWS_AT_ONCE)])
    unrelated = products[:, roles.tested :].reshape(
        len(products), len(roles.held_out) * roles.tested
    )
    return BandGroup(
        products,
        [everything, *views],
        scaled.scale,
        np.median(unrelated, axis=1).astype(np.float64),
        _spread(unrelated),
        scaled.shares[bands],
    )


@compiled
def _scale_and_cut(matrix: Any, inverse: Any, cut: Any, rows: Any, columns: Any, out: Any) -> None:
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
    """Measure the standard deviation of unrelated images' correlations, by band: (b,)."""
    # An image without the plane correlates with nothing, and says nothing of those that have it.
    pairs = np.maximum((unrelated != 0).sum(1), 1)
    squares = np.einsum("bn,bn->b", unrelated, unrelated, dtype=np.float64) / pairs
    mean = unrelated.sum(1, dtype=np.float64) / pairs
    return np.asarray(np.sqrt(np.maximum(squares - mean**2, 1e-30)), np.float64)


def view_bands() -> tuple[list[NDArray[np.bool_]], list[NDArray[np.bool_]]]:
    """List the bands of each view: off the grid all, by plane and by three rings; on it the same.

    On the grid there are no rings.
    """
    names = np.array([name.split(", ")[0] for name in BANDS])
    ring = np.arange(len(BANDS)) % (len(BANDS) // len(PLANES))
    planes = [names == plane for plane in PLANES]
    rings = [(ring >= first) & (ring < first + 3) for first in (0, 3, 6)]
    off_grid = [OFF_GRID & part for part in [np.ones(len(BANDS), bool), *planes, *rings]]
    on_grid = [~OFF_GRID & part for part in [np.ones(len(BANDS), bool), *planes]]
    return off_grid, on_grid


VIEW_BANDS = view_bands()
"""Bands of the views of `off_grid`, and of `on_grid`: two lists of (33,) bool."""


def side_by_side(work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
    """Work on several parts at once, each in one of the threads that BLAS may have.

    Products with a vector gain nothing from a second thread.
    """
    libraries = ThreadpoolController().select(user_api="blas")
    threads = max((library["num_threads"] for library in libraries.info()), default=1)
    with libraries.limit(limits=1), ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, parts))
