"""The paper's method to the letter, as one record (Pu and others, ACSAC 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisescope_core.config import Config, Route
from noisescope_core.images import Size
from noisescope_core.method import Extracted, Method
from noisescope_core.paper.cost import plan
from noisescope_core.paper.detector import detection_threshold, pce_test
from noisescope_core.paper.explaining import EXPLAINING
from noisescope_core.paper.find import array_pile, find
from noisescope_core.paper.words import WORDS
from noisescope_core.residual import noise_residual

ASSUMED_REFERENCE = 800
"""Reference images that a plan takes for granted: 40 fingerprints of 20 images (section 3.3)."""


def extract(pixels: NDArray[np.uint8], config: Config) -> Extracted:
    """Extract the grey noise residual of an image, which is what is stored of it."""
    how = config.residual
    residual = noise_residual(pixels, how.sigma, how.levels, denoiser=how.denoiser)
    return Extracted(residual, residual, residual[None])


def read(cell: Any) -> NDArray[np.float32]:
    """Read a stored residual: (H * W,) float32."""
    return np.frombuffer(cell, np.float32)


def shape(size: Size, config: Config) -> tuple[int, int]:
    """Shape of a residual: (H, W)."""
    return size[1], size[0]


def least_images(config: Config) -> int:
    """Count the images of one size without which no cluster is classified."""
    return config.clustering.classify_above + 1


def least_reference(config: Config) -> int:
    """Count the reference images of one size that calibration and classifier need."""
    blocks = config.texture.neighbours // config.texture.shuffles + 1
    calibration = config.calibration
    calibrating = 0 if calibration.t_merge else 2 * calibration.images
    return max(calibrating, blocks * config.texture.images)


def route(files: int, config: Config) -> Route:
    """All pairs are compared, however many files there are."""
    return "pairs"


def threshold(reference_scores: Sequence[float], config: Config) -> float:
    """Set the bar of a size: a percentile of its reference images' scores (section 3.5)."""
    return detection_threshold(reference_scores, config.detection.percentile)


METHOD = Method(
    name="paper",
    extract=extract,
    read=read,
    shape=shape,
    dtype=np.float32,
    adapts_reference=False,
    least_images=least_images,
    least_reference=least_reference,
    assumed_reference=lambda config: ASSUMED_REFERENCE,
    route=route,
    pile=array_pile,
    find=find,
    test=pce_test,
    everywhere=lambda config: False,
    threshold=threshold,
    plan=plan,
    explaining=EXPLAINING,
    words=WORDS,
    scans=False,
)
