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

from typing import Any

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
    seen = np.ascontiguousarray(pixels[:height, :width])
    return _word_in(seen) or _word_in(seen.astype(np.float32))


def _word_in(pixels: NDArray[Any]) -> str | None:
    """Read a word that was written into pixels of this type, uint8 or float32."""
    chroma = cv2.cvtColor(pixels, cv2.COLOR_RGB2YUV)[:, :, 1].astype(np.float32)
    low = (chroma[0::2, 0::2] + chroma[0::2, 1::2] + chroma[1::2, 0::2] + chroma[1::2, 1::2]) / 2
    rows, columns = (side // BLOCK for side in low.shape)
    blocks = low[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    largest = np.abs(blocks.transpose(0, 2, 1, 3).reshape(-1, BLOCK * BLOCK)[:, 1:]).max(1)
    upper = largest % STEP > STEP / 2
    for name, word in WORDS.items():
        if len(upper) < len(word):
            continue
        bit = np.arange(len(upper)) % len(word)
        votes = np.bincount(bit, upper) / np.bincount(bit)
        agree = int(((votes > 0.5) == word).sum())
        if agree > 0 and bdtrc(agree - 1, len(word), 0.5) < CHANCE:
            return name
    return None
