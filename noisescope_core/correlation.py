"""Peak-to-correlation energy (PCE) of noise residuals, as matrix products (paper, section 3.2).

For residuals a, b of N pixels, means removed, with C their circular cross-correlation and
p = C at zero shift::

    PCE = sign(p) p^2 / (mean of C^2 over all shifts but the 11 x 11 neighbourhood of zero)

p is a dot product. The sum of C^2 over all shifts is, by Parseval, a dot product of power
spectra. So all pairs of n residuals cost two matrix products and n transforms, and of a product
of a stack with itself NumPy works out one half. What the neighbourhood (the hole) holds besides
p^2 only lowers the mean: leaving it in bounds |PCE| from below. It is worked out, 121 shifts a
pair, for the pairs that can matter.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy import fft
from threadpoolctl import threadpool_limits

from noisescope_core.compiled import compiled, compiled_sums

HOLE = 11
"""Side of the neighbourhood of zero shift that the mean leaves out, in pixels."""

_BATCH = 4
_TILE = 8


@dataclass(frozen=True)
class Spectra:
    """Residuals of one size, made ready for correlation by `spectra`.

    Attributes
    ----------
    pixels : (n, H * W) float, mean 0
    power : (n, (H // 2 + 1) * W) float; the dot product of two rows is the sum of C^2
    shape : (H, W)
    """

    pixels: NDArray[Any]
    power: NDArray[Any]
    shape: tuple[int, int]

    def __len__(self) -> int:
        return len(self.pixels)

    @cached_property
    def folded(self) -> _Folded:
        """Transforms of all residuals, for holes."""
        return _folded(self, np.arange(len(self)))


@dataclass(frozen=True)
class _Folded:
    """Half of the Fourier transforms, frequencies k and W - k along a row side by side.

    Attributes
    ----------
    both : (n, H // 2 + 1, 4, W // 2), for k = 1..W // 2 real and imaginary parts at k, then at
        W - k, 0 where that is k itself
    first : (n, H // 2 + 1, 2), real and imaginary part at k = 0
    """

    both: NDArray[Any]
    first: NDArray[Any]


@dataclass(frozen=True)
class Pairs:
    """Pairs of residuals whose PCE is above a threshold.

    Attributes
    ----------
    first, second : (k,) int64, row numbers
    pce : (k,) float64
    compared, refined : int
        Pairs looked at, and pairs whose hole was worked out.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    pce: NDArray[np.float64]
    compared: int
    refined: int


def spectra(residuals: ArrayLike, dtype: DTypeLike = np.float32) -> Spectra:
    """Remove the means and transform a stack of residuals, once for all its pairs.

    `scipy.fft.set_workers` sets how many threads work, here, on products and on the hole; by
    default one, and as many as BLAS has on products.

    Parameters
    ----------
    residuals : (n, H, W) float
    dtype : float32 or float64

    Raises
    ------
    ValueError
        If the stack is not three-dimensional or a side is shorter than the hole.
    """
    stack = np.asarray(residuals)
    if stack.ndim != 3:
        raise ValueError(f"residuals must be a stack (n, H, W), got shape {stack.shape}")
    n, height, width = stack.shape
    if min(height, width) <= HOLE:
        raise ValueError(f"residuals must be larger than {HOLE} x {HOLE}, got {height} x {width}")
    dtype = np.dtype(dtype)
    centred = np.empty((n, height, width), dtype)
    power = np.empty((n, height // 2 + 1, width), dtype)
    weights = np.sqrt(half_plane_weights(height) / (height * width)).astype(dtype)

    def transform(images: range) -> None:
        for start in images[::_BATCH]:
            part = slice(start, min(start + _BATCH, images.stop))
            pixels = centred[part]
            pixels[:] = stack[part]
            pixels -= pixels.mean(axis=(1, 2), keepdims=True)
            _power(_transform(pixels), weights, power[part])

    _in_threads(transform, n)
    return Spectra(centred.reshape(n, -1), power.reshape(n, -1), (height, width))


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
    >>> round(pce(noise, noise) / 64**2, 1)
    1.0
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
    products, energy = dot_products(stack, stack), _product(stack.power, stack.power)
    first, second = np.tril_indices(len(stack), -1)
    matrix = np.zeros((len(stack), len(stack)))
    matrix[first, second] = _refined(stack, stack, first, second, products, energy)
    return matrix


def pce_between(a: Spectra, b: Spectra) -> NDArray[np.float64]:
    """Compute the exact PCE of every residual of `a` with every one of `b`.

    Returns
    -------
    (len(a), len(b)) float64
    """
    products, energy = dot_products(a, b), _product(a.power, b.power)
    first, second = (index.ravel() for index in np.indices(products.shape))
    return _refined(a, b, first, second, products, energy).reshape(products.shape)


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
        Work out the hole of every pair instead of those that `hole_share` leaves open.
    products : (len(a), len(b)) float, optional
        `dot_products`, if they are known.
    """
    if threshold < 0:
        raise ValueError(f"threshold must be at least 0, got {threshold}")
    other = a if b is None else b
    if products is None:
        products = dot_products(a, other)
    energy = _product(a.power, other.power)
    compared = len(a) * (len(a) - 1) // 2 if b is None else products.size
    if exact:
        open_pairs = np.ones(products.shape, dtype=bool)
    else:
        # The bound p^2 (N - 121) / (energy - p^2) in a form without a division.
        bar = threshold * (1 - hole_share(a.pixels.shape[1]))
        shifts = a.pixels.shape[1] - HOLE * HOLE
        open_pairs = products > 0
        open_pairs &= products * products * (shifts + bar) > energy * bar
    first, second = np.nonzero(np.tril(open_pairs, -1) if b is None else open_pairs)
    exact_pce = _refined(a, other, first, second, products, energy)
    kept = exact_pce > threshold
    return Pairs(first[kept], second[kept], exact_pce[kept], compared, len(first))


def hole_share(pixels: int) -> float:
    """Bound the share of the energy that the hole holds besides p^2, for pairs left unrefined.

    Unrelated residuals have 121 / N of their energy there; on real images it stays below 0.005
    at 256 x 256. The bound is 0.03 and eight times the former; `exact=True` needs none.

    Examples
    --------
    >>> round(hole_share(256 * 256), 3)
    0.045
    """
    return min(0.5, 0.03 + 8 * HOLE * HOLE / pixels)


def half_plane_weights(side: int) -> NDArray[np.float64]:
    """Count how often a line of the half spectrum is in the whole one: (side // 2 + 1,)."""
    weights = np.full(side // 2 + 1, 2.0)
    weights[0] = 1
    if side % 2 == 0:
        weights[-1] = 1
    return weights


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
        return np.asarray(sum(pool.map(part, cuts, cuts[1:])))


def _refined(
    a: Spectra,
    b: Spectra,
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    products: NDArray[Any],
    energy: NDArray[Any],
) -> NDArray[np.float64]:
    peak = products[first, second].astype(np.float64)
    total = energy[first, second].astype(np.float64)
    shifts = a.pixels.shape[1] - HOLE * HOLE
    rest = (total - _hole_energy(a, b, first, second)) / shifts
    # A flat residual has no energy at all: nothing to correlate with.
    flat = total <= 0
    return np.where(flat, 0.0, np.sign(peak) * peak**2 / np.where(flat, 1.0, rest))


def _transform(pixels: NDArray[Any]) -> NDArray[Any]:
    """Transform (m, H, W): the upper half of the spectra, (m, H // 2 + 1, W)."""
    transform: NDArray[Any] = fft.rfft2(pixels, axes=(2, 1), workers=1)
    return transform


@compiled
def _power(transform: Any, weights: Any, power: Any) -> None:
    for i in range(transform.shape[0]):
        for k in range(transform.shape[1]):
            row, line, weight = transform[i, k], power[i, k], weights[k]
            for c in range(len(row)):
                line[c] = (row[c].real * row[c].real + row[c].imag * row[c].imag) * weight


def _hole_energy(
    a: Spectra, b: Spectra, first: NDArray[np.intp], second: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Sum C^2 over the hole for a list of pairs.

    With X a cross-spectrum, the sums over all frequencies (y, x) of ::

        cos(sy) cos(tx) Re X    sin(sy) sin(tx) Re X    cos(sy) sin(tx) Im X    sin(sy) cos(tx) Im X

    give C at (s, t), (s, -t), (-s, t) and (-s, -t) by their signs alone, so the four squares of
    C add up to four times the squares of these sums.
    """
    if a is b:
        left, rows = _folded_of(a, np.concatenate([first, second]))
        right, (first, second) = left, np.split(rows, 2)
    else:
        left, first = _folded_of(a, first)
        right, second = _folded_of(b, second)
    along, across = _hole_tables(a.shape, a.pixels.dtype.name)
    # Pairs of few residuals after one another, whose transforms stay in the cache.
    order = np.lexsort((second, first, second // _TILE, first // _TILE))
    energy = np.empty(len(first))

    def add_up(pairs: range) -> None:
        for start in pairs[:: _TILE * _TILE]:
            part = order[start : min(start + _TILE * _TILE, pairs.stop)]
            energy[part] = _hole_of(
                left.both, left.first, right.both, right.first,
                first[part], second[part], along, across,
            )  # fmt: skip

    _in_threads(add_up, len(first))
    return energy


def _folded_of(a: Spectra, rows: NDArray[np.intp]) -> tuple[_Folded, NDArray[np.intp]]:
    """Transform no residual but those met; also the rows they then have."""
    met, rows = np.unique(rows, return_inverse=True)
    return (a.folded if len(met) == len(a) else _folded(a, met)), rows


def _folded(a: Spectra, rows: NDArray[np.intp]) -> _Folded:
    height, width = a.shape
    both = _aligned((len(rows), height // 2 + 1, 4, width // 2), a.pixels.dtype)
    first = np.empty((len(rows), height // 2 + 1, 2), a.pixels.dtype)

    def fill(images: range) -> None:
        for start in images[::_BATCH]:
            part = slice(start, min(start + _BATCH, images.stop))
            pixels = a.pixels[rows[part]].reshape(-1, height, width)
            _fold(_transform(pixels), both[part], first[part])

    _in_threads(fill, len(rows))
    return _Folded(both, first)


@compiled
def _fold(transform: Any, both: Any, first: Any) -> None:
    width = transform.shape[2]
    for i in range(transform.shape[0]):
        for k in range(transform.shape[1]):
            row, ahead, out = transform[i, k], first[i, k], both[i, k]
            ahead[0], ahead[1] = row[0].real, row[0].imag
            for c in range(width // 2):
                out[0, c], out[1, c] = row[c + 1].real, row[c + 1].imag
            for c in range(width // 2):
                out[2, c], out[3, c] = row[width - 1 - c].real, row[width - 1 - c].imag
            if width % 2 == 0:
                out[2:, width // 2 - 1] = 0


def _in_threads(work: Callable[[range], None], count: int) -> None:
    threads = min(fft.get_workers(), -(-count // _BATCH))
    if threads <= 1:
        work(range(count))
        return
    cuts = np.linspace(0, count, threads + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, (range(i, j) for i, j in pairwise(cuts))))


def _aligned(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Make an array that starts on a cache line: loads across two cost a fifth of the time."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.empty(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(dtype).reshape(shape)


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
    along = _aligned((2, *columns.shape), dtype)
    along[:] = np.cos(columns), np.sin(columns)
    across = np.stack([np.cos(rows), np.sin(rows)]) * half_plane_weights(height) / (height * width)
    return along, across.astype(dtype)


@compiled_sums
def _hole_of(
    a: Any, a0: Any, b: Any, b0: Any, first: Any, second: Any, along: Any, across: Any
) -> Any:
    """Work out the hole of a few pairs; the sums of one row's loop stay in registers."""
    lines = a.shape[1]
    sums = np.empty((len(first), 2, HOLE, lines), a.dtype)
    c1, c2, c3, c4, c5 = along[0, 1], along[0, 2], along[0, 3], along[0, 4], along[0, 5]
    s1, s2, s3, s4, s5 = along[1, 1], along[1, 2], along[1, 3], along[1, 4], along[1, 5]
    for y in range(lines):
        for p in range(len(first)):
            left, right = a[first[p], y], b[second[p], y]
            ar, ai, br, bi = left[0], left[1], right[0], right[1]
            cr, ci, dr, di = left[2], left[3], right[2], right[3]
            u, v = a0[first[p], y], b0[second[p], y]
            re0 = u[0] * v[0] + u[1] * v[1]
            im0 = u[1] * v[0] - u[0] * v[1]
            re1 = re2 = re3 = re4 = re5 = re0
            im1 = im2 = im3 = im4 = im5 = im0
            zero = re0 - re0
            er1 = er2 = er3 = er4 = er5 = ei1 = ei2 = ei3 = ei4 = ei5 = zero
            for x in range(along.shape[2]):
                re = ar[x] * br[x] + ai[x] * bi[x]
                im = ai[x] * br[x] - ar[x] * bi[x]
                re_ = cr[x] * dr[x] + ci[x] * di[x]
                im_ = ci[x] * dr[x] - cr[x] * di[x]
                # The two frequencies share their cosines and have opposite sines.
                er, ei = re - re_, im - im_
                re, im = re + re_, im + im_
                re0 += re
                im0 += im
                re1 += c1[x] * re
                im1 += c1[x] * im
                er1 += s1[x] * er
                ei1 += s1[x] * ei
                re2 += c2[x] * re
                im2 += c2[x] * im
                er2 += s2[x] * er
                ei2 += s2[x] * ei
                re3 += c3[x] * re
                im3 += c3[x] * im
                er3 += s3[x] * er
                ei3 += s3[x] * ei
                re4 += c4[x] * re
                im4 += c4[x] * im
                er4 += s4[x] * er
                ei4 += s4[x] * ei
                re5 += c5[x] * re
                im5 += c5[x] * im
                er5 += s5[x] * er
                ei5 += s5[x] * ei
            with_cos = (re0, re1, re2, re3, re4, re5, ei1, ei2, ei3, ei4, ei5)
            with_sin = (im0, im1, im2, im3, im4, im5, er1, er2, er3, er4, er5)
            for k in range(HOLE):
                sums[p, 0, k, y] = with_cos[k]
                sums[p, 1, k, y] = with_sin[k]
    energy = np.zeros(len(first))
    for p in range(len(first)):
        for half in range(2):
            for k in range(HOLE):
                line = sums[p, half, k]
                for shift in range(half, along.shape[1]):
                    wave, c = across[half, shift], a.dtype.type(0)
                    for y in range(lines):
                        c += line[y] * wave[y]
                    energy[p] += c * c * ((2 if shift else 1) * (2 if k else 1))
    return energy
