"""The attacks by name: what each does to the pixels of an image, and how strong it may be."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from noisescope_core.attacks.pixels import Image, check_pixels, standardised

_LAST_QUALITY = 90
"""JPEG quality of the second file of `jpeg_twice`; chosen: a usual one."""

_ENLARGEMENT = 1.05
"""By which `social` enlarges before it crops; chosen: pixels move by a fraction of one."""

_TEMPLATE, _SEARCH = 7, 21
"""Sides in pixels of the windows of non-local means, OpenCV's defaults."""


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

    Examples
    --------
    >>> check("jpeg", 85)
    >>> check("jpg", 85)
    'jpg: no such attack, did you mean jpeg?'
    """
    if name not in ATTACKS:
        close = difflib.get_close_matches(name, ATTACKS, 1)
        advice = f"did you mean {close[0]}?" if close else f"there are {', '.join(ATTACKS)}"
        return f"{name}: no such attack, {advice}"
    entry = ATTACKS[name]
    valid = f"{entry.lowest:g} to {entry.highest:g}"
    # Written so that NaN is outside.
    if not entry.lowest <= strength <= entry.highest:
        return f"{name}: strength {strength} is outside {valid} ({entry.meaning})"
    if entry.step and (strength - entry.lowest) % entry.step:
        valid = f"{valid} in steps of {entry.step}"
        return f"{name}: strength {strength} is not {valid} ({entry.meaning})"
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
    check_pixels(pixels)
    _check_pattern(name, pixels, pattern)
    # (H, W) becomes (H, W, 1).
    planes = None if pattern is None else np.atleast_3d(pattern)
    return ATTACKS[name].apply(pixels, strength, rng, planes)


def _check_pattern(name: str, pixels: Image, pattern: NDArray[np.floating[Any]] | None) -> None:
    needed = ATTACKS[name].pattern
    if (pattern is None) != (needed is None):
        raise ValueError(
            f"{name}: needs {f'the pattern of a {needed}' if needed else 'no pattern'}"
        )
    if pattern is None:
        return
    if pattern.shape not in (pixels.shape, pixels.shape[:2]) or pattern.dtype.kind != "f":
        raise ValueError(
            f"{name}: pattern must be float {pixels.shape[:2]} or {pixels.shape}, "
            f"got {pattern.dtype} {pattern.shape}"
        )
    if not np.isfinite(pattern).all():
        raise ValueError(f"{name}: pattern must be finite")


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


def _middle(pixels: Image, height: int, width: int) -> Image:
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
    kept = _middle(pixels, *_shrunk_sides(pixels, share))
    return _resized(kept, pixels.shape[:2], cv2.INTER_CUBIC)


def _social(pixels: Image, quality: float, *_: object) -> Image:
    height, width = pixels.shape[:2]
    sides = (round(height * _ENLARGEMENT), round(width * _ENLARGEMENT))
    return _jpeg(_middle(_resized(pixels, sides, cv2.INTER_CUBIC), height, width), quality)


def _camera_fingerprint(
    pixels: Image, deviation: float, _: object, pattern: NDArray[np.floating[Any]]
) -> Image:
    return _rounded(pixels * (1 + np.float32(deviation) * standardised(pattern)))


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
