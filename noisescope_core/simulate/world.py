"""A simulated world: cameras, generators, and the images that they make, each by its number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from noisescope_core.simulate.camera import Camera, build_camera, photograph
from noisescope_core.simulate.generator import (
    Generator,
    Upsampling,
    build_generator,
    check_upsampling,
    generate,
)
from noisescope_core.simulate.scene import scene

Kind = Literal["photograph", "generated", "reference", "extra"]
"""What an image is; `reference` and `extra` are other photographs from the same cameras."""

STREAMS: dict[Kind, int] = {"photograph": 0, "generated": 1, "reference": 2, "extra": 3}
"""Keys by which the images of each kind are drawn independently of all others."""

_CAMERA_STREAM, _GENERATOR_STREAM = 10, 11
"""Keys of the draws of cameras and generators; `dump` draws names by 12, `any_size` by 13, 14."""


def check_sources(seed: int, cameras: int, generators: int) -> None:
    """Raise ValueError unless images can be drawn by this seed from so many sources."""
    if cameras < 1 or generators < 1:
        raise ValueError(
            f"cameras and generators must be at least 1, not {cameras} and {generators}"
        )
    if seed < 0:
        raise ValueError(f"seed must not be negative, but is {seed}")


@dataclass(frozen=True)
class World:
    """What an image depends on besides its kind and index.

    Attributes
    ----------
    seed : int
        Not negative.
    cameras, generators : int
        Numbers of sources, at least 1; images are dealt out to them in turn.
    width, height : int
        Size of the images in pixels, at least 64.
    upsampling : {"transposed", "nearest", "bilinear"}
        How the generators enlarge their layers, see `build_generator`.
    fixed_noise : bool
        Whether the generators add their constant; else only their layers leave a pattern.

    Raises
    ------
    ValueError
        One of them is out of range.
    """

    seed: int
    cameras: int
    generators: int
    width: int
    height: int
    upsampling: Upsampling = "transposed"
    fixed_noise: bool = True

    def __post_init__(self) -> None:
        """Refuse what no image can come from."""
        if min(self.width, self.height) < 64:
            raise ValueError(f"size {self.width}x{self.height} is too small: at least 64x64")
        check_sources(self.seed, self.cameras, self.generators)
        check_upsampling(self.upsampling)


def simulated_image(world: World, kind: Kind, index: int) -> tuple[NDArray[np.uint8], int]:
    """Make one image of a world: before its compression, the one that `write_dump` writes.

    While it works OpenCV and BLAS have one thread in the whole process: with several, sums may
    round differently. For more speed take processes, not threads.

    Parameters
    ----------
    world : World
    kind : {"photograph", "generated", "reference", "extra"}
    index : int
        Number of the image among those of its kind, from 0; its source is number
        ``index % world.generators`` of the generators, or ``index % world.cameras`` of the cameras.

    Returns
    -------
    pixels : ndarray of uint8, shape (height, width, 3)
        RGB.
    quality : int
        JPEG quality to store them at, 85 to 95.

    Raises
    ------
    ValueError
        There is no such kind, or the index is negative.

    Examples
    --------
    >>> world = World(seed=0, cameras=4, generators=2, width=96, height=64, upsampling="nearest")
    >>> simulated_image(world, "generated", 7)[0].shape
    (64, 96, 3)
    """
    if kind not in STREAMS or index < 0:
        raise ValueError(f"no image {index} of kind {kind!r}: kinds are {', '.join(STREAMS)}")
    rng = draws(world.seed, STREAMS[kind], index)
    quality = int(rng.integers(85, 96))
    with one_thread():
        if kind == "generated":
            shown = scene(rng, world.height, world.width)
            return generate(_generator(world, index % world.generators), rng, shown), quality
        camera = _camera(world, index % world.cameras)
        return photograph(camera, rng, world.height, world.width), quality


def source_of(world: World, kind: Kind, index: int) -> str:
    """Name the camera or generator of an image, as `write_dump` labels it: ``generator-1``."""
    if kind == "generated":
        return f"generator-{index % world.generators + 1}"
    return f"camera-{index % world.cameras + 1}"


def draws(seed: int, *key: int) -> np.random.Generator:
    """Draw independently of all other keys."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


@lru_cache(maxsize=64)
def _camera(world: World, number: int) -> Camera:
    return build_camera(draws(world.seed, _CAMERA_STREAM, number), world.height, world.width)


@lru_cache(maxsize=64)
def _generator(world: World, number: int) -> Generator:
    rng = draws(world.seed, _GENERATOR_STREAM, number)
    generator = build_generator(rng, world.height, world.width, world.upsampling)
    if world.fixed_noise:
        return generator
    return replace(generator, constant=np.zeros_like(generator.constant))


@contextmanager
def one_thread() -> Iterator[None]:
    """Give OpenCV and BLAS one thread in the whole process."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        cv2.setNumThreads(before)
