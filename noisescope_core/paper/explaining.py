"""What `explain` shows of an image by the paper's method, beside its score."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisescope_core.config import Config
from noisescope_core.correlation.surface import correlation_surface
from noisescope_core.images import Size
from noisescope_core.method import Explaining
from noisescope_core.tables.rows import FingerprintRow


def surface(
    stored: NDArray[Any], size: Size, fingerprint: FingerprintRow, config: Config
) -> NDArray[np.float32]:
    """Correlate a residual with a fingerprint of the same size at all shifts."""
    pixels = np.frombuffer(fingerprint.pixels, np.float32)
    return correlation_surface(stored, pixels.reshape(fingerprint.height, fingerprint.width))


def without(
    fingerprint: FingerprintRow, image_id: str, stored: NDArray[Any], config: Config
) -> FingerprintRow:
    """Leave a fingerprint as it is: the paper tests members against what they are part of."""
    return fingerprint


EXPLAINING = Explaining(surface, None, without)
