"""Layers of simulated generators: arrays in, arrays out, shift-equivariant up to their stride."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

Padding = Literal["edge", "constant"]

SLOPE = 0.2
"""Of the leaky ReLU below 0, as usual in generative networks."""

BILINEAR = np.array([0.25, 0.75, 0.75, 0.25], np.float32)
"""Kernel of a transposed convolution of stride 2 that would be bilinear interpolation."""


def shrunk(image: Array) -> Array:
    """Halve a picture, (h, w, c), by the mean of four pixels."""
    size = (image.shape[1] // 2, image.shape[0] // 2)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)


def detail_of(fine: Array, coarse: Array, bar: float) -> Array:
    """Take from the fine picture (2h, 2w, 3) what the coarse one (h, w, 3) has, and faint texture.

    Dropping the faint part is what gives generated images their painted look.
    """
    size = (fine.shape[1], fine.shape[0])
    lost = fine - cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(lost - np.clip(lost, -bar, bar), np.float32)


def leaky(x: Array) -> Array:
    """Leaky ReLU of a layer of any shape."""
    return np.asarray(np.maximum(x, np.float32(SLOPE) * x), np.float32)


def convolution(x: Array, kernel: Array, bias: Array, padding: Padding) -> Array:
    """Kernel 3, padding 1: (h, w, c) to (h, w, d)."""
    h, w, c = x.shape
    d = kernel.shape[3]
    return (_blocks(x, padding) @ kernel.reshape(9 * c, d) + bias).reshape(h, w, d)


def transposed_convolution(x: Array, kernel: Array, bias: Array, padding: Padding) -> Array:
    """Kernel 4, stride 2, padding 1 (repeated edge or zeros): (h, w, c) to (2h, 2w, d).

    Every output of phase (py, px) sees a 2 x 2 block of inputs, so all four phases come from one
    matrix product over 3 x 3 blocks.
    """
    h, w, c = x.shape
    d = kernel.shape[3]
    weights = np.zeros((3, 3, c, 2, 2, d), np.float32)
    for py in range(2):
        for px in range(2):
            for iy in range(2):
                for ix in range(2):
                    weights[py + iy, px + ix, :, py, px] = kernel[3 - py - 2 * iy, 3 - px - 2 * ix]
    product = _blocks(x, padding) @ weights.reshape(9 * c, 4 * d)
    grid = (product.reshape(h, w, 2, 2, d) + bias).transpose(0, 2, 1, 3, 4)
    return grid.reshape(2 * h, 2 * w, d)


def _blocks(x: Array, padding: Padding) -> Array:
    """The 3 x 3 block around every pixel, in a row: (h, w, c) to (h w, 9 c)."""
    h, w, c = x.shape
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)), padding)
    blocks = np.empty((h, w, 9, c), np.float32)
    for tap in range(9):
        blocks[:, :, tap] = padded[tap // 3 : tap // 3 + h, tap % 3 : tap % 3 + w]
    return blocks.reshape(h * w, 9 * c)
