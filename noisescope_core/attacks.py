"""Attacks: what happens to images on their way, and what is done to them to hide their generator.

Every attack keeps the size, since images of another size would only be compared among themselves.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from noisescope_core.residual import channel_residuals

Image = NDArray[np.uint8]

_LAST_QUALITY = 90
_ENLARGEMENT = 1.05
_TEMPLATE, _SEARCH = 7, 21
_SSIM_REACH = 5
_SSIM_SIGMA = 1.5
_SSIM_FLOORS = ((0.01 * 255) ** 2, (0.03 * 255) ** 2)


@dataclass(frozen=True)
class Attack:
    """One kind of attack and what its strength means.

    Attributes
    ----------
    meaning : str
        What the strength is, with its unit.
    lowest, highest : float
        Strengths that are valid, both included.
    strengths : tuple of float
        Usual ones, from weak to strong.
    apply : callable
        From pixels, strength, random generator and pattern to pixels, unchecked; see `attack`.
    step : int, optional
        Distance of the valid strengths from `lowest` on; None where all numbers are valid.
    in_place : bool
        Whether what a pixel shows stays where it was. Where not, PSNR and SSIM mean nothing.
    pattern : "camera", "generator" or None
        Kind of pattern that the attack needs.
    """

    meaning: str
    lowest: float
    highest: float
    strengths: tuple[float, ...]
    apply: Callable[[Image, float, np.random.Generator, Any], Image]
    step: int | None = None
    in_place: bool = True
    pattern: Literal["camera", "generator"] | None = None


def check(name: str, strength: float) -> str | None:
    """Say in one line what is wrong with an attack, None if nothing is.

    Parameters
    ----------
    name : key of `ATTACKS`
    strength : float
        In the unit of that attack.
    """
    if name not in ATTACKS:
        close = difflib.get_close_matches(name, ATTACKS, 1)
        advice = f"did you mean {close[0]}?" if close else f"there are {', '.join(ATTACKS)}"
        return f"{name}: no such attack, {advice}"
    kind = ATTACKS[name]
    valid = f"{kind.lowest:g} to {kind.highest:g}"
    # Written so that NaN is outside.
    if not kind.lowest <= strength <= kind.highest:
        return f"{name}: strength {strength} is outside {valid} ({kind.meaning})"
    if kind.step and (strength - kind.lowest) % kind.step:
        return (
            f"{name}: strength {strength} is not {valid} in steps of {kind.step} ({kind.meaning})"
        )
    return None


def attack(
    name: str,
    strength: float,
    pixels: Image,
    rng: np.random.Generator,
    pattern: NDArray[np.floating[Any]] | None = None,
) -> Image:
    """Attack one image.

    Parameters
    ----------
    name : key of `ATTACKS`
    strength : float
        In the unit and range of that attack.
    pixels : (H, W, 3) uint8
        RGB; left as they are.
    rng : numpy.random.Generator
        Only `noise` and `fingerprint_removal`, for its dither, draw from it.
    pattern : (H, W) or (H, W, 3) float, only for the attacks that need one
        `camera_fingerprint`: a sensor's, from `camera_pattern` or `estimated_fingerprint`, in any
        unit, since it is brought to mean 0 and standard deviation 1. `fingerprint_removal`: a
        generator's, from `estimated_fingerprint`, in grey levels.

    Returns
    -------
    (H, W, 3) uint8, RGB, the same for the same pixels, strength, state of `rng` and pattern

    Raises
    ------
    ValueError
        If `check` finds something wrong, if pixels or pattern have another type or shape, if a
        pattern is missing, not finite, not needed or, as a camera's, flat, or if the image is too
        large for the file format.

    Examples
    --------
    >>> grey = np.full((64, 64, 3), 128, np.uint8)
    >>> float(attack("noise", 5, grey, np.random.default_rng(0)).std().round())
    5.0
    """
    if wrong := check(name, strength):
        raise ValueError(wrong)
    _check_pixels(pixels)
    needed = ATTACKS[name].pattern
    if (pattern is None) != (needed is None):
        raise ValueError(
            f"{name}: needs {f'the pattern of a {needed}' if needed else 'no pattern'}"
        )
    if pattern is not None:
        if pattern.shape not in (pixels.shape, pixels.shape[:2]) or pattern.dtype.kind != "f":
            raise ValueError(
                f"{name}: pattern must be float {pixels.shape[:2]} or {pixels.shape}, "
                f"got {pattern.dtype} {pattern.shape}"
            )
        if not np.isfinite(pattern).all():
            raise ValueError(f"{name}: pattern must be finite")
        pattern = pattern if pattern.ndim == 3 else pattern[:, :, None]
    return ATTACKS[name].apply(pixels, strength, rng, pattern)


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
        _check_pixels(image)
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
    return _standardised(rng.standard_normal((height, width)))


def psnr(before: Image, after: Image) -> float:
    """Measure the peak signal-to-noise ratio over all channels.

    Parameters
    ----------
    before, after : (H, W, 3) uint8

    Returns
    -------
    float
        In dB, infinite for equal images.

    Raises
    ------
    ValueError
        If the images have another type or differ in shape.
    """
    _check_pair(before, after)
    return float("inf") if np.array_equal(before, after) else float(cv2.PSNR(before, after))


def ssim(before: Image, after: Image) -> float:
    """Measure the structural similarity of the luma (Wang, Bovik, Sheikh, Simoncelli 2004).

    Gaussian window of 11 x 11 with sigma 1.5, K1 = 0.01, K2 = 0.03; the mean over all windows that
    lie inside the image.

    Parameters
    ----------
    before, after : (H, W, 3) uint8
        RGB, at least 11 pixels a side.

    Returns
    -------
    float
        -1 to 1, 1 for equal images.

    Raises
    ------
    ValueError
        If the images have another type, differ in shape or are smaller.
    """
    _check_pair(before, after)
    if min(before.shape[:2]) < 2 * _SSIM_REACH + 1:
        raise ValueError(f"SSIM needs 11 pixels a side, got {before.shape}")
    x, y = (
        np.asarray(cv2.cvtColor(np.float32(image), cv2.COLOR_RGB2GRAY), np.float64)
        for image in (before, after)
    )
    mean_x, mean_y = _windowed(x), _windowed(y)
    variance_x = _windowed(x * x) - mean_x * mean_x
    variance_y = _windowed(y * y) - mean_y * mean_y
    covariance = _windowed(x * y) - mean_x * mean_y
    c1, c2 = _SSIM_FLOORS
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    most = (mean_x * mean_x + mean_y * mean_y + c1) * (variance_x + variance_y + c2)
    return float((likeness / most).mean())


def _check_pixels(pixels: Image) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"pixels must be uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}")


def _check_pair(before: Image, after: Image) -> None:
    _check_pixels(before)
    _check_pixels(after)
    if before.shape != after.shape:
        raise ValueError(f"images must have one size, got {before.shape} and {after.shape}")


def _windowed(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    side = 2 * _SSIM_REACH + 1
    inside = slice(_SSIM_REACH, -_SSIM_REACH)
    return np.asarray(cv2.GaussianBlur(plane, (side, side), _SSIM_SIGMA)[inside, inside])


def _standardised(pattern: NDArray[Any]) -> NDArray[np.float32]:
    centred = pattern - pattern.mean(dtype=np.float64)
    deviation = centred.std()
    if not deviation:
        raise ValueError("a camera's pattern must not be flat")
    return np.asarray(centred / deviation, np.float32)


def _rounded(values: NDArray[Any]) -> Image:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _stored(pixels: Image, ending: str, *settings: int) -> Image:
    """Take an image through a file of the format."""
    try:
        # Channels in the codec's order: it treats blue and red unequally.
        data = cv2.imencode(ending, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), settings)[1]
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)
    except cv2.error as error:
        raise ValueError(f"an image of {pixels.shape} does not fit into a {ending} file") from error


def _resized(pixels: Image, shape: Sequence[int], interpolation: int) -> Image:
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(pixels, size, interpolation=interpolation), np.uint8)


def _centre(pixels: Image, height: int, width: int) -> Image:
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def _shrunk_sides(pixels: Image, share: float) -> tuple[int, int]:
    return max(1, round(pixels.shape[0] * share)), max(1, round(pixels.shape[1] * share))


def _jpeg(pixels: Image, quality: float, *_: object) -> Image:
    sampling = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420)
    return _stored(pixels, ".jpg", cv2.IMWRITE_JPEG_QUALITY, int(quality), *sampling)


def _jpeg_twice(pixels: Image, quality: float, *_: object) -> Image:
    return _jpeg(_jpeg(pixels, quality), _LAST_QUALITY)


def _webp(pixels: Image, quality: float, *_: object) -> Image:
    return _stored(pixels, ".webp", cv2.IMWRITE_WEBP_QUALITY, int(quality))


def _noise(pixels: Image, sigma: float, rng: np.random.Generator, *_: object) -> Image:
    return _rounded(pixels + sigma * rng.standard_normal(pixels.shape, dtype=np.float32))


def _blur(pixels: Image, sigma: float, *_: object) -> Image:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.uint8)


def _median(pixels: Image, side: float, *_: object) -> Image:
    return np.asarray(cv2.medianBlur(pixels, int(side)), np.uint8)


def _nlm(pixels: Image, h: float, *_: object) -> Image:
    # The filter works in CIELAB, so it has to know which channel is which.
    turned = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    denoised = cv2.fastNlMeansDenoisingColored(turned, None, h, h, _TEMPLATE, _SEARCH)
    return np.asarray(cv2.cvtColor(denoised, cv2.COLOR_BGR2RGB), np.uint8)


def _gamma(pixels: Image, exponent: float, *_: object) -> Image:
    curve = _rounded(255 * (np.arange(256) / 255) ** exponent)
    return np.asarray(cv2.LUT(pixels, curve), np.uint8)


def _equalise(pixels: Image, share: float, *_: object) -> Image:
    luma, red, blue = cv2.split(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb))
    flat = cv2.cvtColor(cv2.merge([cv2.equalizeHist(luma), red, blue]), cv2.COLOR_YCrCb2RGB)
    # Mixed in RGB: the way to luma and chroma and back costs a grey level by rounding.
    return np.asarray(cv2.addWeighted(pixels, 1 - share, flat, share, 0), np.uint8)


def _resize(pixels: Image, factor: float, *_: object) -> Image:
    small = _resized(pixels, _shrunk_sides(pixels, factor), cv2.INTER_AREA)
    return _resized(small, pixels.shape[:2], cv2.INTER_CUBIC)


def _crop(pixels: Image, share: float, *_: object) -> Image:
    kept = _centre(pixels, *_shrunk_sides(pixels, share))
    return _resized(kept, pixels.shape[:2], cv2.INTER_CUBIC)


def _social(pixels: Image, quality: float, *_: object) -> Image:
    height, width = pixels.shape[:2]
    sides = (round(height * _ENLARGEMENT), round(width * _ENLARGEMENT))
    return _jpeg(_centre(_resized(pixels, sides, cv2.INTER_CUBIC), height, width), quality)


def _camera_fingerprint(
    pixels: Image, deviation: float, _: object, pattern: NDArray[np.floating[Any]]
) -> Image:
    return _rounded(pixels * (1 + np.float32(deviation) * _standardised(pattern)))


def _fingerprint_removal(
    pixels: Image, factor: float, rng: np.random.Generator, pattern: NDArray[np.floating[Any]]
) -> Image:
    # Dithered: rounding would swallow what is below half a grey level.
    values = pixels - factor * pattern
    return np.asarray(np.clip(np.floor(values + rng.random(values.shape)), 0, 255), np.uint8)


_JPEG_QUALITY = "JPEG quality, 4:2:0"

ATTACKS: dict[str, Attack] = {
    "jpeg": Attack(_JPEG_QUALITY, 1, 100, (95, 85, 75, 60, 40), _jpeg, step=1),
    "jpeg_twice": Attack(
        f"{_JPEG_QUALITY}, of the first file; the second, on its grid, has {_LAST_QUALITY}",
        1,
        100,
        (85, 75, 60, 40),
        _jpeg_twice,
        step=1,
    ),
    "webp": Attack("WebP quality", 1, 100, (90, 75, 50), _webp, step=1),
    "noise": Attack(
        "standard deviation of white Gaussian noise, grey levels", 0, 100, (2, 5, 10), _noise
    ),
    "blur": Attack("standard deviation of the Gaussian, pixels", 0.1, 20, (0.5, 1, 2), _blur),
    "median": Attack("side of the window, odd, pixels", 3, 31, (3, 5, 7), _median, step=2),
    "nlm": Attack("h of non-local means, grey levels", 0.1, 100, (1.5, 3, 6), _nlm),
    # From weak to strong by |log|: an exponent and its inverse undo each other.
    "gamma": Attack("exponent of the tone curve, 1 is none", 0.2, 5, (1.3, 0.7, 1.8), _gamma),
    "equalise": Attack("share of the equalised image mixed in", 0, 1, (0.3, 0.6, 1), _equalise),
    "resize": Attack("factor down, and back up again", 0.1, 1, (0.9, 0.75, 0.5), _resize),
    "crop": Attack(
        "share kept of each side, then resized back",
        0.1,
        1,
        (0.95, 0.9, 0.75),
        _crop,
        in_place=False,
    ),
    "social": Attack(
        f"{_JPEG_QUALITY}, after enlarging by {_ENLARGEMENT} and cropping back",
        1,
        100,
        (90, 80, 70),
        _social,
        step=1,
        in_place=False,
    ),
    "camera_fingerprint": Attack(
        "relative standard deviation of the sensor pattern",
        0,
        0.2,
        (0.005, 0.01, 0.02),
        _camera_fingerprint,
        pattern="camera",
    ),
    "fingerprint_removal": Attack(
        "times that the fingerprint is subtracted",
        0,
        10,
        (0.5, 1, 2),
        _fingerprint_removal,
        pattern="generator",
    ),
}
"""Attacks by name."""
