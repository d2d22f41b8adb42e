"""The mean tile of an image that was rescaled, brought back to the size it may have come from.

A tile that repeats every 16 pixels repeats every 16 f pixels once its image was rescaled by f. So
the noise is sampled anew at 1/f and folded, for the factors that are likely: sizes at which
generators make images are few (docs/lattice.md, step 8). In come pixels and residuals, out come
features, one a factor.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from noisescope_core.images import Size
from noisescope_core.lattice.tiles import MOST, PERIOD, SIDE, VALUES
from noisescope_core.residual import channel_residuals
from noisescope_core.whitened.discovery.confidence import STUDENT_FREEDOM
from noisescope_core.whitened.planes.whitening import colour_planes, flattened

NATIVE = (256, 512, 640, 768, 832, 896, 1024, 1152, 1216, 1344, 1536)
"""Longer sides at which generators make images, pixels (design 8)."""

LEAST_FACTOR, MOST_FACTOR = 0.45, 2.0
"""Factors that are tried. Chosen: a lattice outlives halving, and is sought in twice its pixels."""

NEAREST = 0.02
"""Least distance of a factor from 1. Chosen: nearer, the native tile would be seen."""

SAMPLED = 3.0
"""Spreads at which sampled noise is cut. Chosen as `MOST` is, for noise that sampling smoothed."""


def likely_factors(size: Size) -> list[float]:
    """List the factors by which an image of this size may have been rescaled.

    Parameters
    ----------
    size : (width, height), pixels

    Examples
    --------
    >>> [round(factor, 3) for factor in likely_factors((384, 384))]
    [1.5, 0.75, 0.6, 0.5, 0.462]
    """
    factors = (max(size) / native for native in NATIVE)
    return [
        factor
        for factor in factors
        if LEAST_FACTOR <= factor <= MOST_FACTOR and abs(factor - 1) >= NEAREST
    ]


def rescaled_features(
    pixels: NDArray[np.uint8],
    channels: NDArray[np.float32],
    corner: tuple[int, int],
    factors: Sequence[float],
) -> NDArray[np.float16]:
    """Make the features of an image at other sizes.

    Parameters
    ----------
    pixels, channels, corner : as `tiles.lattice_feature` takes them
    factors : by which the image may have been rescaled

    Returns
    -------
    (factors, 1536) float16
    """
    top, left = (max(0, (side - SIDE) // 2) for side in pixels.shape[:2])
    centre = np.ascontiguousarray(pixels[top : top + SIDE, left : left + SIDE])
    blurred = channel_residuals(centre, denoiser="blur")
    planes = [(plane, (top, left)) for plane in _flat_planes(blurred)]
    planes += [(plane, corner) for plane in _flat_planes(channels)]
    features = np.empty((len(factors), VALUES), np.float16)
    for feature, factor in zip(features, factors, strict=True):
        tiles = [_tile_at(plane, place, factor) for plane, place in planes]
        feature[:] = np.concatenate([tile.ravel() for tile in tiles])
    return features


def _flat_planes(channels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [np.clip(flattened(plane), -MOST, MOST) for plane in colour_planes(channels)]


def _tile_at(
    plane: NDArray[np.float32], corner: tuple[int, int], factor: float
) -> NDArray[np.float32]:
    """Mean tile of a plane, (H, W), sampled as it was before its image was rescaled: (16, 16)."""
    # The first whole tile, and how many there are, in pixels of the image before.
    first = [-(-place // (factor * PERIOD)) * PERIOD for place in corner]
    last = [
        (place + length) // (factor * PERIOD) * PERIOD
        for place, length in zip(corner, plane.shape, strict=True)
    ]
    rows, columns = (int(end - begin) // PERIOD for begin, end in zip(first, last, strict=True))
    if rows < 1 or columns < 1:
        return np.zeros((PERIOD, PERIOD), np.float32)
    down, right = (
        (begin + 0.5) * factor - 0.5 - place for begin, place in zip(first, corner, strict=True)
    )
    sampled = cv2.warpAffine(
        plane,
        np.array([[factor, 0, right], [0, factor, down]]),
        (columns * PERIOD, rows * PERIOD),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    sampled = np.clip(sampled / (sampled.std() + 1e-6), -SAMPLED, SAMPLED)
    mean = sampled.reshape(rows, PERIOD, columns, PERIOD).mean((0, 2), dtype=np.float64)
    return np.asarray(mean * np.sqrt(rows * columns), np.float32)


def price(let_through: float, factors: int) -> float:
    """Raise a bar for the factors tried: spreads to add, so that all let through as one did.

    Parameters
    ----------
    let_through : share of photographs above the bar of one test, 0..1
    factors : tests

    Examples
    --------
    >>> price(0.001, 1), round(price(0.001, 8), 1)
    (0.0, 1.7)
    """
    bars = [float(stdtrit(STUDENT_FREEDOM, 1 - let_through / count)) for count in (1, factors)]
    return bars[1] - bars[0]
