"""Image detector: every image tested against the fingerprints found (paper, section 3.5)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisescope_core.correlation import Spectra, pce_between, spectra


def score_images(
    residuals: ArrayLike, fingerprints: Spectra
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Score residuals against fingerprints of generators.

    Parameters
    ----------
    residuals : (n, H, W) float
    fingerprints : Spectra of k >= 1 fingerprints of the same size

    Returns
    -------
    scores : (n,) float64
        The largest PCE with any fingerprint.
    best : (n,) int64
        Row number of that fingerprint.
    """
    matrix = pce_between(spectra(residuals, fingerprints.pixels.dtype), fingerprints)
    return matrix.max(axis=1), matrix.argmax(axis=1)


def detection_threshold(reference_scores: ArrayLike, percentile: float = 99.5) -> float:
    """Set the bar above which an image is fake: a percentile of the reference images' scores."""
    return float(np.percentile(np.asarray(reference_scores), percentile))
