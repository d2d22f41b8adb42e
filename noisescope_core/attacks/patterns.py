"""Patterns that attacks add or take away: of cameras, drawn or estimated, and of generators."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from noisescope_core.attacks.pixels import Image, check_pixels, standardised
from noisescope_core.residual import channel_residuals


def estimated_fingerprint(images: Iterable[Image]) -> NDArray[np.float32]:
    """Average the noise residuals of images, channel by channel.

    Of a generator's images this is its fingerprint (Marra, Gragnaniello, Verdoliva, Poggi 2019),
    of a camera's photographs its sensor pattern (Lukas, Fridrich, Goljan 2006).

    Parameters
    ----------
    images : iterable of (H, W, 3) uint8
        RGB, all of one size; read once and not kept.

    Returns
    -------
    (H, W, 3) float32, in grey levels

    Raises
    ------
    ValueError
        If there is no image, or one has another type or shape.
    """
    count = 0
    total = np.zeros(0)
    for image in images:
        check_pixels(image)
        if not count:
            total = np.zeros(image.shape)
        if image.shape != total.shape:
            raise ValueError(f"images must have one size, got {total.shape} and {image.shape}")
        total += channel_residuals(image).transpose(1, 2, 0)
        count += 1
    if not count:
        raise ValueError("a fingerprint cannot be estimated from no image")
    return np.asarray(total / count, np.float32)


def camera_pattern(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Draw the sensor pattern (PRNU) of a camera that does not exist: white, the same in R, G, B.

    A real camera's is estimated from its own photographs, by `estimated_fingerprint`.

    Parameters
    ----------
    rng : numpy.random.Generator
    height, width : int
        In pixels.

    Returns
    -------
    (height, width) float32, mean 0, standard deviation 1

    Raises
    ------
    ValueError
        If it would have fewer than two pixels.
    """
    if min(height, width) < 1 or height * width < 2:
        raise ValueError(f"a pattern needs two pixels, got height {height} and width {width}")
    return standardised(rng.standard_normal((height, width)))
