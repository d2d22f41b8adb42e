"""Residuals made ready for correlation, once for all pairs that they are in.

In comes a stack of residuals of one size, out come `Spectra`: pixels without their mean, and the
power of groups of frequencies, which bounds the energy of a pair. Transforms are laid out for the
hole (`FoldedTransforms`) where a pair asks for them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy import fft

from noisescope_core.correlation.kernels import GROUP_WIDTH, HOLE, fold, group_power

IMAGES_AT_ONCE = 4
"""Residuals that a thread transforms at a time. Chosen: their transforms stay in the cache."""

CACHE_LINE = 64
"""Bytes of a line of the processor's cache."""


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
    def folded(self) -> FoldedTransforms:
        """Transforms of all residuals, for holes."""
        return _folded(self, np.arange(len(self)))


@dataclass(frozen=True)
class FoldedTransforms:
    """Half of the Fourier transforms, frequencies k and W - k along a row side by side.

    Attributes
    ----------
    both : (n, H // 2 + 1, 4, W // 2), for k = 1..W // 2 real and imaginary parts at k, then at
        W - k, 0 where that is k itself
    first : (n, H // 2 + 1, 2), real and imaginary part at k = 0
    """

    both: NDArray[Any]
    first: NDArray[Any]


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
    power = np.empty((n, 2, height // 2 + 1, -(-width // GROUP_WIDTH)))
    weights = np.sqrt(half_plane_weights(height) / (height * width))

    def transform(images: range) -> None:
        for start in images[::IMAGES_AT_ONCE]:
            part = slice(start, min(start + IMAGES_AT_ONCE, images.stop))
            pixels = centred[part]
            if not in_place:
                pixels[:] = stack[part]
            pixels -= pixels.mean(axis=(1, 2), keepdims=True)
            group_power(_transform(pixels), weights, power[part])

    in_threads(transform, n)
    return Spectra(centred.reshape(n, -1), power.reshape(n, 2, -1), (height, width))


def half_plane_weights(side: int) -> NDArray[np.float64]:
    """Count how often a line of the half spectrum is in the whole one: (side // 2 + 1,).

    Examples
    --------
    >>> half_plane_weights(6).tolist()
    [1.0, 2.0, 2.0, 1.0]
    """
    weights = np.full(side // 2 + 1, 2.0)
    weights[0] = 1
    if side % 2 == 0:
        weights[-1] = 1
    return weights


def _transform(pixels: NDArray[Any]) -> NDArray[Any]:
    """Transform (m, H, W): the upper half of the spectra, (m, H // 2 + 1, W)."""
    transform: NDArray[Any] = fft.rfft2(pixels, axes=(2, 1), workers=1)
    return transform


def folded_of(a: Spectra, rows: NDArray[np.intp]) -> tuple[FoldedTransforms, NDArray[np.intp]]:
    """Transform no residual but those that pairs meet.

    Parameters
    ----------
    rows : (p,) int, row numbers of `a`, in any order and as often as they come

    Returns
    -------
    transforms : FoldedTransforms
    rows : (p,) int
        Row numbers among these transforms.
    """
    met, rows = np.unique(rows, return_inverse=True)
    return (a.folded if len(met) == len(a) else _folded(a, met)), rows


def _folded(a: Spectra, rows: NDArray[np.intp]) -> FoldedTransforms:
    """Transform some residuals."""
    height, width = a.shape
    both = aligned((len(rows), height // 2 + 1, 4, width // 2), a.pixels.dtype)
    first = np.empty((len(rows), height // 2 + 1, 2), a.pixels.dtype)

    def fill(images: range) -> None:
        for start in images[::IMAGES_AT_ONCE]:
            part = slice(start, min(start + IMAGES_AT_ONCE, images.stop))
            pixels = a.pixels[rows[part]].reshape(-1, height, width)
            fold(_transform(pixels), both[part], first[part])

    in_threads(fill, len(rows))
    return FoldedTransforms(both, first)


def in_threads(work: Callable[[range], None], count: int) -> None:
    """Share `count` pieces of work out to the threads that `scipy.fft.set_workers` allows."""
    threads = min(fft.get_workers(), -(-count // IMAGES_AT_ONCE))
    if threads <= 1:
        work(range(count))
        return
    cuts = np.linspace(0, count, threads + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, (range(i, j) for i, j in pairwise(cuts))))


def aligned(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Make an array that starts on a cache line; loads across two cost a fifth of the time."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.empty(size + CACHE_LINE, np.uint8)
    start = -room.ctypes.data % CACHE_LINE
    return room[start : start + size].view(dtype).reshape(shape)
