"""Peak-to-correlation energy (PCE) of noise residuals, as matrix products (paper, section 3.2).

In come residuals or their `Spectra`, out come PCEs: of one pair, of all pairs, or of the pairs
above a threshold (`Pairs`). For residuals a, b of N pixels, means removed, with C their circular
cross-correlation and p = C at zero shift::

    PCE = sign(p) p^2 / (mean of C^2 over all shifts but the 11 x 11 neighbourhood of zero)

p is a dot product: one matrix product for all pairs of n residuals, of which NumPy works out one
half. The sum of C^2 over all shifts, the energy, is by Parseval a dot product of power spectra.
Spectra added up over 16 neighbouring frequencies bound it from below at an eighth of that
product's cost (`DEVIATIONS`), and what the neighbourhood (the hole) holds besides p^2 lowers the
mean by a bounded share (`hole_share`). For the pairs that can matter by these bounds, both are
worked out: one pass over two transforms gives energy and hole, 121 shifts (docs/decisions, 2).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft
from threadpoolctl import threadpool_limits

from noisescope_core.correlation.kernels import HOLE, PAIR_TILE, mark_open, pair_energies
from noisescope_core.correlation.spectra import (
    Spectra,
    aligned,
    folded_of,
    half_plane_weights,
    in_threads,
    spectra,
)

LEAST_IN_HOLE, TIMES_UNRELATED, MOST_IN_HOLE = 0.03, 8, 0.5
"""Bound of the share of the energy in the hole: a share, times that of unrelated residuals, and the
largest it may become. Chosen, six times what real images had (docs/decisions, 2)."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of residuals, or of clusters of them, whose PCE is above a threshold.

    Attributes
    ----------
    first, second : (k,) int64, row numbers or cluster numbers
    pce : (k,) float64
    compared, refined : int
        Pairs looked at, and pairs whose energy and hole were worked out.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    pce: NDArray[np.float64]
    compared: int
    refined: int


def pce(a: ArrayLike, b: ArrayLike) -> float:
    """Compute the PCE of two residuals.

    Parameters
    ----------
    a, b : (H, W) float

    Returns
    -------
    float
        Negative if the residuals are anticorrelated; near a chi-square with one degree of
        freedom if they are unrelated; 0 if one of them is flat.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(64, 64))
    >>> round(pce(noise, noise) / 64**2)
    1
    """
    left, right = np.asarray(a), np.asarray(b)
    if left.shape != right.shape:
        raise ValueError(f"residuals must have one size, got {left.shape} and {right.shape}")
    return float(
        pce_between(spectra(left[None], np.float64), spectra(right[None], np.float64))[0, 0]
    )


def pce_matrix(residuals: ArrayLike) -> NDArray[np.float64]:
    """Compute the exact PCE of all pairs, in float64.

    Parameters
    ----------
    residuals : (n, H, W) float

    Returns
    -------
    (n, n) float64
        Strictly lower triangle filled, the rest 0.
    """
    stack = spectra(residuals, np.float64)
    products = dot_products(stack, stack)
    first, second = np.tril_indices(len(stack), -1)
    matrix = np.zeros((len(stack), len(stack)))
    matrix[first, second] = _exact_pces(stack, stack, first, second, products)
    return matrix


def pce_between(a: Spectra, b: Spectra) -> NDArray[np.float64]:
    """Compute the exact PCE of every residual of `a` with every one of `b`.

    Returns
    -------
    (len(a), len(b)) float64
    """
    products = dot_products(a, b)
    first, second = (index.ravel() for index in np.indices(products.shape))
    return _exact_pces(a, b, first, second, products).reshape(products.shape)


def dot_products(a: Spectra, b: Spectra) -> NDArray[Any]:
    """Multiply the pixels of every residual of `a` and every one of `b`: (len(a), len(b)) float.

    They are linear: those of means of residuals are means of those of the residuals.
    """
    if a.shape != b.shape:
        raise ValueError(f"residuals must have one size, got {a.shape} and {b.shape}")
    return _product(a.pixels, b.pixels)


def above_threshold(
    a: Spectra,
    b: Spectra | None,
    threshold: float,
    exact: bool = False,
    products: NDArray[Any] | None = None,
) -> Pairs:
    """Find the pairs whose PCE is above a threshold, each with its exact PCE.

    Parameters
    ----------
    a : Spectra
    b : Spectra or None
        None takes every pair within `a` once, the smaller row number second.
    threshold : float, at least 0
    exact : bool
        Work out energy and hole of every pair instead of those that their bounds leave
        open.
    products : (len(a), len(b)) float, optional
        `dot_products`, if the caller has them.

    Raises
    ------
    ValueError
        If the threshold is below 0, or the residuals differ in size.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> residuals = rng.normal(size=(5, 64, 64))
    >>> residuals[[1, 3]] += rng.normal(size=(64, 64))
    >>> pairs = above_threshold(spectra(residuals), None, 100)
    >>> pairs.first.tolist(), pairs.second.tolist(), pairs.compared
    ([3], [1], 10)
    """
    if threshold < 0:
        raise ValueError(f"threshold must be at least 0, got {threshold}")
    other = a if b is None else b
    if products is None:
        products = dot_products(a, other)
    compared = len(a) * (len(a) - 1) // 2 if b is None else products.size
    if exact:
        open_pairs = np.ones(products.shape, dtype=bool)
    else:
        bar = threshold * (1 - hole_share(a.pixels.shape[1]))
        shifts = a.pixels.shape[1] - HOLE * HOLE
        means, variance = (_product(a.power[:, k], other.power[:, k]) for k in (0, 1))
        open_pairs = mark_open(products, means, variance, bar, shifts)
    first, second = np.nonzero(np.tril(open_pairs, -1) if b is None else open_pairs)
    exact_pce = _exact_pces(a, other, first, second, products)
    kept = exact_pce > threshold
    return Pairs(first[kept], second[kept], exact_pce[kept], compared, len(first))


