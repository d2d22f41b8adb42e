"""The correlation of two residuals at all shifts, and where its peak lies (paper, section 3.2).

In come two residuals, out comes a picture of their correlation, for people to look at.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from noisescope_core.correlation.kernels import HOLE


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
    left, right = (np.asarray(residual, np.float64) for residual in (a, b))
    shape = (left.shape[0], left.shape[1])
    transforms = [fft.rfft2(residual - residual.mean()) for residual in (left, right)]
    surface = fft.fftshift(fft.irfft2(np.conj(transforms[0]) * transforms[1], s=shape))
    outside = np.ones(shape, bool)
    outside[middle_hole(shape)] = False
    return np.asarray(surface / np.sqrt(np.square(surface[outside]).mean() + 1e-30), np.float32)


def peak_shift(surface: NDArray[np.floating]) -> tuple[int, int]:
    """Find the shift (x, y), in pixels, where a `correlation_surface` is highest.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(64, 64))
    >>> peak_shift(correlation_surface(noise, np.roll(noise, (3, -5), (0, 1))))
    (-5, 3)
    """
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
