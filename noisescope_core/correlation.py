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

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy import fft

HOLE = 11
"""Side of the neighbourhood of zero shift that the mean leaves out, in pixels."""

_BATCH = 8


@dataclass(frozen=True)
class Spectra:
    """Residuals of one size, made ready for correlation by `spectra`.

    Attributes
    ----------
    pixels : (n, H * W) float, mean 0
    spectrum : (n, H, W // 2 + 1) complex, half of the Fourier transform
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
    means = stack.mean(axis=(1, 2), dtype=np.float64, keepdims=True)
    centred = np.subtract(stack, means, dtype=np.float64).astype(dtype, copy=False)
    spectrum = np.empty((n, height, width // 2 + 1), np.result_type(centred.dtype, np.complex64))
    power = np.empty((n, height, width // 2 + 1), centred.dtype)
    weights = np.sqrt(_half_plane_weights(width) / (height * width)).astype(centred.dtype)
    for i in range(n):
        spectrum[i] = fft.rfft2(centred[i])
        np.multiply(spectrum[i].real ** 2 + spectrum[i].imag ** 2, weights, out=power[i])
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


def _half_plane_weights(width: int) -> NDArray[np.float64]:
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


@cache
def _hole_transforms(height: int, width: int, dtype: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Real matrices that take a cross-spectrum to C at the shifts of the hole.

    (real, imaginary) pairs stay interleaved, so that a complex array is used as it lies.
    """
    shifts = np.arange(HOLE) - HOLE // 2
    columns = 2 * np.pi * np.outer(np.arange(width // 2 + 1), shifts) / width
    rows = 2 * np.pi * np.outer(np.arange(height), shifts) / height
    weights = _half_plane_weights(width)[:, None]
    cos, sin = weights * np.cos(columns), weights * np.sin(columns)
    along = np.empty((width // 2 + 1, 2, HOLE, 2))
    along[:, 0, :, 0], along[:, 0, :, 1] = cos, sin
    along[:, 1, :, 0], along[:, 1, :, 1] = -sin, cos
    down = np.stack([np.cos(rows), -np.sin(rows)], axis=1) / (height * width)
    return (
        np.ascontiguousarray(along.reshape(-1, 2 * HOLE), dtype=dtype),
        np.ascontiguousarray(down.reshape(-1, HOLE), dtype=dtype),
    )


def _hole_energy(
    a: Spectra, b: Spectra, first: NDArray[np.intp], second: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Sum C^2 over the hole for a list of pairs, sorted by `first`."""
    height, width = a.shape
    along, down = _hole_transforms(height, width, a.pixels.dtype.name)
    energy = np.empty(len(first))
    cross = np.empty((_BATCH, *b.spectrum.shape[1:]), b.spectrum.dtype)
    for start in range(0, len(first), _BATCH):
        stop = min(start + _BATCH, len(first))
        for k, (i, j) in enumerate(zip(first[start:stop], second[start:stop], strict=True)):
            np.multiply(a.spectrum[i], b.spectrum[j].conj(), out=cross[k])
        m = stop - start
        half = cross[:m].view(a.pixels.dtype).reshape(m * height, -1) @ along
        half = half.reshape(m, height, HOLE, 2).transpose(0, 2, 1, 3).reshape(m * HOLE, -1)
        energy[start:stop] = np.square((half @ down).reshape(m, -1)).sum(axis=1)
    return energy
