"""Piles of any size, quickly: smooth pictures with noise, some with a generator's fixed pattern.

`noisescope simulate` makes better images; a hundred thousand of them take it hours.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

CHUNK = 250
"""Images that a process writes at once; chosen."""


@dataclass(frozen=True)
class Pile:
    """What a pile holds.

    Attributes
    ----------
    images, reference : numbers of images
    generators : number of generators; each made `share` of the images
    share : 0..1
    strength : grey levels of a generator's pattern; by default two of its images correlate as two
        of CycleGAN do
    seed : not negative
    side : pixels
    """

    images: int
    reference: int = 1000
    generators: int = 3
    share: float = 0.01
    strength: float = 1.05
    seed: int = 5
    side: int = 256


def write_pile(folder: Path, pile: Pile) -> None:
    """Write ``images`` and ``reference`` into a folder, unless they are there.

    Names say what an image is: `..._p.jpg` a photograph, `..._g0.jpg` of generator 0. An image
    depends on its number alone, so a larger pile contains the smaller.
    """
    for name, count in (("images", pile.images), ("reference", pile.reference)):
        target = folder / name
        if target.exists() and len(os.listdir(target)) >= count:
            continue
        target.mkdir(parents=True, exist_ok=True)
        chunks = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
        with ProcessPoolExecutor() as pool:
            list(pool.map(partial(_write, pile, target), chunks))


@cache
def _patterns(pile: Pile) -> NDArray[np.float32]:
    rng = np.random.default_rng([pile.seed, 2])
    return rng.standard_normal((pile.generators, pile.side, pile.side, 3), np.float32)


def _write(pile: Pile, folder: Path, numbers: range) -> None:
    cv2.setNumThreads(1)
    is_reference = folder.name == "reference"
    for number in numbers:
        rng = np.random.default_rng([pile.seed, int(is_reference), number])
        pixels = _photograph(rng, pile.side)
        maker = int(rng.random() / pile.share)
        is_generated = not is_reference and maker < pile.generators
        if is_generated:
            pixels += pile.strength * _patterns(pile)[maker]
        name = f"{number:06d}_{f'g{maker}' if is_generated else 'p'}.jpg"
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(85, 96))]
        rounded = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / name), rounded, quality)


def _photograph(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Draw a smooth picture with coarse and fine noise: (side, side, 3), grey levels."""
    smooth = rng.uniform(40, 215, (12, 12, 3)).astype(np.float32)
    fine = 6 * rng.standard_normal((side // 2, side // 2, 3), np.float32)
    pixels = cv2.resize(smooth, (side, side), interpolation=cv2.INTER_CUBIC)
    pixels += cv2.resize(fine, (side, side))
    pixels += 2 * rng.standard_normal((side, side, 3), np.float32)
    return np.asarray(pixels, np.float32)
