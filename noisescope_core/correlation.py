"""Peak-to-correlation energy (PCE) of noise residuals, as matrix products (paper, section 3.2).

For residuals a, b of N pixels, means removed, with C their circular cross-correlation and
p = C at zero shift::

    PCE = sign(p) p^2 / (mean of C^2 over all shifts but the 11 x 11 neighbourhood of zero)

p is a dot product: one matrix product for all pairs of n residuals, of which NumPy works out one
half. The sum of C^2 over all shifts, the energy, is by Parseval a dot product of power spectra.
Spectra added up over 16 neighbouring frequencies bound it from below at an eighth of that
product's cost (`DEVIATIONS`), and what the neighbourhood (the hole) holds besides p^2 lowers the
mean by a bounded share (`hole_share`). For the pairs that can matter by these bounds, both are
worked out: one pass over two transforms gives energy and hole, 121 shifts.
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

GROUP = 16
"""Neighbouring frequencies of a row whose power is added up."""

DEVIATIONS = 8
"""Standard deviations between the energy and its lower bound.

The energy is the sum of P Q over all frequencies, P and Q the powers of two residuals. With their
means over groups in place of P and Q it differs by the sum of the products of their deviations.
Where the two have nothing in common each product has mean 0 and whatever variance the two have in
its group; lines in common make the sum positive; lines of the one beside lines of the other make
it negative, but the variance large as well.
"""

_BATCH = 4
_TILE = 8


@dataclass(frozen=True)
class Spectra:
    """Residuals of one size, made ready for correlation by `spectra`.

    Attributes
    ----------
    pixels : (n, H * W) float, mean 0
    power : (n, 2, (H // 2 + 1) * ceil(W / 16)) float64, of every group of frequencies the power
        and the power's squared deviations from their mean, both over the root of its size
    shape : (H, W)
    """

    pixels: NDArray[Any]
    power: NDArray[np.float64]
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
        Pairs looked at, and pairs whose energy and hole were worked out.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    pce: NDArray[np.float64]
    compared: int
    refined: int


def spectra(
    residuals: ArrayLike, dtype: DTypeLike = np.float32, overwrite: bool = False
) -> Spectra:
    """Remove the means and transform a stack of residuals, once for all its pairs.

    `scipy.fft.set_workers` sets how many threads work, here, on products and on the hole; by
    default one, and as many as BLAS has on products.

    Parameters
    ----------
    residuals : (n, H, W) float
    dtype : float32 or float64
    overwrite : bool
        Residuals of this dtype may be changed: their means are removed in place, without a copy.

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
    in_place = overwrite and stack.dtype == dtype and stack.flags.carray
    centred = stack if in_place else np.empty((n, height, width), dtype)
    power = np.empty((n, 2, height // 2 + 1, -(-width // GROUP)))
    weights = np.sqrt(half_plane_weights(height) / (height * width))

    def transform(images: range) -> None:
        for start in images[::_BATCH]:
            part = slice(start, min(start + _BATCH, images.stop))
            pixels = centred[part]
            if not in_place:
                pixels[:] = stack[part]
            pixels -= pixels.mean(axis=(1, 2), keepdims=True)
            _power(_transform(pixels), weights, power[part])

    _in_threads(transform, n)
    return Spectra(centred.reshape(n, -1), power.reshape(n, 2, -1), (height, width))


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


def correlation_surface(a: ArrayLike, b: ArrayLike) -> NDArray[np.float32]:
    """Correlate two residuals at all shifts (paper, section 3.2).

    Parameters
    ----------
    a, b : (H, W) float

    Returns
    -------
    (H, W) float32
        No shift at [H // 2, W // 2], around the borders as on a torus; in units of the root of
        the mean square outside the hole, so the square in the middle is `pce(a, b)`.
    """
    left, right = (np.asarray(one, np.float64) for one in (a, b))
    shape = (left.shape[0], left.shape[1])
    spectra_ = [fft.rfft2(one - one.mean()) for one in (left, right)]
    surface = fft.fftshift(fft.irfft2(np.conj(spectra_[0]) * spectra_[1], s=shape))
    outside = np.ones(shape, bool)
    outside[middle_hole(shape)] = False
    return np.asarray(surface / np.sqrt(np.square(surface[outside]).mean() + 1e-30), np.float32)


def peak_shift(surface: NDArray[np.floating]) -> tuple[int, int]:
    """Find the shift (x, y) where a `correlation_surface` is highest."""
    height, width = surface.shape
    row, column = np.unravel_index(int(surface.argmax()), surface.shape)
    return int(column) - width // 2, int(row) - height // 2


def peak_in_the_middle(surface: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn a `correlation_surface` on its torus, its peak to [H // 2, W // 2]."""
    x, y = peak_shift(surface)
    return np.roll(surface, (-y, -x), (0, 1))


def middle_hole(shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Give the hole of PCE around [H // 2, W // 2] (paper, section 3.2)."""
    return tuple(slice(side // 2 - HOLE // 2, side // 2 + HOLE // 2 + 1) for side in shape)


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
    matrix[first, second] = _refined(stack, stack, first, second, products)
    return matrix


def pce_between(a: Spectra, b: Spectra) -> NDArray[np.float64]:
    """Compute the exact PCE of every residual of `a` with every one of `b`.

    Returns
    -------
    (len(a), len(b)) float64
    """
    products = dot_products(a, b)
    first, second = (index.ravel() for index in np.indices(products.shape))
    return _refined(a, b, first, second, products).reshape(products.shape)


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
        `dot_products`, if they are known.
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
        open_pairs = _open(products, means, variance, bar, shifts)
    first, second = np.nonzero(np.tril(open_pairs, -1) if b is None else open_pairs)
    exact_pce = _refined(a, other, first, second, products)
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
        total, *rest = pool.map(part, cuts, cuts[1:])
    for product in rest:
        total += product
    return total


@compiled
def _open(products: Any, means: Any, variance: Any, bar: float, shifts: int) -> Any:
    """Mark the pairs whose PCE may be above a threshold of which `bar` is left by the hole."""
    open_pairs = np.empty(products.shape, np.bool_)
    for i in range(products.shape[0]):
        for j in range(products.shape[1]):
            peak = np.float64(products[i, j])
            least = means[i, j] - DEVIATIONS * np.sqrt(variance[i, j])
            # The bound p^2 (N - 121) / (energy - p^2) in a form without a division.
            open_pairs[i, j] = peak > 0 and peak * peak * (shifts + bar) > least * bar
    return open_pairs


def _refined(
    a: Spectra,
    b: Spectra,
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    products: NDArray[Any],
) -> NDArray[np.float64]:
    peak = products[first, second].astype(np.float64)
    total, hole = _energies(a, b, first, second)
    rest = (total - hole) / (a.pixels.shape[1] - HOLE * HOLE)
    # A flat residual has no energy at all: nothing to correlate with.
    flat = total <= 0
    return np.where(flat, 0.0, np.sign(peak) * peak**2 / np.where(flat, 1.0, rest))


def _transform(pixels: NDArray[Any]) -> NDArray[Any]:
    """Transform (m, H, W): the upper half of the spectra, (m, H // 2 + 1, W)."""
    transform: NDArray[Any] = fft.rfft2(pixels, axes=(2, 1), workers=1)
    return transform


@compiled
def _power(transform: Any, weights: Any, power: Any) -> None:
    width = transform.shape[2]
    for i in range(transform.shape[0]):
        for k in range(transform.shape[1]):
            row = transform[i, k]
            for group in range(power.shape[3]):
                first, last = group * GROUP, min((group + 1) * GROUP, width)
                total = squares = row[0].real * 0
                for c in range(first, last):
                    value = row[c].real * row[c].real + row[c].imag * row[c].imag
                    total += value
                    squares += value * value
                level, scale = weights[k] * total, 1 / np.sqrt(last - first)
                power[i, 0, k, group] = scale * level
                deviations = weights[k] ** 2 * squares - level**2 / (last - first)
                power[i, 1, k, group] = scale * max(deviations, 0)


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
        left, rows = _folded_of(a, np.concatenate([first, second]))
        right, (first, second) = left, np.split(rows, 2)
    else:
        left, first = _folded_of(a, first)
        right, second = _folded_of(b, second)
    along, across = _hole_tables(a.shape, a.pixels.dtype.name)
    # Pairs of few residuals after one another, whose transforms stay in the cache.
    order = np.lexsort((second, first, second // _TILE, first // _TILE))
    energies = np.empty((2, len(first)))

    def add_up(pairs: range) -> None:
        for start in pairs[:: _TILE * _TILE]:
            part = order[start : min(start + _TILE * _TILE, pairs.stop)]
            energies[:, part] = _energies_of(
                left.both, left.first, right.both, right.first,
                first[part], second[part], along, across,
            )  # fmt: skip

    _in_threads(add_up, len(first))
    return energies


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
def _energies_of(
    a: Any, a0: Any, b: Any, b0: Any, first: Any, second: Any, along: Any, across: Any
) -> Any:
    """Work out energy and hole of a few pairs; the sums of one row's loop stay in registers."""
    lines = a.shape[1]
    sums = np.empty((len(first), 2, HOLE, lines), a.dtype)
    energies = np.zeros((2, len(first)))
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
            energy = re0 * re0 + im0 * im0
            for x in range(along.shape[2]):
                re = ar[x] * br[x] + ai[x] * bi[x]
                im = ai[x] * br[x] - ar[x] * bi[x]
                re_ = cr[x] * dr[x] + ci[x] * di[x]
                im_ = ci[x] * dr[x] - cr[x] * di[x]
                energy += re * re + im * im + re_ * re_ + im_ * im_
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
            energies[0, p] += energy * across[0, 0, y]
            with_cos = (re0, re1, re2, re3, re4, re5, ei1, ei2, ei3, ei4, ei5)
            with_sin = (im0, im1, im2, im3, im4, im5, er1, er2, er3, er4, er5)
            for k in range(HOLE):
                sums[p, 0, k, y] = with_cos[k]
                sums[p, 1, k, y] = with_sin[k]
    for p in range(len(first)):
        for half in range(2):
            for k in range(HOLE):
                line = sums[p, half, k]
                for shift in range(half, along.shape[1]):
                    wave, c = across[half, shift], a.dtype.type(0)
                    for y in range(lines):
                        c += line[y] * wave[y]
                    energies[1, p] += c * c * ((2 if shift else 1) * (2 if k else 1))
    return energies
