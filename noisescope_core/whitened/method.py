"""The default method, whitened colour planes, as one record (docs/method.md)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noisescope_core.config import Config, Route
from noisescope_core.images import Size
from noisescope_core.method import Extracted, Method
from noisescope_core.residual import channel_residuals, mixed
from noisescope_core.whitened.detection.detector import match_test
from noisescope_core.whitened.detection.explaining import EXPLAINING
from noisescope_core.whitened.find import array_pile, find
from noisescope_core.whitened.piles.cost import plan
from noisescope_core.whitened.planes.bands import PLANES, central, compared, corner_of
from noisescope_core.whitened.planes.whitening import packed, unpacked, whitened_planes
from noisescope_core.whitened.words import WORDS

MARGIN = 64
"""Pixels around the part compared that are denoised with it, so that its border is no border."""


def extract(pixels: NDArray[np.uint8], config: Config) -> Extracted:
    """Extract the noise of the centre that is compared.

    What is stored is (3, V) int8, from `whitening.packed`.
    """
    how, side = config.residual, config.whitening.side
    # Images of a size are cut alike, so the cut cannot tell one from another.
    planes = central(np.atleast_3d(pixels).transpose(2, 0, 1), side + 2 * MARGIN)
    cut = np.ascontiguousarray(planes.transpose(1, 2, 0))
    channels = channel_residuals(cut, how.sigma, how.levels, denoiser=how.denoiser)
    compared_part = central(channels, side)
    top, left = (corner_of(length, side + 2 * MARGIN) for length in pixels.shape[:2])
    stored = packed(whitened_planes(compared_part))
    return Extracted(mixed(compared_part), stored, channels, (top, left))


def shape(size: Size, config: Config) -> tuple[int, int]:
    """Shape of a feature: (3, V)."""
    return len(PLANES), compared(size[1], size[0], config.whitening.side).values


def route(files: int, config: Config) -> Route:
    """Choose how a run over so many files is searched; `shards` stores no feature of all images."""
    chosen = config.discovery.route
    if chosen != "auto":
        return chosen
    if files <= config.discovery.images:
        return "pairs"
    return "spectral" if files <= config.discovery.stored else "shards"


METHOD = Method(
    name="whitened",
    extract=extract,
    read=unpacked,
    shape=shape,
    dtype=np.int8,
    adapts_reference=True,
    least_images=lambda config: config.discovery.least_images,
    least_reference=lambda config: config.discovery.least_reference,
    assumed_reference=lambda config: config.discovery.reference,
    route=route,
    pile=array_pile,
    find=find,
    test=match_test,
    everywhere=lambda config: config.detection.alignments == "all",
    threshold=None,
    plan=plan,
    explaining=EXPLAINING,
    words=WORDS,
    scans=True,
)
