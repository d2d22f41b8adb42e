"""Image detector: every image tested against the fingerprints found (paper, section 3.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from noisescope_core.config import Config
from noisescope_core.correlation.pairs import pce_between
from noisescope_core.correlation.spectra import Spectra, spectra
from noisescope_core.images import Size
from noisescope_core.method import PlaceTest, Score


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


def pce_test(
    by_size: Mapping[Size, Sequence[Any]], config: Config, everywhere: bool = False
) -> PlaceTest:
    """Make the paper's test: the largest PCE with the fingerprints of the image's size.

    The threshold needs all reference images first. `everywhere` changes nothing: images of other
    sizes are not tested.
    """
    by_shape: dict[Size, tuple[Spectra, list[str]]] = {}
    for size, rows in by_size.items():
        pixels = [np.frombuffer(row.pixels, np.float32).reshape(size[::-1]) for row in rows]
        by_shape[size] = (
            spectra(np.stack(pixels), np.float64),
            [row.fingerprint_id for row in rows],
        )

    def test(image_id: str, size: Size, cell: pa.Buffer) -> Score | None:
        if size not in by_shape:
            return None
        fingerprints, ids = by_shape[size]
        residual = np.frombuffer(cell, np.float32).reshape(fingerprints.shape)
        scores, best = score_images(residual[None], fingerprints)
        return Score(float(scores[0]), ids[best[0]])

    return test
