"""What an attack costs a picture: PSNR and SSIM."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from noisescope_core.attacks.pixels import Image, check_pixels

_SSIM_REACH = 5
"""Pixels from the middle of a window to its border; Wang et al. 2004: 11 x 11."""

_SSIM_SIGMA = 1.5
"""Standard deviation of the window in pixels; Wang et al. 2004."""

_SSIM_FLOORS = ((0.01 * 255) ** 2, (0.03 * 255) ** 2)
"""C1 and C2, squared grey levels, by K1 = 0.01 and K2 = 0.03; Wang et al. 2004."""


def psnr(before: Image, after: Image) -> float:
    """Measure the peak signal-to-noise ratio over all channels.

    Parameters
    ----------
    before, after : (H, W, 3) uint8

    Returns
    -------
    float
        In dB, infinite for equal images.

    Raises
    ------
    ValueError
        If the images have another type or differ in shape.
    """
    _check_pair(before, after)
    return float("inf") if np.array_equal(before, after) else float(cv2.PSNR(before, after))


def ssim(before: Image, after: Image) -> float:
    """Measure the structural similarity of the luma (Wang, Bovik, Sheikh, Simoncelli 2004).

    Gaussian window of 11 x 11 with sigma 1.5, K1 = 0.01, K2 = 0.03; the mean over all windows that
    lie inside the image.

    Parameters
    ----------
    before, after : (H, W, 3) uint8
        RGB, at least 11 pixels a side.

    Returns
    -------
    float
        -1 to 1, 1 for equal images.

    Raises
    ------
    ValueError
        If the images have another type, differ in shape or are smaller.
    """
    _check_pair(before, after)
    if min(before.shape[:2]) < 2 * _SSIM_REACH + 1:
        raise ValueError(f"SSIM needs 11 pixels a side, got {before.shape}")
    x, y = (
        np.asarray(cv2.cvtColor(np.float32(image), cv2.COLOR_RGB2GRAY), np.float64)
        for image in (before, after)
    )
    mean_x, mean_y = _windowed(x), _windowed(y)
    variance_x = _windowed(x * x) - mean_x * mean_x
    variance_y = _windowed(y * y) - mean_y * mean_y
    covariance = _windowed(x * y) - mean_x * mean_y
    c1, c2 = _SSIM_FLOORS
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    most = (mean_x * mean_x + mean_y * mean_y + c1) * (variance_x + variance_y + c2)
    return float((likeness / most).mean())


def _check_pair(before: Image, after: Image) -> None:
    check_pixels(before)
    check_pixels(after)
    if before.shape != after.shape:
        raise ValueError(f"images must have one size, got {before.shape} and {after.shape}")


def _windowed(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    side = 2 * _SSIM_REACH + 1
    inside = slice(_SSIM_REACH, -_SSIM_REACH)
    return np.asarray(cv2.GaussianBlur(plane, (side, side), _SSIM_SIGMA)[inside, inside])
