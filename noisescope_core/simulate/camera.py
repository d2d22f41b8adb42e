"""A simulated digital camera: scene light in, uploaded photograph out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from noisescope_core.simulate.scene import scene

_JPEG_422 = int(cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422)
_JPEG_420 = int(cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420)
_LARGEST_REDUCTION = 2.6
"""By which a photograph is reduced at most before it is uploaded; chosen: a larger sensor takes
longer to simulate."""

_GRID = 16
"""Pixels of a JPEG block with halved colours, by which a crop may be off the camera's grid."""


@dataclass(frozen=True, eq=False)
class Camera:
    """One camera body and its firmware.

    Attributes
    ----------
    prnu : ndarray of float32, shape (sensor height, sensor width)
        Relative sensitivity of each photosite, mean 1, standard deviation 0.005 to 0.01.
    full_well : float
        Electrons at full scale, at base ISO.
    read_noise : float
        Standard deviation in electrons.
    response : ndarray of float32, shape (3,)
        Sensitivity behind the R, G and B filters, relative to G.
    edge_aware : bool
        Edge-aware demosaicing; bilinear otherwise.
    contrast : float
        Strength of the S-shaped tone curve, 0 to 1.
    sharpening : float
        Gain of the unsharp mask.
    denoising : float
        Range parameter of the bilateral filter, 0..255 units; 0 is off.
    quality : tuple of int
        Lowest and highest JPEG quality of a shot.
    sampling : int
        JPEG chroma subsampling, an OpenCV constant.
    """

    prnu: NDArray[np.float32]
    full_well: float
    read_noise: float
    response: NDArray[np.float32]
    edge_aware: bool
    contrast: float
    sharpening: float
    denoising: float
    quality: tuple[int, int]
    sampling: int


def build_camera(rng: np.random.Generator, height: int, width: int) -> Camera:
    """Draw a camera whose sensor is large enough for uploads of the given size.

    Parameters
    ----------
    rng : numpy.random.Generator
        Everything about the camera is drawn from it.
    height, width : int
        Size in pixels of the uploaded photographs.

    Returns
    -------
    Camera
    """
    sensor = [int(side * (_LARGEST_REDUCTION + 0.4)) + 2 * _GRID for side in (height, width)]
    lowest = int(rng.integers(82, 93))
    prnu = 1 + np.float32(rng.uniform(0.005, 0.01)) * rng.standard_normal(sensor, dtype=np.float32)
    return Camera(
        prnu=np.asarray(prnu, np.float32),
        full_well=rng.uniform(3000, 12000),
        read_noise=rng.uniform(2, 6),
        response=np.array([rng.uniform(0.45, 0.7), 1.0, rng.uniform(0.5, 0.8)], np.float32),
        edge_aware=bool(rng.random() < 0.6),
        contrast=rng.uniform(0.1, 0.7),
        sharpening=rng.uniform(0.0, 0.8),
        denoising=float(rng.choice([0.0, 6.0, 12.0])),
        quality=(lowest, lowest + 6),
        sampling=int(rng.choice([_JPEG_422, _JPEG_420])),
    )


