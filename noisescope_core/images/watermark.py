"""Watermarks that generators' tools put into images, read where the way is published.

In come pixels, out comes the name of a known watermark or nothing (docs/method.md, step 10).

Stable Diffusion's scripts write a fixed word into the first chroma plane (open-source package
invisible-watermark, method dwtDct): of every 4 x 4 block of the Haar approximation the largest
coefficient, but the first, lies in the upper or lower half of a step of 36. Blocks carry the
bits in turn, over and over. Saving as JPEG mostly destroys it.

Some tools write it into bytes, some into numbers with a fraction, for which OpenCV puts the middle
of chroma at 0.5 instead of 128: another coefficient is the largest. Both are looked at.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc

STEP = 36.0
"""Step by which a coefficient is quantised, grey levels (invisible-watermark, dwtDct)."""

BLOCK = 4
"""Side of a block of the Haar approximation, coefficients (the same package)."""

ROWS = 256
"""Pixel rows that are read. Chosen: more of a large image says nothing new."""

CHROMA = np.array([[-0.147108, -0.288804, 0.435912]], np.float32)
"""Weights of red, green and blue in the first chroma plane, less its middle: 0.492 of blue less
luminance (OpenCV's `COLOR_RGB2YUV`)."""

CHANCE = 1e-9
"""Chance, 0..1, that independent bits agree so often. Chosen: no image by accident."""

WORDS = {
    "Stable Diffusion": np.unpackbits(np.frombuffer(b"StableDiffusionV1", np.uint8)),
    "Stable Diffusion 2": np.unpackbits(np.frombuffer(b"SDV2", np.uint8)),
    "Stable Diffusion XL": np.array([int(bit) for bit in f"{0xB3EC907BB19E:b}"], np.uint8),
    "FLUX": np.array([int(bit) for bit in f"{0x2AFE879CF52E:b}"], np.uint8),
}
"""Bits that each tool writes, from its published source: CompVis/stable-diffusion and
Stability-AI/stablediffusion (scripts/txt2img.py), Stability-AI/generative-models
(scripts/demo/streamlit_helpers.py), black-forest-labs/flux (src/flux/util.py), which drops the
leading zeros of its number."""


def watermark_of(pixels: NDArray[np.uint8]) -> str | None:
    """Name the watermark of an image, None if none is known in it.

    Parameters
    ----------
    pixels : (H, W, 3) uint8, RGB, not cropped; (H, W) has no chroma and no watermark

    Examples
    --------
    >>> watermark_of(np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)) is None
    True
    """
    if pixels.ndim == 2 or min(pixels.shape[:2]) < 2 * BLOCK:
        return None
    height, width = (side // BLOCK * BLOCK for side in pixels[:ROWS].shape[:2])
    chroma = cv2.transform(pixels[:height, :width].astype(np.float32), CHROMA)
    # As OpenCV has it of bytes, to a grey level, and of numbers with a fraction.
    return _word_in(np.rint(chroma + 128)) or _word_in(chroma + np.float32(0.5))


def _word_in(chroma: NDArray[np.float32]) -> str | None:
    """Read a word in the first chroma plane."""
    height, width = chroma.shape
    # Means of 2 x 2 are half the coefficients of Haar's approximation.
    low = np.abs(cv2.resize(chroma, (width // 2, height // 2), interpolation=cv2.INTER_AREA))
    rows, columns = (side // BLOCK for side in low.shape)
    low = low[: rows * BLOCK, : columns * BLOCK]
    low[::BLOCK, ::BLOCK] = 0
    by_row = low.reshape(rows, BLOCK, -1).max(1)
    largest = 2 * by_row.reshape(-1, BLOCK).max(1)
    upper = largest % STEP > STEP / 2
    for name, word in WORDS.items():
        times, rest = divmod(len(upper), len(word))
        if not times:
            continue
        votes = upper[: times * len(word)].reshape(times, len(word)).sum(0)
        votes[:rest] += upper[times * len(word) :]
        of = np.full(len(word), times)
        of[:rest] += 1
        agree = int(((2 * votes > of) == word).sum())
        if agree > 0 and bdtrc(agree - 1, len(word), 0.5) < CHANCE:
            return name
    return None
