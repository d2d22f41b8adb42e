"""Clean-up of a residual before PCE in camera forensics.

Source: Chen, Fridrich, Goljan, Lukas, "Determining Image Origin and Integrity Using Sensor Noise",
IEEE Transactions on Information Forensics and Security 3(1), 2008. What cameras of one model
share (colour interpolation, JPEG blocks, readout) repeats over the image and would tie different
cameras together. A generator's trace repeats too, so this takes away what NoiseScope looks for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from noisescope_core.residual import WINDOWS


def camera_residual(residual: NDArray[Any]) -> NDArray[np.float32]:
    """Take periodic patterns out of a noise residual.

    Rows and columns are made zero-mean. Then every frequency is scaled by s / max(s, v), with s
    the variance of the residual and v the least mean power over the windows of 3, 5, 7 and 9 bins
    around it: white noise stays and peaks go. The spectrum is periodic, so windows go round its
    borders and the result is real.

    Parameters
    ----------
    residual : (H, W) float
        Grey levels, from `residual.noise_residual`.

    Returns
    -------
    (H, W) float32
        Rows and columns still have zero mean; all 0 if nothing is left.

    Raises
    ------
    ValueError
        If the residual is not two-dimensional, or is empty.

    Examples
    --------
    >>> float(abs(camera_residual(np.add.outer(np.arange(16.0), np.arange(16.0)))).max())
    0.0
    """
    if residual.ndim != 2 or residual.size == 0:
        raise ValueError(f"residual must be (H, W), got {residual.shape}")
    plane = np.asarray(residual, np.float64)
    plane = plane - plane.mean(axis=0)
    plane -= plane.mean(axis=1, keepdims=True)
    spectrum = fft.fft2(plane, norm="ortho")
    power = abs(spectrum) ** 2
    least = np.min([ndimage.uniform_filter(power, size, mode="wrap") for size in WINDOWS], axis=0)
    variance = power.mean()
    if variance == 0:
        return np.zeros(plane.shape, np.float32)
    spectrum *= variance / np.maximum(least, variance)
    return np.asarray(fft.ifft2(spectrum, norm="ortho").real, np.float32)