def photograph(
    camera: Camera,
    rng: np.random.Generator,
    height: int,
    width: int,
    reductions: tuple[float, float] = (1.3, _LARGEST_REDUCTION),
) -> NDArray[np.uint8]:
    """Take a photograph and bring it to upload size.

    The scene falls on a random part of the sensor; the camera's JPEG is cropped off its block grid
    and reduced, so the sensor pattern of two photographs is rarely aligned.

    Parameters
    ----------
    camera : Camera
        From `build_camera` for the same height and width, or larger ones.
    rng : numpy.random.Generator
        Scene, framing and noise are drawn from it.
    height, width : int
        Size of the upload in pixels.
    reductions : tuple of float
        Least and largest factor by which it is reduced, at least 1.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        RGB.
    """
    reduction = rng.uniform(*reductions)
    tall, wide = round(height * reduction), round(width * reduction)
    stored = stored_photograph(camera, rng, tall + _GRID, wide + _GRID)
    y, x = rng.integers(0, _GRID, 2)
    crop = stored[y : y + tall, x : x + wide]
    return np.asarray(cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def stored_photograph(
    camera: Camera,
    rng: np.random.Generator,
    height: int,
    width: int,
    encoder: Callable[[NDArray[np.uint8], int], NDArray[np.uint8]] | None = None,
) -> NDArray[np.uint8]:
    """Take a photograph as the camera stores it: neither cropped nor reduced.

    Parameters
    ----------
    camera : Camera
        Its sensor is at least a pixel larger each way.
    rng : numpy.random.Generator
        Scene, framing and noise are drawn from it.
    height, width : int
        Size in pixels.
    encoder : callable, optional
        Compresses RGB at a JPEG quality and gives what is read back; libjpeg by default.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        RGB.
    """
    # Even, so that the mosaic always starts with the same filter.
    raw_h, raw_w = (height + 1) // 2 * 2, (width + 1) // 2 * 2
    top = int(rng.integers(0, (camera.prnu.shape[0] - raw_h) // 2 + 1)) * 2
    left = int(rng.integers(0, (camera.prnu.shape[1] - raw_w) // 2 + 1)) * 2
    light = cv2.GaussianBlur(scene(rng, raw_h, raw_w), (0, 0), rng.uniform(0.5, 0.9))
    site = camera.prnu[top : top + raw_h, left : left + raw_w]
    developed = _develop(camera, _expose(camera, rng, np.asarray(light, np.float32), site))
    quality = int(rng.integers(camera.quality[0], camera.quality[1] + 1))
    if encoder is not None:
        return encoder(developed, quality)[:height, :width]
    shot = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        camera.sampling,
    ]
    stored = cv2.imdecode(cv2.imencode(".jpg", developed, shot)[1], cv2.IMREAD_COLOR)
    assert stored is not None
    return np.asarray(stored[:height, :width], np.uint8)


def _expose(
    camera: Camera, rng: np.random.Generator, light: NDArray[np.float32], site: NDArray[np.float32]
) -> NDArray[np.uint16]:
    """RGGB mosaic of light (H, W, 3), 0 to 1, with the noise of this exposure, 0..65535."""
    mosaic = np.empty(light.shape[:2], np.float32)
    for channel, (dy, dx) in ((0, (0, 0)), (1, (0, 1)), (1, (1, 0)), (2, (1, 1))):
        mosaic[dy::2, dx::2] = light[dy::2, dx::2, channel] * camera.response[channel]
    well = np.float32(camera.full_well / rng.choice([1, 2, 4, 8]))
    electrons = mosaic * site * well
    # Above a few tens of electrons a Gaussian is indistinguishable from a Poisson draw.
    deviation = np.sqrt(electrons + np.float32(camera.read_noise**2))
    electrons += deviation * rng.standard_normal(electrons.shape, dtype=np.float32)
    return np.asarray(np.clip(electrons * (65535 / well), 0, 65535), np.uint16)


def _develop(camera: Camera, mosaic: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Run the firmware: mosaic (H, W) 0..65535 to RGB (H, W, 3) 0..255."""
    # OpenCV names the mosaic by its second row: RGGB is BG.
    code = cv2.COLOR_BayerBG2RGB_EA if camera.edge_aware else cv2.COLOR_BayerBG2RGB
    linear = cv2.cvtColor(mosaic, code)
    tones = np.arange(65536, dtype=np.float32) / 65535
    picture = np.empty(linear.shape, np.float32)
    for channel in range(3):
        balanced = np.clip(tones / camera.response[channel], 0, 1)
        curve = balanced ** np.float32(1 / 2.2)
        smooth = curve * curve * (3 - 2 * curve)
        table = 255 * (curve + np.float32(camera.contrast) * (smooth - curve))
        picture[..., channel] = table[linear[..., channel]]
    if camera.denoising:
        picture = np.asarray(cv2.bilateralFilter(picture, 5, camera.denoising, 1.5), np.float32)
    if camera.sharpening:
        soft = cv2.GaussianBlur(picture, (0, 0), 1.2)
        picture += np.float32(camera.sharpening) * (picture - soft)
    return np.asarray(np.clip(picture + np.float32(0.5), 0, 255), np.uint8)
