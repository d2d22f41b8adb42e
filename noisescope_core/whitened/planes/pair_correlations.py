"""Correlations of all pairs of images, band by band, made part by part and put together again.

A correlation is a sum over the values of two features, so features are cut along their values: each
part gives products of all pairs, which are kept in half precision, and the sum over the parts of a
band is its correlation. In memory the parts follow each other; on Spark each is a task.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noisescope_core.whitened.planes.bands import BANDS, Layout, parts_of
from noisescope_core.whitened.planes.products import products_below
from noisescope_core.whitened.planes.whitening import STORED_STEPS

Piece = tuple[int, slice]
"""A band, and a range of values of a whole feature that belongs to it."""


@dataclass(frozen=True)
class PairProducts:
    """Products of a block of images with all before it and itself, over a piece of a band.

    Attributes
    ----------
    band : number in `BANDS`
    values : of a feature that were multiplied
    first : number of the block's first image
    compared : pairs of different images among them
    products : (r, first + r) float16, scaled as `half_scale` says
    """

    band: int
    values: int
    first: int
    compared: int
    products: NDArray[np.float16]


def half_scale(bins: Layout) -> np.float32:
    """Give what correlations are multiplied by in half precision.

    Unrelated images then correlate by about 1, where half precision is at its best.
    """
    return np.float32(np.sqrt(bins.values))


def part_products(
    features: Sequence[NDArray[np.int8]], pieces: Sequence[Piece], bins: Layout
) -> Iterator[PairProducts]:
    """Multiply one part of all features.

    Parameters
    ----------
    features : n times (k,) int8
        The values from the first to the last piece of the part, as `whitening.packed` stores them.
    pieces : from `bands.parts_of`
    bins : layout of the images' size
    """
    scale = half_scale(bins) / np.float32(STORED_STEPS**2 * bins.values)
    start = pieces[0][1].start
    within = [slice(cut.start - start, cut.stop - start) for _, cut in pieces]
    for number, first, products in products_below(list(features), within):
        count = len(products)
        compared = count * first + count * (count - 1) // 2
        band, cut = pieces[number]
        yield PairProducts(
            band, cut.stop - cut.start, first, compared, (products * scale).astype(np.float16)
        )


def add_products(
    correlations: NDArray[np.float32], first: int, products: NDArray[np.float16]
) -> None:
    """Add products to a symmetric matrix of correlations, still scaled.

    Parameters
    ----------
    correlations : (n, n) float32
    first : number of the first image of the block
    products : (r * (first + r),) float16, flattened rows of `PairProducts.products`
    """
    # (last - first) * last values.
    last = round((first + (first**2 + 4 * products.size) ** 0.5) / 2)
    block = products.reshape(last - first, last).astype(np.float32)
    correlations[first:last, :last] += block
    correlations[:first, first:last] += block[:, :first].T


def pair_correlations(
    features: Sequence[NDArray[np.int8]], bins: Layout, block_bytes: int
) -> NDArray[np.float32]:
    """Correlate all pairs in memory, exactly as tasks of Spark do.

    Parameters
    ----------
    features : n times (3 * V,) int8, from `whitening.packed`
    bins : layout of the images' size
    block_bytes : bytes of all features that are multiplied at once (`spark.block_bytes`)

    Returns
    -------
    (33, n, n) float32, symmetric
        An image with itself is among them.
    """
    correlations = np.zeros((len(BANDS), len(features), len(features)), np.float32)
    for pieces in parts_of(bins, max(1, block_bytes // len(features))):
        part = slice(pieces[0][1].start, pieces[-1][1].stop)
        values = [feature[part] for feature in features]
        for found in part_products(values, pieces, bins):
            add_products(correlations[found.band], found.first, found.products.ravel())
    correlations /= half_scale(bins)
    return correlations
