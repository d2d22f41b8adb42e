"""Colour statistics of an image, for CSD-SVM, the blind rival of the paper.

Source: Li, Li, Tan, Huang, "Identification of Deep Network Generated Images Using Disparities in
Color Components", arXiv 1808.07276. Photographs and generated images differ in how neighbouring
pixels' colours relate, less in brightness than in hue, saturation and chroma.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisescope_core.compiled import compiled

NEIGHBOURS = ((0, 1), (0, -1), (1, 0), (-1, 0))
"""Right, left, lower and upper, as (rows down, columns right)."""

COLOURS = 8
"""Codes of a comparison of R, G and B, one bit each; Li et al."""

CLIP = 2
"""Grey levels at which differences are clipped, either way; Li et al."""

STEPS = 2 * CLIP + 1
"""Codes of a difference."""

LEAST_SIDE = 5
"""Pixels: without its border an image then has one triple in every row and column."""


def csd_features(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Count how colours change from pixel to pixel.

    Every pixel but the border's is compared with its right, left, lower and upper neighbour. Of
    the colours it is told which of R, G and B are above the neighbour's (8 codes); of hue,
    saturation, Cb and Cr the difference, clipped to -2..2 (5 codes). A feature is how often three
    codes follow one another in a row, plus the same for columns, summed over the neighbours.
    A triple and its mirror are one, so mirrored and turned images have the same features.

    Parameters
    ----------
    image : (H, W, 3) uint8
        Pixels 0..255, channels in RGB order, at least 5 a side.

    Returns
    -------
    (588,) float64
        Blocks of 288 (colours), 75 (hue), 75 (saturation), 75 (Cb) and 75 (Cr), each at least 0
        and summing to 8: four neighbours, rows and columns. Within a block the triples (a, b, c),
        a <= c, in the order of a, then b, then c, a fastest.

    Raises
    ------
    ValueError
        If the image is not uint8 (H, W, 3), or has a side below 5.

    Notes
    -----
    All features equal the original program's to 1e-14.

    Examples
    --------
    >>> csd_features(np.full((5, 5, 3), 128, np.uint8))[[0, 288 + 23]]
    array([8., 8.])
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be uint8 (H, W, 3), got {image.dtype} {image.shape}")
    height, width, _ = image.shape
    if min(height, width) < LEAST_SIDE:
        raise ValueError(f"image must be at least {LEAST_SIDE} a side, got {height} x {width}")
    planes = _colour_planes(image)
    blocks = [_block(_compare, planes, COLOURS)]
    blocks += [_block(_subtract, plane, STEPS) for plane in planes[3:]]
    return np.concatenate(blocks)


def _block(
    encode: Callable[..., None], planes: NDArray[np.int16], count: int
) -> NDArray[np.float64]:
    """Make the features of one kind of codes, 0..count-1."""
    height, width = planes.shape[-2:]
    codes = np.empty((height - 2, width - 2), np.uint8)
    triples = np.zeros((2, count**3), np.int64)
    for down, right in NEIGHBOURS:
        encode(planes, down, right, codes)
        _count(codes, count, triples)
    kept, mirror, single = _merging(count)
    # Sums of whole numbers up to here: mirrored images differ in no digit.
    merged = triples[:, kept] + np.where(single, 0, triples[:, mirror])
    shares = merged / (triples.sum(axis=1, keepdims=True) / len(NEIGHBOURS))
    features: NDArray[np.float64] = shares.sum(axis=0)
    return features


@cache
def _merging(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Find the triples a <= c, their mirrors, and which are their own mirror."""
    c, b, a = np.indices((count, count, count)).reshape(3, -1)
    kept = np.flatnonzero(a <= c)
    mirror = c + count * b + count**2 * a
    return kept, mirror[kept], (a == c)[kept]


def _colour_planes(image: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Split an image into R, G, B, H, S, Cb and Cr: (7, H, W).

    Hue and saturation are 0..255, Cb and Cr those of BT.601, 16..240. Halves are rounded up.
    """
    planes = np.empty((7, *image.shape[:2]), np.int16)
    levels = np.empty((2, *image.shape[:2]))
    _convert(image, planes, levels)
    # Not compiled: rounding fused with what comes before it goes wrong at halves.
    planes[3:5] = np.floor(levels + 0.5)
    return planes


@compiled
def _convert(image: Any, planes: Any, levels: Any) -> None:
    # Photographs have many hues and saturations at exact halves. They are rounded as by the
    # original program only with its operations in its order.
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            r, g, b = np.int32(image[i, j, 0]), np.int32(image[i, j, 1]), np.int32(image[i, j, 2])
            planes[0, i, j], planes[1, i, j], planes[2, i, j] = r, g, b
            # 224/255 of (B - Y) / 1.772 and of (R - Y) / 1.402, in whole numbers.
            planes[5, i, j] = 128 + (224 * (886 * b - 299 * r - 587 * g) + 225930) // 451860
            planes[6, i, j] = 128 + (224 * (701 * r - 587 * g - 114 * b) + 178755) // 357510
            red, green, blue = r / 255, g / 255, b / 255
            most, least = max(red, green, blue), min(red, green, blue)
            hue = saturation = 0.0
            if most > least:
                if red == most:
                    hue = 1 / 6 * (green - blue) / (most - least)
                elif green == most:
                    hue = 1 / 3 + 1 / 6 * (blue - red) / (most - least)
                else:
                    hue = 2 / 3 + 1 / 6 * (red - green) / (most - least)
                if hue < 0:
                    hue += 1
                saturation = 1 - least / most
            levels[0, i, j], levels[1, i, j] = 255 * hue, 255 * saturation


@compiled
def _compare(planes: Any, down: int, right: int, codes: Any) -> None:
    for i in range(codes.shape[0]):
        y, x = i + 1 + down, 1 + right
        for j in range(codes.shape[1]):
            codes[i, j] = (
                (planes[0, i + 1, j + 1] > planes[0, y, x + j])
                + 2 * (planes[1, i + 1, j + 1] > planes[1, y, x + j])
                + 4 * (planes[2, i + 1, j + 1] > planes[2, y, x + j])
            )


@compiled
def _subtract(plane: Any, down: int, right: int, codes: Any) -> None:
    for i in range(codes.shape[0]):
        y, x = i + 1 + down, 1 + right
        for j in range(codes.shape[1]):
            difference = plane[i + 1, j + 1] - plane[y, x + j]
            codes[i, j] = min(max(difference, -CLIP), CLIP) + CLIP


@compiled
def _count(codes: Any, count: int, triples: Any) -> None:
    """Add up the triples of the rows, then of the columns; the first code counts least."""
    height, width = codes.shape
    rows, columns = triples[0], triples[1]
    for i in range(height):
        for j in range(width - 2):
            rows[codes[i, j] + count * (codes[i, j + 1] + count * codes[i, j + 2])] += 1
    for i in range(height - 2):
        for j in range(width):
            columns[codes[i, j] + count * (codes[i + 1, j] + count * codes[i + 2, j])] += 1
