"""Azimuthal average of the power spectrum: upsampling leaves odd high frequencies.

Source: Durall, Keuper, Pfreundt, Keuper, "Unmasking DeepFakes with simple Features", arXiv
1911.00686.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from noisescope_core.correlation.spectra import half_plane_weights
from noisescope_core.residual import GREY_WEIGHTS


def azimuthal_features(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Average the log power spectrum of the grey image over rings.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) uint8
        Pixels 0..255, channels in RGB order.

    Returns
    -------
    (min(H, W) // 2 + 1,) float64
        Means of log(1 + power) over the rings of radius 0, 1, ..., divided by the first: 1 at
        radius 0, at least 0 elsewhere. Of a constant image, black too, 0 elsewhere. Features of
        images whose shorter sides differ do not have one length.

    Raises
    ------
    ValueError
        If the image is not uint8 of one of the two shapes, or is empty.

    Notes
    -----
    The radius of a frequency is its cycles per pixel times the shorter side, rounded to the
    nearest whole number, so rings of images that are not square are round in frequency. It goes
    up to half the shorter side; the corners of the spectrum are left out. Like the paper this
    divides logarithms, which takes away the unit of the logarithm but not the contrast. The 1
    added to the power keeps flat images finite and counts for nothing elsewhere: one grey level
    of noise has a power of H * W.

    Examples
    --------
    >>> azimuthal_features(np.full((8, 6), 128, np.uint8)).round(9)
    array([1., 0., 0., 0.])
    """
    colour = image.ndim == 3 and image.shape[2] == 3
    if image.dtype != np.uint8 or not (colour or image.ndim == 2) or image.size == 0:
        raise ValueError(
            f"image must be uint8 (H, W) or (H, W, 3), got {image.dtype} {image.shape}"
        )
    grey = image @ np.array(GREY_WEIGHTS) if colour else image.astype(np.float64)
    height, width = grey.shape
    shorter = min(height, width)
    along, across = fft.rfftfreq(width) * shorter, fft.fftfreq(height)[:, None] * shorter
    rings = np.rint(np.hypot(along, across)).astype(int).ravel()
    weights = np.broadcast_to(half_plane_weights(width), (height, width // 2 + 1)).ravel()
    levels = np.log1p(abs(fft.rfft2(grey)).ravel() ** 2)
    sums, counts = np.bincount(rings, weights * levels), np.bincount(rings, weights)
    profile: NDArray[np.float64] = (sums / counts)[: shorter // 2 + 1]
    if profile[0] == 0:
        # Black: the limit of ever darker constant images.
        profile[0] = 1
    profile /= profile[0]
    return profile
