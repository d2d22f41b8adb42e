"""A simulated world where few images share a size: decoders, cameras, one that rounds down, an app.

What a method could take for a generator's lattice is there: a camera's dimples and an app's
rescaling. One of the reference cameras rounds down, too, as some do anywhere; the app is not in
the reference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from noisescope_core.simulate.camera import Camera, build_camera, photograph, stored_photograph
from noisescope_core.simulate.decoder import STRIDE, Decoder, build_decoder, decode_scene
from noisescope_core.simulate.processing import rescaled, rounded_down
from noisescope_core.simulate.scene import scene
from noisescope_core.simulate.world import STREAMS, Kind, check_sources, draws, one_thread

_CAMERA_STREAM, _DECODER_STREAM = 13, 14
"""Keys of the draws of cameras and decoders; `world` and `dump` draw by 0 to 12."""

_GENERATED = (256, 640)
"""Shortest and longest side of a generated image, pixels."""

_LONG = (272, 560)
"""Longer side of a photograph, least and most, pixels; chosen: larger ones take longer to make."""

_ASPECTS = (1.0, 1.8)
"""Longer over shorter side of a photograph; chosen: from square to a little over 16:9."""

_SENSOR = 340
"""Side of uploads that cameras are built for, pixels: their sensors are three times as wide."""

_REDUCTIONS = (1.1, 1.6)
"""By which photographs are reduced before they are uploaded; chosen: more takes longer."""

_APP_SIDE = 480
"""Longer side that the app allows, pixels. Chosen: as small to these photographs as the 1600 of
real apps to a phone's."""

_APP_QUALITY = 85
"""At which the app saves."""

_APP_FACTORS = (1.1, 2.0)
"""How much larger photographs are that the app shrinks."""

_DOWN_QUALITY = 99
"""At which the camera that rounds down saves. Chosen: dimples are as strong as a phone's."""

_QUALITIES = (88, 97)
"""Least quality, and one more than the highest, at which images are stored in the end."""

_SAVED_AGAIN = (82, 93)
"""Least quality, and one more than the highest, at which a copy was saved in between."""


@dataclass(frozen=True)
class AnySizeWorld:
    """What an image depends on besides its kind and index.

    Photographs are dealt out in turn to the cameras, to one more that rounds DCT coefficients down,
    and to an app that rescales what the first camera takes. Reference photographs are from the
    cameras, from as many others, and from another one that rounds down. Of the last generator's
    images every second one is saved again.

    Attributes
    ----------
    seed : int
        Not negative.
    cameras, generators : int
        Numbers of sources, at least 1.

    Raises
    ------
    ValueError
        One of them is out of range.
    """

    seed: int
    cameras: int
    generators: int

    def __post_init__(self) -> None:
        """Refuse what no image can come from."""
        check_sources(self.seed, self.cameras, self.generators)

    def source(self, kind: Kind, index: int) -> str:
        """Name what made an image, as `write_dump` labels it.

        Examples
        --------
        >>> world = AnySizeWorld(seed=0, cameras=4, generators=2)
        >>> [world.source("photograph", k) for k in (0, 4, 5)]
        ['camera-1', 'camera-rounding-down', 'app']
        >>> [world.source("generated", k) for k in (0, 1, 3)]
        ['generator-1', 'generator-2', 'generator-2, saved again']
        """
        if kind == "generated":
            again = ", saved again" if self._is_saved_again(index) else ""
            return f"generator-{index % self.generators + 1}{again}"
        if kind == "reference":
            number = index % (2 * self.cameras + 1)
            others = {2 * self.cameras: "another-camera-rounding-down"}
        else:
            number = index % (self.cameras + 2)
            others = {self.cameras: "camera-rounding-down", self.cameras + 1: "app"}
        return others.get(number, f"camera-{number + 1}")

    def image(self, kind: Kind, index: int) -> tuple[NDArray[np.uint8], int]:
        """Make one image: before its compression, the one that `write_dump` writes.

        It is made by one thread, as `simulated_image` has it.

        Parameters
        ----------
        kind : {"photograph", "generated", "reference", "extra"}
        index : int
            Number of the image among those of its kind, from 0.

        Returns
        -------
        pixels : ndarray of uint8, shape (height, width, 3)
            RGB.
        quality : int
            JPEG quality to store them at.
        """
        rng = draws(self.seed, STREAMS[kind], index)
        quality = int(rng.integers(*_QUALITIES))
        with one_thread():
            if kind == "generated":
                return self._generated(rng, index), quality
            source = self.source(kind, index)
            if source == "app":
                return self._sent(rng), _APP_QUALITY
            height, width = _photograph_size(rng, int(rng.integers(_LONG[0], _LONG[1] + 1)))
            if source.endswith("camera-rounding-down"):
                body = 2 * self.cameras + (kind == "reference")
                camera = replace(_camera(self.seed, body), quality=(_DOWN_QUALITY, _DOWN_QUALITY))
                return stored_photograph(camera, rng, height, width, rounded_down), quality
            camera = _camera(self.seed, int(source.removeprefix("camera-")) - 1)
            return photograph(camera, rng, height, width, _REDUCTIONS), quality

    def _is_saved_again(self, index: int) -> bool:
        own, generator = divmod(index, self.generators)
        return generator == self.generators - 1 and own % 2 == 1

    def _generated(self, rng: np.random.Generator, index: int) -> NDArray[np.uint8]:
        least, most = (side // STRIDE for side in _GENERATED)
        height, width = (int(side) * STRIDE for side in rng.integers(least, most + 1, 2))
        decoder = _decoder(self.seed, index % self.generators)
        pixels = decode_scene(decoder, rng, scene(rng, height, width))
        if not self._is_saved_again(index):
            return pixels
        options = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*_SAVED_AGAIN))]
        saved = cv2.imdecode(cv2.imencode(".jpg", pixels, options)[1], cv2.IMREAD_COLOR)
        return np.asarray(saved, np.uint8)

    def _sent(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Take a photograph and shrink it as the app does."""
        height, width = _photograph_size(rng, round(_APP_SIDE * rng.uniform(*_APP_FACTORS)))
        return rescaled(stored_photograph(_camera(self.seed, 0), rng, height, width), _APP_SIDE)


def _photograph_size(rng: np.random.Generator, longer: int) -> tuple[int, int]:
    """Draw height and width of a photograph, upright or not, of which the longer side is given."""
    shorter = round(longer / rng.uniform(*_ASPECTS))
    return (shorter, longer) if rng.random() < 0.6 else (longer, shorter)


@lru_cache(maxsize=64)
def _camera(seed: int, number: int) -> Camera:
    return build_camera(draws(seed, _CAMERA_STREAM, number), _SENSOR, _SENSOR)


@lru_cache(maxsize=64)
def _decoder(seed: int, number: int) -> Decoder:
    return build_decoder(draws(seed, _DECODER_STREAM, number))