def hole_share(pixels: int) -> float:
    """Bound the share of the energy that the hole holds besides p^2, for pairs left unrefined.

    Unrelated residuals have 121 / N of their energy there. On real images it was measured to stay
    below 0.005 at 256 x 256 (docs/decisions, 2). The bound is 0.03 and eight times the share of
    unrelated ones; `above_threshold` with `exact` needs none.

    Parameters
    ----------
    pixels : int
        N, of a residual.

    Returns
    -------
    float, 0..0.5

    Examples
    --------
    >>> round(hole_share(256 * 256), 3)
    0.045
    """
    return min(MOST_IN_HOLE, LEAST_IN_HOLE + TIMES_UNRELATED * HOLE * HOLE / pixels)


def _product(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """Multiply every row by every row; if both are one array, half of that is worked out."""

    def part(i: int, j: int) -> NDArray[Any]:
        product: NDArray[Any] = left[:, i:j] @ right[:, i:j].T
        return product

    threads, columns = fft.get_workers(), left.shape[1]
    if threads <= 1:
        return part(0, columns)
    # BLAS does not share the half out evenly: each thread takes a part of the columns instead.
    cuts = np.linspace(0, columns, threads + 1).astype(int).tolist()
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        total, *others = pool.map(part, cuts, cuts[1:])
    for product in others:
        total += product
    return total


def _exact_pces(
    a: Spectra,
    b: Spectra,
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    products: NDArray[Any],
) -> NDArray[np.float64]:
    """Work out the PCEs of a list of pairs, from dot products, energies and holes: (pairs,)."""
    peak = products[first, second].astype(np.float64)
    total, hole = _energies(a, b, first, second)
    outside = (total - hole) / (a.pixels.shape[1] - HOLE * HOLE)
    # A flat residual has no energy at all: nothing to correlate with.
    flat = total <= 0
    return np.where(flat, 0.0, np.sign(peak) * peak**2 / np.where(flat, 1.0, outside))


def _energies(
    a: Spectra, b: Spectra, first: NDArray[np.intp], second: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Sum C^2 over all shifts and over the hole for a list of pairs: (2, pairs).

    The sum over all is that of X X* over all frequencies, by their number, with X the
    cross-spectrum. The sums over all frequencies (y, x) of ::

        cos(sy) cos(tx) Re X    sin(sy) sin(tx) Re X    cos(sy) sin(tx) Im X    sin(sy) cos(tx) Im X

    give C at (s, t), (s, -t), (-s, t) and (-s, -t) by their signs alone, so the four squares of
    C add up to four times the squares of these sums.
    """
    if a is b:
        left, rows = folded_of(a, np.concatenate([first, second]))
        right, (first, second) = left, np.split(rows, 2)
    else:
        left, first = folded_of(a, first)
        right, second = folded_of(b, second)
    tables = _hole_tables(a.shape, a.pixels.dtype.name)
    # Pairs of few residuals after one another, whose transforms stay in the cache.
    order = np.lexsort((second, first, second // PAIR_TILE, first // PAIR_TILE))
    energies = np.empty((2, len(first)))

    def add_up(pairs: range) -> None:
        for start in pairs[:: PAIR_TILE * PAIR_TILE]:
            part = order[start : min(start + PAIR_TILE * PAIR_TILE, pairs.stop)]
            energies[:, part] = pair_energies(
                (left.both, left.first),
                (right.both, right.first),
                (first[part], second[part]),
                tables,
            )

    in_threads(add_up, len(first))
    return energies


@cache
def _hole_tables(shape: tuple[int, int], dtype: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Tabulate cosines and sines for the shifts 0 to 5.

    Returns
    -------
    along : (2, 6, W // 2), for the frequencies 1 to W // 2 along a row
    across : (2, 6, H // 2 + 1), for those down, each weighed as often as it counts
    """
    height, width = shape
    shifts = np.arange(HOLE // 2 + 1)
    rows = 2 * np.pi * np.outer(shifts, np.arange(height // 2 + 1)) / height
    columns = 2 * np.pi * np.outer(shifts, np.arange(1, width // 2 + 1)) / width
    along = aligned((2, *columns.shape), dtype)
    along[:] = np.cos(columns), np.sin(columns)
    across = np.stack([np.cos(rows), np.sin(rows)]) * half_plane_weights(height) / (height * width)
    return along, across.astype(dtype)
