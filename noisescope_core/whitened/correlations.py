"""What a search for shared patterns looks at: correlations of all pairs, arranged (docs/method.md).

Tested images and half of the reference search together, the other half of the reference is held out
for the bars. Correlations are kept by band, off the JPEG grid and lines of processing and on them,
scaled to one spread per image.
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
from noisescope_core.whitened.planes.duplicates import NOISE, first_of_group

Part = TypeVar("Part")
Result = TypeVar("Result")

ROWS_AT_ONCE = 256
LEAST_CARRYING = 20


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
    sizes = np.stack(side_by_side(lambda matrix: _lengths(matrix, reference), correlations))
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

        side_by_side(fill, blocks)
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


def side_by_side(work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
    """Work on several parts at once, each in one of the threads that BLAS may have.

    Products with a vector gain nothing from a second thread.
    """
    libraries = ThreadpoolController().select(user_api="blas")
    threads = max((one["num_threads"] for one in libraries.info()), default=1)
    with libraries.limit(limits=1), ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, parts))
