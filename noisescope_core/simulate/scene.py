"""Photograph-like scenes, drawn at random in linear light."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

Image = NDArray[np.float32]


def scene(rng: np.random.Generator, height: int, width: int) -> Image:
    """Draw one scene.

    Parameters
    ----------
    rng : numpy.random.Generator
        Everything in the scene is drawn from it.
    height, width : int
        Size in pixels.

    Returns
    -------
    ndarray of float32, shape (height, width, 3)
        Linear light, RGB, 0 to 1.
    """
    build = _BUILDERS[rng.choice(len(_BUILDERS), p=_SHARES)]
    # Nobody holds a camera quite level; level edges would fall on the same rows of many images.
    roll = float(np.clip(rng.normal(0, 2.5), -6, 6))
    margin = int(0.05 * max(height, width)) + 2
    level = build(rng, height + 2 * margin, width + 2 * margin)
    turn = cv2.getRotationMatrix2D((width / 2 + margin, height / 2 + margin), roll, 1.0)
    turn[:, 2] -= margin
    image = cv2.warpAffine(level, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
    warmth = rng.normal(0.0, 0.12)
    illuminant = np.array([1 + warmth, 1.0, 1 - warmth], np.float32)
    exposure = np.exp(rng.normal(0.0, 0.2))
    return np.asarray(np.clip(image * illuminant * np.float32(exposure), 0, 1), np.float32)


def _texture(rng: np.random.Generator, height: int, width: int, slope: float) -> Image:
    """Gaussian field with amplitude spectrum f**-slope, mean 0, standard deviation 1."""
    fast_h = scipy.fft.next_fast_len(height, real=True)
    fast_w = scipy.fft.next_fast_len(width, real=True)
    fy = scipy.fft.fftfreq(fast_h)[:, None].astype(np.float32)
    fx = scipy.fft.rfftfreq(fast_w)[None].astype(np.float32)
    # An elongated spectrum reads as bark, brushed cloth or strata; a round one as stone or cloud.
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(1.0, 2.5)
    u = (fx * np.cos(angle) + fy * np.sin(angle)) * stretch
    v = fy * np.cos(angle) - fx * np.sin(angle)
    power = u * u + v * v
    power[0, 0] = np.inf
    spectrum = rng.standard_normal((*power.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    field = scipy.fft.irfft2(
        spectrum * power ** np.float32(-slope / 2), s=(fast_h, fast_w), overwrite_x=True
    )[:height, :width]
    field -= field.mean()
    return np.asarray(field / (field.std() + 1e-9), np.float32)


def _smooth_texture(rng: np.random.Generator, height: int, width: int, slope: float) -> Image:
    """Like `_texture` without its finest two octaves, at a fraction of the time."""
    small = _texture(rng, max(height // 4, 8), max(width // 4, 8), slope)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _colour(
    rng: np.random.Generator,
    hue: tuple[float, float] = (0, 360),
    saturation: tuple[float, float] = (0.1, 0.6),
    value: tuple[float, float] = (0.1, 0.8),
) -> Image:
    hsv = np.array(
        [[[rng.uniform(*hue) % 360, rng.uniform(*saturation), rng.uniform(*value)]]], np.float32
    )
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0], np.float32)


def _profile(rng: np.random.Generator, width: int, slope: float) -> Image:
    """One line of fractal heights, standard deviation 1."""
    frequency = np.maximum(np.arange(width // 2 + 1, dtype=np.float32), 1)
    spectrum = rng.standard_normal((width // 2 + 1, 2), dtype=np.float32).view(np.complex64)[:, 0]
    line = scipy.fft.irfft(spectrum * frequency**-slope, n=width)
    # Half a turn of slow drift hides that the line closes on itself.
    line = line - line.mean()
    line = line / (line.std() + 1e-9) + rng.normal(0, 0.8) * np.linspace(-1, 1, width)
    return np.asarray(line, np.float32)


def _blur(image: Image, sigma: float) -> Image:
    if sigma < 0.3:
        return image
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)


def _sky(rng: np.random.Generator, height: int, width: int) -> Image:
    zenith = _colour(rng, (195, 235), (0.25, 0.75), (0.25, 0.75))
    horizon = _colour(rng, (15, 60) if rng.random() < 0.3 else (190, 225), (0.05, 0.4), (0.6, 0.95))
    t = np.linspace(0, 1, height, dtype=np.float32)[:, None, None] ** np.float32(
        rng.uniform(0.6, 1.6)
    )
    sky = np.broadcast_to(zenith * (1 - t) + horizon * t, (height, width, 3)).astype(
        np.float32, "C"
    )
    cover = rng.uniform(-2.5, 1.2)
    if cover > -1.5:
        cloud = np.clip(_smooth_texture(rng, height, width, 1.7) * 0.6 + cover * 0.5, 0, 1)
        white = np.float32(rng.uniform(0.6, 0.95))
        sky += cloud[..., None] * (white - sky)
    return sky


def _landscape(rng: np.random.Generator, height: int, width: int) -> Image:
    image = _sky(rng, height, width)
    haze = image[height // 2].mean(0)
    horizon = rng.uniform(0.3, 0.7) * height
    ridges = int(rng.integers(2, 6))
    near = _colour(rng, (30, 150), (0.25, 0.7), (0.06, 0.35))
    grain = _texture(rng, height, width, rng.uniform(1.0, 1.5))
    light = rng.uniform(0.3, 0.8)
    rows = np.arange(height, dtype=np.float32)[:, None]
    for step in range(ridges):
        t = (step + 1) / ridges
        line = horizon + (height - horizon) * 0.8 * t * (step / ridges)
        rough = _profile(rng, width, rng.uniform(1.0, 1.6))
        top = line + rough * height * rng.uniform(0.02, 0.07) * (1.3 - t)
        cover = np.clip(rows - top[None], 0, 1)[..., None]
        relief = np.roll(grain, (step * 37, step * 91), (0, 1)) * np.float32(light * t * 0.6)
        shade = np.exp(relief - 0.2)[..., None] * (
            1 + 0.5 * np.clip((rows - line) / height, -1, 1)[..., None]
        )
        tint = near * np.exp(rng.normal(0, 0.15, 3)).astype(np.float32)
        ground = haze * (1 - t) * 0.8 + tint * t * shade
        image += cover * (ground - image)
    if rng.random() < 0.35:
        shore = int(rng.uniform(0.75, 0.9) * height)
        mirror = image[shore - 1 :: -1][: height - shore]
        ripple = _texture(rng, mirror.shape[0], width, 0.8)[..., None] * np.float32(0.08)
        image[shore : shore + mirror.shape[0]] = _blur(mirror, 2.0) * (0.7 + ripple)
    return image


def _outline(
    rng: np.random.Generator, centre: tuple[float, float], radius: float
) -> NDArray[np.int32]:
    """Draw a closed outline as points for OpenCV: a box, an ellipse or an irregular blob."""
    kind = rng.integers(3)
    turn = rng.uniform(0, 2 * np.pi)
    if kind == 0:
        half = rng.uniform(0.4, 1.0)
        points = np.array([[-1, -half], [1, -half], [1, half], [-1, half]])
        turn *= 0.1
    else:
        angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        reach = np.ones(48)
        if kind == 2:
            for wave in range(2, 6):
                reach += rng.normal(0, 0.3 / wave) * np.cos(
                    wave * angle + rng.uniform(0, 2 * np.pi)
                )
        points = np.stack([np.cos(angle) * reach, np.sin(angle) * reach * rng.uniform(0.6, 1)], 1)
    cos, sin = np.cos(turn), np.sin(turn)
    placed = points @ np.array([[cos, sin], [-sin, cos]]) * radius + centre
    return np.asarray(np.round(placed), np.int32)


@dataclass(frozen=True)
class _Solid:
    """Where an object stands.

    Attributes
    ----------
    centre : (x, y) in pixels
    radius : in pixels
    blur : standard deviation in pixels by which its outline is out of focus
    """

    centre: tuple[float, float]
    radius: float
    blur: float


def _put_object(
    rng: np.random.Generator, image: Image, solid: _Solid, grain: Image, light: Image
) -> None:
    """Draw one shaded, textured solid and its shadow into `image`, in place.

    Parameters
    ----------
    grain : (H, W) float32, texture of the whole image
    light : (3,) float32, direction that the light comes from: right, down, towards the viewer
    """
    centre, radius, blur = solid.centre, solid.radius, solid.blur
    height, width = image.shape[:2]
    margin = int(radius * 1.8 + 3 * blur + 4)
    x0, x1 = max(int(centre[0]) - margin, 0), min(int(centre[0]) + margin, width)
    y0, y1 = max(int(centre[1]) - margin, 0), min(int(centre[1]) + margin, height)
    if x1 - x0 < 4 or y1 - y0 < 4:
        return
    mask = np.zeros((y1 - y0, x1 - x0), np.float32)
    cv2.fillPoly(mask, [_outline(rng, (centre[0] - x0, centre[1] - y0), radius)], (1.0,))
    part = image[y0:y1, x0:x1]
    fall = np.array([[1, 0, -light[0] * radius * 0.35], [0, 1, radius * 0.25]], np.float32)
    fallen = np.asarray(cv2.warpAffine(mask, fall, (x1 - x0, y1 - y0)), np.float32)
    shadow = _blur(fallen, radius * 0.15 + 1)
    part *= 1 - np.float32(rng.uniform(0.2, 0.6)) * shadow[..., None]
    u = (np.arange(x0, x1, dtype=np.float32) - centre[0])[None] / radius
    v = (np.arange(y0, y1, dtype=np.float32) - centre[1])[:, None] / radius
    depth = np.sqrt(np.clip(1.2 - u * u - v * v, 0.05, None))
    lit = np.clip(u * light[0] + v * light[1] + depth * light[2], 0.12, None)
    base = _colour(rng, saturation=(0.05, 0.85), value=(0.08, 0.8))
    surface = np.exp(grain[y0:y1, x0:x1] * np.float32(rng.choice([0.05, 0.12, 0.35])))
    body = base * (lit * surface)[..., None]
    if rng.random() < 0.4:
        body += np.float32(0.5) * (np.clip(lit, 0, 1.2) ** 24)[..., None] * np.float32(0.1)
    edge = _blur(mask, blur)[..., None]
    part += edge * (body - part)


def _table(rng: np.random.Generator, height: int, width: int) -> Image:
    wall, floor = _colour(rng, value=(0.15, 0.7)), _colour(rng, (10, 60), value=(0.1, 0.6))
    grain = _texture(rng, height, width, rng.uniform(0.8, 1.5))
    rows = np.arange(height, dtype=np.float32)[:, None]
    edge = rng.uniform(0.3, 0.6) * height
    across = np.linspace(rng.uniform(0.6, 1.1), rng.uniform(0.6, 1.1), width, dtype=np.float32)
    on_floor = np.clip(rows - edge, 0, 1)[..., None]
    roughness = np.float32(rng.choice([0.03, 0.08, 0.2]))
    back = wall * (across[None] * (0.6 + 0.4 * rows / height))[..., None]
    front = floor * (across[None] * np.exp(grain * roughness))[..., None]
    image = _blur(np.asarray(back * (1 - on_floor) + front * on_floor, np.float32), 1.0)
    direction = np.array([rng.uniform(-0.7, 0.7), -0.5, 0.7], np.float32)
    for depth in np.sort(rng.random(int(rng.integers(4, 12)))):
        centre = (rng.uniform(0, width), edge + (depth - 0.15) * (height - edge))
        radius = (0.06 + 0.16 * depth * rng.uniform(0.5, 1.4)) * min(height, width)
        blur = 4.0 * abs(depth - 0.7) ** 1.5 * min(height, width) / 400
        _put_object(rng, image, _Solid(centre, radius, blur), grain, direction)
    return image


def _street(rng: np.random.Generator, height: int, width: int) -> Image:
    image = _sky(rng, height, width)
    grain = _texture(rng, height, width, 1.1)
    ground = int(rng.uniform(0.7, 0.9) * height)
    x = -rng.uniform(0, 0.2) * width
    while x < width:
        wide = rng.uniform(0.1, 0.35) * width
        x0, x1 = int(max(x, 0)), int(min(x + wide, width))
        top = int(rng.uniform(0.08, 0.6) * height)
        x += wide * rng.uniform(0.7, 1.1)
        if x1 - x0 < 4:
            continue
        front = _colour(rng, (0, 60), (0.05, 0.5), (0.1, 0.6))
        rough = np.exp(grain[top:ground, x0:x1] * np.float32(rng.uniform(0.03, 0.2)))
        side = np.linspace(rng.uniform(0.6, 1), rng.uniform(0.6, 1), x1 - x0, dtype=np.float32)
        image[top:ground, x0:x1] = front * (rough * side[None])[..., None]
        pitch_x, pitch_y = rng.uniform(0.035, 0.09, 2) * min(height, width)
        glass = _colour(rng, (190, 230), (0.1, 0.5), (0.03, 0.25))
        for wy in np.arange(top + 0.4 * pitch_y, ground - pitch_y, pitch_y):
            for wx in np.arange(x0 + 0.3 * pitch_x, x1 - 0.7 * pitch_x, pitch_x):
                pane = glass * np.float32(np.exp(rng.normal(0, 0.5)))
                corner = (int(wx + 0.5 * pitch_x), int(wy + 0.6 * pitch_y))
                cv2.rectangle(image, (int(wx), int(wy)), corner, pane.tolist(), -1)
    road = _colour(rng, (20, 60), (0.02, 0.15), (0.1, 0.4))
    fade = np.linspace(0.7, 1.1, height - ground, dtype=np.float32)[:, None]
    image[ground:] = road * (np.exp(grain[ground:] * np.float32(0.12)) * fade)[..., None]
    direction = np.array([rng.uniform(-0.7, 0.7), -0.5, 0.7], np.float32)
    for _ in range(int(rng.integers(1, 6))):
        centre = (rng.uniform(0, width), rng.uniform(ground, height))
        radius = rng.uniform(0.04, 0.12) * min(height, width)
        _put_object(rng, image, _Solid(centre, radius, 0.5), grain, direction)
    return image


def _foliage(rng: np.random.Generator, height: int, width: int) -> Image:
    image = np.empty((height, width, 3), np.float32)
    image[:] = _colour(rng, (60, 150), (0.2, 0.6), (0.03, 0.2))
    size = min(height, width)
    leaf_hue = rng.uniform(50, 130)
    bloom_hue, blooms = rng.uniform(0, 360), rng.uniform(0, 0.3)
    layers = 4
    for layer in range(layers):
        count = int(rng.integers(60, 160))
        for _ in range(count):
            bloom = rng.random() < blooms and layer > 1
            hue = bloom_hue if bloom else leaf_hue
            tint = _colour(
                rng, (hue - 15, hue + 15), (0.4, 0.9), (0.08 + 0.08 * layer, 0.25 + 0.15 * layer)
            )
            long = size * rng.uniform(0.02, 0.07) * (1 + 0.3 * layer)
            axes = (int(long) + 1, int(long * (0.8 if bloom else rng.uniform(0.2, 0.5))) + 1)
            centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
            turn = rng.uniform(0, 360)
            cv2.ellipse(image, centre, axes, turn, 0, 360, (0.6 * tint).tolist(), -1)
            # The lit half of the leaf.
            cv2.ellipse(image, centre, axes, turn, 0, 180, tint.tolist(), -1)
        image = _blur(image, (layers - 1 - layer) * size / 250)
    shade = _smooth_texture(rng, height, width, 1.5) * np.float32(0.35)
    fine = _texture(rng, height, width, 0.9) * np.float32(0.12)
    return np.asarray(image * np.exp(shade + fine)[..., None], np.float32)


def _close_up(rng: np.random.Generator, height: int, width: int) -> Image:
    darker, lighter = _colour(rng, value=(0.1, 0.6)), _colour(rng, value=(0.2, 0.9))
    mix = np.clip(_smooth_texture(rng, height, width, 2.4) * 0.3 + 0.5, 0, 1)[..., None]
    image = np.asarray(darker * (1 - mix) + lighter * mix, np.float32)
    size = min(height, width)
    for _ in range(int(rng.integers(0, 14))):
        disc = np.zeros((height, width), np.float32)
        centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        cv2.circle(disc, centre, int(size * rng.uniform(0.03, 0.1)), (1.0,), -1)
        weight = _blur(disc, size / 120)[..., None] * np.float32(rng.uniform(0.1, 0.6))
        image += weight * (_colour(rng, value=(0.4, 1.0)) - image)
    image = _blur(image, size / 100)
    if rng.random() < 0.8:
        grain = _texture(rng, height, width, rng.uniform(0.9, 1.6))
        direction = np.array([rng.uniform(-0.7, 0.7), -0.5, 0.7], np.float32)
        for _ in range(int(rng.integers(1, 4))):
            middle = (rng.uniform(0.2, 0.8) * width, rng.uniform(0.4, 0.9) * height)
            solid = _Solid(middle, size * rng.uniform(0.15, 0.35), 0.6)
            _put_object(rng, image, solid, grain, direction)
    return image


_BUILDERS: tuple[Callable[[np.random.Generator, int, int], Image], ...] = (
    _landscape,
    _table,
    _street,
    _foliage,
    _close_up,
)
"""Kinds of scenes."""

_SHARES = (0.3, 0.25, 0.15, 0.1, 0.2)
"""How often each is drawn; chosen: a mixture as uploads have it, no kind rare."""
