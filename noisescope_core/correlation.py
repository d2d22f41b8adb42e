"""Peak-to-correlation energy (PCE) of noise residuals, as matrix products (paper, section 3.2).

For residuals a, b of N pixels, means removed, with C their circular cross-correlation and
p = C at zero shift::

    PCE = sign(p) p^2 / (mean of C^2 over all shifts but the 11 x 11 neighbourhood of zero)

p is a dot product. The sum of C^2 over all shifts is, by Parseval, a dot product of power
spectra. So all pairs of n residuals cost two matrix products and n transforms. What the
neighbourhood (the hole) holds besides p^2 only lowers the mean: leaving it in bounds |PCE| from
below. It is worked out, 121 shifts a pair, for the pairs that can matter.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy import fft

from noisescope_core.compiled import compiled

HOLE = 11
"""Side of the neighbourhood of zero shift that the mean leaves out, in pixels."""

_BATCH = 4


@dataclass(frozen=True)
class Spectra:
    """Residuals of one size, made ready for correlation by `spectra`.

    Attributes
    ----------
    pixels : (n, H * W) float, mean 0
    spectrum : (n, H, 2, W // 2 + 1) float, half of the Fourier transform: of every row the real
        parts, then the imaginary parts
    power : (n, H * (W // 2 + 1)) float; the dot product of two rows is the sum of C^2
    shape : (H, W)
    """

    pixels: NDArray[Any]
    spectrum: NDArray[Any]
    power: NDArray[Any]
    shape: tuple[int, int]

    def __len__(self) -> int:
        return len(self.pixels)


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

    `scipy.fft.set_workers` sets how many threads work, here and on the hole; by default one.

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
    spectrum = np.empty((n, height, 2, width // 2 + 1), dtype)
    power = np.empty((n, height, width // 2 + 1), dtype)
    weights = np.sqrt(half_plane_weights(width) / (height * width)).astype(dtype)

    def transform(images: range) -> None:
        for start in images[::_BATCH]:
            part = slice(start, min(start + _BATCH, images.stop))
            means = stack[part].mean(axis=(1, 2), dtype=np.float64, keepdims=True).astype(dtype)
            np.subtract(stack[part], means, out=centred[part], dtype=dtype)
            _split(fft.rfft2(centred[part], workers=1), weights, spectrum[part], power[part])

    _in_threads(transform, n)
    return Spectra(centred.reshape(n, -1), spectrum, power.reshape(n, -1), (height, width))


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
    products, energy = _products(stack, stack)
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
    products, energy = _products(a, b)
    first, second = (index.ravel() for index in np.indices(products.shape))
    return _refined(a, b, first, second, products, energy).reshape(products.shape)


def above_threshold(a: Spectra, b: Spectra | None, threshold: float, exact: bool = False) -> Pairs:
    """Find the pairs whose PCE is above a threshold, each with its exact PCE.

    Parameters
    ----------
    a : Spectra
    b : Spectra or None
        None takes every pair within `a` once, the smaller row number second.
    threshold : float, at least 0
    exact : bool
        Work out the hole of every pair instead of those that `hole_share` leaves open.
    """
    if threshold < 0:
        raise ValueError(f"threshold must be at least 0, got {threshold}")
    products, energy = _products(a, a if b is None else b)
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
    exact_pce = _refined(a, a if b is None else b, first, second, products, energy)
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


def half_plane_weights(width: int) -> NDArray[np.float64]:
    """Count how often a column of the half spectrum is in the whole one: (W // 2 + 1,)."""
    weights = np.full(width // 2 + 1, 2.0)
    weights[0] = 1
    if width % 2 == 0:
        weights[-1] = 1
    return weights


def _products(a: Spectra, b: Spectra) -> tuple[NDArray[Any], NDArray[Any]]:
    if a.shape != b.shape:
        raise ValueError(f"residuals must have one size, got {a.shape} and {b.shape}")
    return a.pixels @ b.pixels.T, a.power @ b.power.T


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


@compiled
def _split(transform: Any, weights: Any, spectrum: Any, power: Any) -> None:
    """Lay real and imaginary parts apart, so that products of rows vectorise; also the power."""
    for i in range(transform.shape[0]):
        for k in range(transform.shape[1]):
            row, line = transform[i, k], power[i, k]
            real, imaginary = spectrum[i, k, 0], spectrum[i, k, 1]
            for c in range(len(weights)):
                real[c] = row[c].real
                imaginary[c] = row[c].imag
            for c in range(len(weights)):
                line[c] = (real[c] * real[c] + imaginary[c] * imaginary[c]) * weights[c]


def _hole_energy(
    a: Spectra, b: Spectra, first: NDArray[np.intp], second: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Sum C^2 over the hole for a list of pairs.

    Only 121 outputs of the inverse transform are worked out: 11 down each column, then 11 along.
    Rows k and H - k of a cross-spectrum share their cosines and have opposite sines, so only
    their sums and differences are transformed.
    """
    height, width = a.shape
    cosines, sines, along = _hole_transforms(height, width, a.pixels.dtype.name)
    energy = np.empty(len(first))

    def add_up(pairs: range) -> None:
        shape = (height // 2 + 1, _BATCH, 2, width // 2 + 1)
        even, odd = np.zeros(shape, a.pixels.dtype), np.zeros(shape, a.pixels.dtype)
        for start in pairs[::_BATCH]:
            part = slice(start, min(start + _BATCH, pairs.stop))
            m = part.stop - start
            _cross_spectra(a.spectrum, b.spectrum, first[part], second[part], even, odd)
            e = (cosines @ even.reshape(len(even), -1)).reshape(-1, *shape[1:])[:, :m]
            o = (sines @ odd.reshape(len(odd), -1)).reshape(-1, *shape[1:])[:, :m]
            # The sines turn by a quarter: real parts of one meet imaginary parts of the other.
            o = np.stack([-o[:, :, 1], o[:, :, 0]], axis=2)
            hole = np.concatenate([e + o, (e - o)[1:]]).reshape(HOLE * m, -1) @ along
            energy[part] = np.square(hole.reshape(HOLE, m, HOLE)).sum(axis=(0, 2))

    _in_threads(add_up, len(first))
    return energy


def _in_threads(work: Callable[[range], None], count: int) -> None:
    threads = min(fft.get_workers(), -(-count // _BATCH))
    if threads <= 1:
        work(range(count))
        return
    cuts = np.linspace(0, count, threads + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, (range(i, j) for i, j in pairwise(cuts))))


@cache
def _hole_transforms(
    height: int, width: int, dtype: str
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Tables that take a cross-spectrum to C at the shifts of the hole.

    Returns
    -------
    cosines, sines : (6, H // 2 + 1), for the shifts 0 to 5 down the columns
    along : (2 * (W // 2 + 1), 11), for real and imaginary parts, the shifts -5 to 5 along
    """
    shifts = np.arange(HOLE) - HOLE // 2
    rows = 2 * np.pi * np.outer(shifts[HOLE // 2 :], np.arange(height // 2 + 1)) / height
    columns = 2 * np.pi * np.outer(np.arange(width // 2 + 1), shifts) / width
    weights = half_plane_weights(width)[:, None] / (height * width)
    along = np.concatenate([weights * np.cos(columns), -weights * np.sin(columns)])
    return np.cos(rows).astype(dtype), np.sin(rows).astype(dtype), along.astype(dtype)


@compiled
def _cross_spectra(a: Any, b: Any, first: Any, second: Any, even: Any, odd: Any) -> None:
    """Multiply a by conj(b) for a few pairs: sums and differences of rows k and H - k.

    Each loop writes one row, which is what lets the compiler vectorise it.
    """
    height, _, width = a.shape[1:]
    re, im = np.empty(width, a.dtype), np.empty(width, a.dtype)
    for p in range(len(first)):
        left, right = a[first[p]], b[second[p]]
        for k in range(height // 2 + 1):
            er, ei, dr, di = even[k, p, 0], even[k, p, 1], odd[k, p, 0], odd[k, p, 1]
            xr, xi, yr, yi = left[k, 0], left[k, 1], right[k, 0], right[k, 1]
            for c in range(width):
                er[c] = xr[c] * yr[c] + xi[c] * yi[c]
            for c in range(width):
                ei[c] = xi[c] * yr[c] - xr[c] * yi[c]
            if k == 0 or 2 * k == height:
                # These rows have no partner, and their sines are 0.
                dr[:] = er
                di[:] = ei
                continue
            q = height - k
            xr, xi, yr, yi = left[q, 0], left[q, 1], right[q, 0], right[q, 1]
            for c in range(width):
                re[c] = xr[c] * yr[c] + xi[c] * yi[c]
            for c in range(width):
                im[c] = xi[c] * yr[c] - xr[c] * yi[c]
            for c in range(width):
                dr[c] = er[c] - re[c]
            for c in range(width):
                di[c] = ei[c] - im[c]
            for c in range(width):
                er[c] += re[c]
            for c in range(width):
                ei[c] += im[c]
