"""Fingerprint classifier: does a fingerprint's texture look like a camera's? (paper, section 3.4).

The model is a local outlier factor over Haralick features of reference fingerprints. It is kept
as its training features and fitted where it is needed: nothing is ever unpickled from storage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mahotas
import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    pass


def haralick_features(fingerprint: ArrayLike) -> NDArray[np.float64]:
    """Compute the 13 Haralick features of a fingerprint, averaged over 4 directions.

    Parameters
    ----------
    fingerprint : (H, W) float
        Mean residual in grey levels; clipped to 0..1 and scaled to the integers 0..255.

    Returns
    -------
    (13,) float64
    """
    levels = (np.clip(np.asarray(fingerprint), 0, 1) * 255).astype(np.uint8)
    features: NDArray[np.float64] = mahotas.features.haralick(levels).mean(axis=0)
    return features
