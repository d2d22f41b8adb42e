"""Texture of a fingerprint: its Haralick features (paper, section 3.4).

In comes a fingerprint, out come the 13 numbers by which `paper.classifier` tells a generator's
fingerprint from those of the reference.
"""

from __future__ import annotations

import mahotas
import numpy as np
from numpy.typing import ArrayLike, NDArray


def haralick_features(fingerprint: ArrayLike) -> NDArray[np.float64]:
    """Compute the 13 Haralick features of a fingerprint, averaged over 4 directions.

    (Haralick, Shanmugam, Dinstein 1973, by mahotas.)

    Parameters
    ----------
    fingerprint : (H, W) float
        Mean residual in grey levels; clipped to 0..1 and scaled to the integers 0..255.

    Returns
    -------
    (13,) float64

    Examples
    --------
    >>> haralick_features(np.random.default_rng(0).random((64, 64))).shape
    (13,)
    """
    levels = (np.clip(np.asarray(fingerprint), 0, 1) * 255).astype(np.uint8)
    features: NDArray[np.float64] = mahotas.features.haralick(levels).mean(axis=0)
    return features
