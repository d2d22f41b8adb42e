"""Calibration of the merging threshold on the reference set (paper, section 3.3).

In come fingerprints of blocks of reference images, out comes T_merge, the PCE above which clusters
are merged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisescope_core.correlation.pairs import pce_matrix


def fingerprint_blocks(images: int, count: int = 40, size: int = 20) -> NDArray[np.int64]:
    """Cut the reference set, in its order, into blocks for calibration fingerprints.

    Parameters
    ----------
    images : int
        Images in the reference set.
    count, size : int
        Blocks, and images in each (keys `calibration.fingerprints` and `calibration.images`).

    Returns
    -------
    (k, size) int64
        Row numbers; k is `count`, or as many whole blocks as there are images for.

    Raises
    ------
    ValueError
        If there are images for fewer than two blocks.

    Examples
    --------
    >>> fingerprint_blocks(7, count=5, size=3)
    array([[0, 1, 2],
           [3, 4, 5]])
    """
    blocks = min(count, images // size)
    if blocks < 2:
        raise ValueError(f"calibration needs at least {2 * size} reference images, got {images}")
    return np.arange(blocks * size).reshape(blocks, size)


def merge_threshold(fingerprints: ArrayLike, percentile: float = 99.5) -> float:
    """Calibrate T_merge: a percentile of the PCEs between fingerprints of real images.

    Parameters
    ----------
    fingerprints : (k, H, W) float
        Each the mean of the residuals of one block of reference images.
    percentile : float
        Of these PCEs, 0 to 100; 99.5 is the paper's.

    Returns
    -------
    float
        T_merge, a PCE.
    """
    matrix = pce_matrix(fingerprints)
    return float(np.percentile(matrix[np.tril_indices(len(matrix), -1)], percentile))
