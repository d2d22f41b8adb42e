"""What all attacks take and give: RGB pixels, and patterns of one spread."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""(H, W, 3), RGB."""


def check_pixels(pixels: Image) -> None:
    """Raise ValueError unless pixels are uint8 (H, W, 3) and there are any."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"pixels must be uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}")


def standardised(pattern: NDArray[Any]) -> NDArray[np.float32]:
    """Bring a pattern to mean 0 and standard deviation 1; raises ValueError if it is flat."""
    centred = pattern - pattern.mean(dtype=np.float64)
    deviation = centred.std()
    if not deviation:
        raise ValueError("a camera's pattern must not be flat")
    return np.asarray(centred / deviation, np.float32)
