"""What devices and apps do to photographs that leaves a lattice: rounding down, rescaling."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray
from PIL import Image

_BLOCK = 8
"""Side of a JPEG block, pixels."""


def rounded_down(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Store pixels as JPEG 4:2:0 that rounds coefficients down, and read them again.

    All coefficients of a block lose half a step on average, which adds up to a dark pixel in its
    top left corner: a dimple (Agarwal and Farid, Photo Forensics from JPEG Dimples, WIFS 2017).

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
        RGB.
    quality : int
        As libjpeg has it, 1 to 100.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        RGB.
    """
    height, width = pixels.shape[:2]
    grid = 2 * _BLOCK
    whole = cv2.copyMakeBorder(pixels, 0, -height % grid, 0, -width % grid, cv2.BORDER_REPLICATE)
    luma, *chroma = cv2.split(cv2.cvtColor(whole, cv2.COLOR_RGB2YCrCb).astype(np.float32))
    half = (whole.shape[1] // 2, whole.shape[0] // 2)
    of_luma, of_chroma = _steps(quality)
    planes = [_floored(luma, of_luma)]
    for plane in chroma:
        small = cv2.resize(plane, half, interpolation=cv2.INTER_AREA)
        stored = _floored(np.asarray(small, np.float32), of_chroma)
        size = (whole.shape[1], whole.shape[0])
        planes.append(np.asarray(cv2.resize(stored, size, interpolation=cv2.INTER_LINEAR)))
    levels = np.clip(np.rint(np.stack(planes, 2)), 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(levels, cv2.COLOR_YCrCb2RGB)[:height, :width], np.uint8)


def _floored(plane: NDArray[np.float32], steps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Quantise a plane, (H, W) with sides multiples of 8, by blocks, all values down."""
    height, width = plane.shape
    blocks = (plane - 128).reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    coefficients = scipy.fft.dctn(blocks, axes=(1, 3), norm="ortho")
    spread = steps[:, None, :]
    kept = np.floor(coefficients / spread) * spread
    back = scipy.fft.idctn(kept, axes=(1, 3), norm="ortho").reshape(height, width)
    return np.asarray(back + 128, np.float32)


@lru_cache(maxsize=16)
def _steps(quality: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Steps of luma and of chroma at a quality, (8, 8) each, as libjpeg has them."""
    stream = BytesIO()
    Image.new("RGB", (_BLOCK, _BLOCK)).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as stored:
        tables = stored.quantization  # type: ignore[attr-defined]
    luma, chroma = (np.asarray(tables[k], np.float32).reshape(_BLOCK, _BLOCK) for k in range(2))
    return luma, chroma


def rescaled(pixels: NDArray[np.uint8], long_side: int) -> NDArray[np.uint8]:
    """Shrink a picture as an app does before it is sent.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
    long_side : int
        What the longer side has after, pixels; no more than before.

    Returns
    -------
    ndarray of uint8, shape (H', W', 3)

    Examples
    --------
    >>> rescaled(np.zeros((300, 900, 3), np.uint8), 600).shape
    (200, 600, 3)
    """
    factor = long_side / max(pixels.shape[:2])
    height, width = (max(round(side * factor), 1) for side in pixels.shape[:2])
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
