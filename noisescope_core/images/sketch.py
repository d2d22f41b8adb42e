"""Small sketches of images, by which copies of one picture are told (`duplicates`)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SKETCH_SIDE = 32
"""Side of a sketch, pixels. Chosen: 1 KB an image."""


def sketch(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink an image to 32 x 32 grey levels.

    Parameters
    ----------
    pixels : (H, W) or (H, W, 3) uint8, RGB

    Returns
    -------
    (1024,) uint8

    Examples
    --------
    >>> sketch(np.full((100, 80, 3), 7, np.uint8)).tolist() == [7] * 1024
    True
    """
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SKETCH_SIDE, SKETCH_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8).ravel()
