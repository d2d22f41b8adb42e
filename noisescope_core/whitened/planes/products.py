"""Correlations of features, band by band (docs/method.md, step 1; docs/decisions, 9).

In come the features of n and m images, out come 33 correlations of each pair, as one product of
matrices a band. Large piles are cut by values, not by images: `products_below` works on a part of
the values of all images, in whole numbers, so that no cut changes a sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisescope_core.whitened.planes.bands import BANDS, Layout

BLOCK_ROWS = 256
"""Rows of products that are handed on at a time. Chosen: it bounds the memory of a row of a
table."""

WIDENED = 16_384
"""Values of every feature that are turned into floats at a time. Chosen: it bounds memory to 64 KB
an image."""


def band_correlations(
    a: NDArray[Any] | list[NDArray[Any]], b: NDArray[Any] | list[NDArray[Any]], bins: Layout
) -> NDArray[np.float32]:
    """Correlate every feature of `a` with every one of `b`, band by band.

    Parameters
    ----------
    a : n times (3, V), any numbers
        Features, from `whitening.whitened_planes`.
    b : m times (3, V)
        The same array as `a` for all pairs of `a`, of which BLAS works out one half.
    bins : layout of the size

    Returns
    -------
    (33, n, m) float32
        In the order of `BANDS`; the bands of one plane sum to the correlation of that plane,
        -1..1.
    """
    products = np.empty((len(BANDS), len(a), len(b)), np.float32)
    longest = max(part.stop - part.start for _, part in bins.slices())
    # Widened band by band and in one place: memory asked for anew is slow to come.
    widened = np.empty((len(a) + (0 if b is a else len(b)), longest), np.float32)
    for band, (plane, part) in enumerate(bins.slices()):
        values = widened[:, : part.stop - part.start]
        for row, feature in zip(values, chain(a, () if b is a else b), strict=True):
            row[:] = feature[plane, part]
        left = values[: len(a)]
        right = left if b is a else values[len(a) :]
        np.matmul(left, right.T, out=products[band])
    products /= bins.values
    return products


def products_below(
    features: list[NDArray[np.int8]], parts: list[slice]
) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """Multiply every feature with those before it and itself, part by part.

    Products of bytes are whole numbers, and below 2^24 float32 adds such numbers without error: the
    sums of a band are the same however rows, values and threads are cut.

    Parameters
    ----------
    features : n times (V,) int8
    parts : of the values

    Yields
    ------
    part : int
        Its number.
    first : int
        A row; blocks are `BLOCK_ROWS` high.
    products : (r, first + r) float32
        Of rows first to first + r with all up to first + r; written anew at the next step.
    """
    rows = len(features)
    longest = max(part.stop - part.start for part in parts)
    widened = np.empty((rows, min(WIDENED, longest)), np.float32)
    total, more = np.empty((2, rows, rows), np.float32)
    for number, part in enumerate(parts):
        for start in range(part.start, part.stop, WIDENED):
            stop = min(start + WIDENED, part.stop)
            values = widened[:, : stop - start]
            for row, feature in zip(values, features, strict=True):
                row[:] = feature[start:stop]
            # Of a matrix with itself BLAS works out one half.
            if start == part.start:
                np.matmul(values, values.T, out=total)
            else:
                total += np.matmul(values, values.T, out=more)
        for first in range(0, rows, BLOCK_ROWS):
            last = min(first + BLOCK_ROWS, rows)
            yield number, first, total[first:last, :last]
