"""Piles of any size, quickly: smooth pictures with noise, some with a generator's fixed pattern.

`noisescope simulate` makes better images; a hundred thousand of them take it hours.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 256
CHUNK = 250
STRENGTH = 1.05
"""Grey levels of a pattern: two of its images correlate as two of CycleGAN do."""


def write_pile(
    folder: Path, images: int, generators: int = 3, share: float = 0.01, strength: float = STRENGTH,
    seed: int = 5, reference: int = 1000, side: int = SIDE,
) -> None:  # fmt: skip
    """Write `images` and `reference` into a folder, unless they are there.

    Names say what an image is: `..._p.jpg` a photograph, `..._g0.jpg` of generator 0. An image
    depends on its number alone, so a larger pile contains the smaller.

    Parameters
    ----------
    share : float, of the images that each generator made
    side : pixels
    """
    for name, count, made_by in (("images", images, generators), ("reference", reference, 0)):
        if (folder / name).exists() and len(os.listdir(folder / name)) >= count:
            continue
        (folder / name).mkdir(parents=True, exist_ok=True)
        chunks = [
            (folder / name, range(start, min(start + CHUNK, count)), made_by, share, strength,
             (seed, int(name == "reference")), side)
            for start in range(0, count, CHUNK)
        ]  # fmt: skip
        with ProcessPoolExecutor() as pool:
            list(pool.map(_write, chunks))


@cache
def _patterns(generators: int, seed: int, side: int) -> NDArray[np.float32]:
    rng = np.random.default_rng([seed, 2])
    return rng.standard_normal((generators, side, side, 3), np.float32)


def _write(chunk: tuple[Path, range, int, float, float, tuple[int, int], int]) -> None:
    folder, numbers, generators, share, strength, seed, side = chunk
    cv2.setNumThreads(1)
    patterns = _patterns(generators, seed[0], side)
    for number in numbers:
        rng = np.random.default_rng([*seed, number])
        smooth = rng.uniform(40, 215, (12, 12, 3)).astype(np.float32)
        fine = 6 * rng.standard_normal((side // 2, side // 2, 3), np.float32)
        pixels = cv2.resize(smooth, (side, side), interpolation=cv2.INTER_CUBIC)
        pixels += cv2.resize(fine, (side, side))
        pixels += 2 * rng.standard_normal((side, side, 3), np.float32)
        maker = int(rng.random() / share)
        if maker < generators:
            pixels += strength * patterns[maker]
        name = f"{number:06d}_{f'g{maker}' if maker < generators else 'p'}.jpg"
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(85, 96))]
        rounded = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / name), rounded, quality)
