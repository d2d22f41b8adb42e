"""The mean tile of an image's noise: the feature that knows no size (docs/lattice.md, step 1).

In come pixels and the residuals of the part that the whitened way compares, out comes the tile that
their noise repeats. Whatever does not repeat every 16 pixels, content above all, averages out.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from noisescope_core.compiled import compiled, compiled_sums
from noisescope_core.residual import BLUR_KERNEL, BLUR_SIGMA, GREY_WEIGHTS
from noisescope_core.whitened.planes.bands import PLANES
from noisescope_core.whitened.planes.whitening import LOCAL_FLOOR, LOCAL_WINDOW

PERIOD = 16
"""Side of a tile, pixels: the strides of decoders and the blocks of JPEG divide it (design 8)."""

DENOISERS = ("blur", "wavelet")
"""Residuals whose tiles are kept. Measured: together they find more than either (docs/lattice.md,
step 1)."""

SHAPE = (len(DENOISERS), len(PLANES), PERIOD, PERIOD)
"""Shape of a feature."""

VALUES = int(np.prod(SHAPE))
"""Numbers in a feature."""

MOST = 2.0
"""Local standard deviations at which noise is cut before it is averaged. Chosen: edges that
denoising leaves must not outweigh a tile."""

SIDE = 1024
"""Largest side of the centre that the blur's residual is taken of, pixels. Chosen: beyond 4,096
tiles reading on costs more than it adds."""


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
        root of the number of tiles: of white noise, values of about one spread. Of a part without a
        whole tile, 0.

    Raises
    ------
    ValueError
        If there are not one or three channels, or the pixels are not uint8.

    Examples
    --------
    >>> flat = np.zeros((40, 50, 3), np.uint8)
    >>> lattice_feature(flat, np.zeros((3, 40, 50), np.float32), (0, 0)).shape
    (2, 3, 16, 16)
    """
    top, left = (max(0, (side - SIDE) // 2) // PERIOD * PERIOD for side in pixels.shape[:2])
    centre = _by_channel(pixels[top : top + SIDE, left : left + SIDE])
    residuals = np.asarray(channels, np.float32)
    feature = np.stack([_tiles(centre, True, (0, 0)), _tiles(residuals, False, corner)])
    return np.asarray(feature, np.float16)


def _by_channel(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bring pixels, (H, W) or (H, W, C), into one picture for each channel: (C, H, W)."""
    if pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be uint8, got {pixels.dtype}")
    if pixels.ndim == 2:
        return pixels[None].copy()
    height, width, count = pixels.shape
    pictures = np.empty((count, height, width), np.uint8)
    # Faster than a transposed copy.
    for channel, picture in enumerate(pictures):
        cv2.extractChannel(pixels, channel, picture)
    return pictures


def _tiles(channels: NDArray[Any], is_pixels: bool, corner: tuple[int, int]) -> NDArray[np.float32]:
    """Mean tile of each plane: (3, 16, 16).

    Parameters
    ----------
    channels : (1, H, W) or (3, H, W) uint8 or float32, grey levels
    is_pixels : whether they are pixels, whose residual by the blur is taken, and not residuals
    corner : (top, left) in the image, pixels
    """
    if len(channels) not in (1, 3):
        raise ValueError(f"there must be 1 or 3 channels, got {len(channels)}")
    # Whole tiles alone, the first at a multiple of the period.
    top, left = (-place % PERIOD for place in corner)
    channels = np.ascontiguousarray(channels[:, top:, left:])
    height, width = channels.shape[1:]
    tiles = (height // PERIOD) * (width // PERIOD)
    sums = np.zeros((len(PLANES), PERIOD, PERIOD))
    if tiles:
        beside = cv2.getGaussianKernel(BLUR_KERNEL, BLUR_SIGMA)[0, 0]
        weights = np.array([beside, *GREY_WEIGHTS], np.float32)
        # With mirrored edges each pixel is in as many windows, so local energy has the same mean.
        energies = _energies(channels, is_pixels, weights) / (height * width)
        floors = np.where(LOCAL_FLOOR * energies < 1e-12, 0, LOCAL_FLOOR * energies)
        _add_tiles(channels, is_pixels, weights, floors.astype(np.float32), sums)
    return np.asarray(sums / np.sqrt(max(tiles, 1)), np.float32)


@compiled
def _plane_row(
    channels: Any, i: int, is_pixels: bool, weights: Any, scratch: Any, planes: Any
) -> None:
    """Make row i of each plane, into `planes`: (3, W) float32.

    Parameters
    ----------
    channels : (1, H, W) or (3, H, W) uint8 or float32
    i : number of the row
    is_pixels : whether the residual by the blur must be taken first
    weights : (4,) float32, of a neighbour in the blur along an axis, then of the channels in grey
    scratch : (5, W + 2) float32, whatever it holds
    """
    count, height, width = channels.shape
    beside = weights[0]
    line, second = scratch[3], scratch[4]
    for k in range(count):
        noise, here = scratch[k], channels[k, i]
        if not is_pixels:
            for c in range(width):
                noise[c] = here[c]
            continue
        # A pixel less its blur, by second differences along both axes. They are whole numbers, so
        # flat pixels leave 0. Edges are mirrored.
        above, below = channels[k, max(i - 1, 0)], channels[k, min(i + 1, height - 1)]
        for c in range(width):
            middle = np.float32(here[c])
            line[c + 1] = middle
            second[c + 1] = (middle - np.float32(above[c])) + (middle - np.float32(below[c]))
        line[0], line[width + 1] = line[1], line[width]
        second[0], second[width + 1] = second[1], second[width]
        for c in range(width):
            across = (line[c + 1] - line[c]) + (line[c + 1] - line[c + 2])
            both = (second[c + 1] - second[c]) + (second[c + 1] - second[c + 2])
            noise[c] = beside * (second[c + 1] + across - beside * both)
    grey, first, last = planes[0], planes[1], planes[2]
    red, green, blue = scratch[0], scratch[1], scratch[2]
    if count == 1:
        for c in range(width):
            grey[c] = red[c]
            first[c] = 0
            last[c] = 0
    else:
        for c in range(width):
            grey[c] = weights[1] * red[c] + weights[2] * green[c] + weights[3] * blue[c]
            first[c] = red[c] - green[c]
            last[c] = blue[c] - green[c]


@compiled_sums
def _energies(channels: Any, is_pixels: bool, weights: Any) -> Any:
    """Sum the squares of each plane: (3,) float64. Parameters are those of `_plane_row`."""
    _, height, width = channels.shape
    scratch = np.empty((5, width + 2), np.float32)
    planes = np.empty((3, width), np.float32)
    energies = np.zeros(3)
    for i in range(height):
        _plane_row(channels, i, is_pixels, weights, scratch, planes)
        for k in range(3):
            row = planes[k]
            energy = np.float32(0)
            for c in range(width):
                energy += row[c] * row[c]
            energies[k] += energy
    return energies


@compiled
def _add_tiles(channels: Any, is_pixels: bool, weights: Any, floors: Any, sums: Any) -> None:
    """Flatten the planes as `whitening.flattened` does, cut them at `MOST` and sum their tiles.

    Rows come one by one. The last nine of a plane and of the sums of its squares over nine columns
    are kept; a row is done when the fourth after it is there.

    Parameters
    ----------
    channels, is_pixels, weights : as `_plane_row` has them, at least 16 pixels a side
    floors : (3,) float32, what local energy is raised by; planes of 0 are left out
    sums : (3, 16, 16) float64, added to
    """
    _, height, width = channels.shape
    reach = LOCAL_WINDOW // 2
    rows, columns = height // PERIOD * PERIOD, width // PERIOD * PERIOD
    scratch = np.empty((5, width + 2), np.float32)
    planes = np.empty((LOCAL_WINDOW, 3, width), np.float32)
    kept = np.empty((3, LOCAL_WINDOW, width), np.float32)
    square = np.empty(width + 2 * reach, np.float32)
    total = np.empty(width, np.float32)
    added = np.zeros((3, PERIOD, columns), np.float32)
    slots = np.empty(LOCAL_WINDOW, np.intp)
    share = np.float32(1 / (LOCAL_WINDOW * LOCAL_WINDOW))
    most = np.float32(MOST)
    for i in range(rows + reach):
        if i < height:
            slot = i % LOCAL_WINDOW
            _plane_row(channels, i, is_pixels, weights, scratch, planes[slot])
            for k in range(3):
                plane, over = planes[slot, k], kept[k, slot]
                for c in range(width):
                    square[reach + c] = plane[c] * plane[c]
                for c in range(reach):
                    square[reach - 1 - c] = square[reach + c]
                    square[reach + width + c] = square[reach + width - 1 - c]
                for c in range(width):
                    over[c] = (
                        square[c] + square[c + 1] + square[c + 2] + square[c + 3] + square[c + 4]
                        + square[c + 5] + square[c + 6] + square[c + 7] + square[c + 8]
                    )  # fmt: skip
        row = i - reach
        if row < 0:
            continue
        for n in range(LOCAL_WINDOW):
            # Edges are mirrored.
            r = i - 2 * reach + n
            slots[n] = min(max(r, -1 - r), 2 * height - 1 - r) % LOCAL_WINDOW
        for k in range(3):
            floor = floors[k]
            if floor == 0:
                continue
            total[:] = 0
            for n in range(0, LOCAL_WINDOW, 3):
                upper, middle = kept[k, slots[n]], kept[k, slots[n + 1]]
                lower = kept[k, slots[n + 2]]
                for c in range(columns):
                    total[c] += upper[c] + middle[c] + lower[c]
            plane, sum_row = planes[row % LOCAL_WINDOW, k], added[k, row % PERIOD]
            for c in range(columns):
                flat = plane[c] / np.sqrt(total[c] * share + floor)
                sum_row[c] += min(max(flat, -most), most)
    for k in range(3):
        for r in range(PERIOD):
            for c in range(columns):
                sums[k, r, c % PERIOD] += added[k, r, c]


def stacked(features: Any) -> NDArray[np.float32]:
    """Bring features, any sequence of them, into rows: (n, 1536) float32."""
    return np.stack([np.asarray(feature, np.float32).ravel() for feature in features])
