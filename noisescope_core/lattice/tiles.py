"""The mean tile of an image's noise: the feature that knows no size (docs/lattice.md, step 1).

In come pixels and the residuals of the part that the whitened way compares, out comes the tile that
their noise repeats. Whatever does not repeat every 16 pixels, content above all, averages out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisescope_core.residual import channel_residuals, mixed
from noisescope_core.whitened.planes.whitening import flattened

PERIOD = 16
"""Side of a tile, pixels: the strides of decoders and the blocks of JPEG divide it (design 8)."""

PLANES = ("grey", "R - G", "B - G")
"""Planes of a tile, as the whitened way has them."""

DENOISERS = ("blur", "wavelet")
"""Residuals whose tiles are kept. Measured: together they find more than either (docs/lattice.md,
step 1)."""

SHAPE = (len(DENOISERS), len(PLANES), PERIOD, PERIOD)
"""Shape of a feature."""

VALUES = int(np.prod(SHAPE))
"""Numbers in a feature."""

MOST = 2.0
"""Local standard deviations at which noise is cut before it is averaged. Chosen: edges that denoising
leaves must not outweigh a tile."""

SIDE = 1024
"""Largest side of the centre that the blur's residual is taken of, pixels. Chosen: beyond 4,096 tiles
reading on costs more than it adds."""


def lattice_feature(
    pixels: NDArray[np.uint8], channels: NDArray[np.float32], corner: tuple[int, int]
) -> NDArray[np.float16]:
    """Make the feature of an image.

    Parameters
    ----------
    pixels : (H, W) or (H, W, 3) uint8, RGB, at least 16 a side
    channels : (1, h, w) or (3, h, w) float32, grey levels
        Noise residuals of a part of the image by the wavelet filter.
    corner : (top, left)
        Where that part lies in the image, pixels.

    Returns
    -------
    (2, 3, 16, 16) float16
        Mean tiles from the image's top left corner, by `DENOISERS` and `PLANES`, times the square
        root of the number of tiles: of white noise, values of about one spread.

    Examples
    --------
    >>> flat = np.zeros((40, 50, 3), np.uint8)
    >>> lattice_feature(flat, np.zeros((3, 40, 50), np.float32), (0, 0)).shape
    (2, 3, 16, 16)
    """
    top, left = (max(0, (side - SIDE) // 2) // PERIOD * PERIOD for side in pixels.shape[:2])
    centre = np.ascontiguousarray(pixels[top : top + SIDE, left : left + SIDE])
    blurred = channel_residuals(centre, denoiser="blur")
    feature = np.stack([_tiles(blurred, (0, 0)), _tiles(channels, corner)])
    return np.asarray(feature, np.float16)


def _tiles(channels: NDArray[np.float32], corner: tuple[int, int]) -> NDArray[np.float32]:
    """Mean tile of each plane: (3, 16, 16)."""
    # Whole tiles alone, the first at a multiple of the period.
    top, left = (-place % PERIOD for place in corner)
    channels = channels[:, top:, left:]
    red, green, blue = np.broadcast_to(channels, (3, *channels.shape[1:]))
    planes = (mixed(channels), red - green, blue - green)
    return np.stack([_mean_tile(flattened(np.ascontiguousarray(plane))) for plane in planes])


def _mean_tile(flat: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = (side // PERIOD for side in flat.shape)
    whole = np.clip(flat[: rows * PERIOD, : columns * PERIOD], -MOST, MOST)
    tiles = whole.reshape(rows, PERIOD, columns, PERIOD)
    mean = tiles.mean((0, 2), dtype=np.float64)
    return np.asarray(mean * np.sqrt(max(rows * columns, 1)), np.float32)


def stacked(features: Any) -> NDArray[np.float32]:
    """Bring features, any sequence of them, into rows: (n, 1536) float32."""
    return np.stack([np.asarray(feature, np.float32).ravel() for feature in features])
