"""Whose pattern it is: the simulator's generators and sensors, overlays, grids."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import cv2
import numpy as np
import pytest

from noisescope_core.residual import channel_residuals
from noisescope_core.simulate import build_camera, build_generator, generate, scene
from noisescope_core.simulate.camera import _develop, _expose
from noisescope_core.whitened.makers.evidence import (
    LEAST_PEAK,
    MOST_GRID,
    Evidence,
    gather,
    own_energy,
)
from noisescope_core.whitened.makers.overlay import tile_agreement
from noisescope_core.whitened.planes.bands import layout
from noisescope_core.whitened.planes.products import band_correlations
from noisescope_core.whitened.planes.whitening import whitened_planes

SIDE = 256
COUNT = 30


def judged(pictures) -> Evidence:
    def feature(pixels):
        return whitened_planes(channel_residuals(np.ascontiguousarray(pixels)))

    with ThreadPoolExecutor(2) as pool:
        features = np.stack(list(pool.map(feature, pictures)))
    bins = layout(*pictures[0].shape[:2])
    correlations = band_correlations(features, features, bins)
    first, second = np.tril_indices(len(features), -1)
    pairs = correlations[:, first, second].astype(np.float64)
    # Unrelated images correlate in a band by one over the root of its values.
    error = bins.shares() * 3 / np.sqrt(np.maximum(bins.shares() * 3 * bins.values, 1))
    tiles = tile_agreement(features, features.mean(0, dtype=np.float32), len(features), bins)
    error /= np.sqrt(len(first))
    halves = np.stack([features[k::2].mean(0, dtype=np.float32) for k in (0, 1)])
    energy = np.stack([own_energy(features[k::2], bins) for k in (0, 1)])
    return gather(pairs.mean(1), error, tiles.reshape(len(tiles), -1), halves, energy, bins)


def saved_again(pixels, quality):
    encoded = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR)[:, :, ::-1]


@cache
def scenes(seed):
    return [scene(np.random.default_rng((seed, k)), SIDE, SIDE) for k in range(COUNT)]


@pytest.fixture(scope="module")
def generated():
    generator = build_generator(np.random.default_rng(0), SIDE, SIDE)
    return [
        generate(generator, np.random.default_rng((1, k)), shown)
        for k, shown in enumerate(scenes(2))
    ]


@pytest.mark.parametrize("quality", [None, 80])
def test_a_generator_is_one_saved_again_or_not(generated, quality):
    pictures = [saved_again(p, quality) for p in generated] if quality else generated
    assert judged(pictures).maker == "generator"
    assert judged(pictures[:8]).maker == "generator"


@pytest.mark.parametrize("quality", [None, 90])
@pytest.mark.parametrize("body", [1, 2, 3])
def test_the_sensor_of_one_camera_is_a_device(body, quality):
    # The same photosites every time, as the simulator's uploads never show them.
    camera = build_camera(np.random.default_rng((9, 199 + body)), SIDE, SIDE)
    site = camera.prnu[:SIDE, :SIDE]
    rng = np.random.default_rng(4)
    shots = [
        _develop(camera, _expose(camera, rng, cv2.GaussianBlur(shown, (0, 0), 0.7), site))
        for shown in map(np.float32, scenes(5))
    ]
    pictures = [saved_again(shot, quality) for shot in shots] if quality else shots
    evidence = judged(pictures)
    assert evidence.strength > 0.001
    assert evidence.maker == "device"


@pytest.mark.parametrize("count", [8, COUNT])
@pytest.mark.parametrize("kind", ["logo", "frame", "caption", "caption on a bar", "watermark"])
def test_what_is_laid_over_is_an_overlay(kind, count):
    rng = np.random.default_rng(6)
    texture = rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    pictures = []
    for shown in scenes(7)[:count]:
        noise = rng.normal(0, 3, shown.shape)
        pixels = np.clip(255 * shown ** (1 / 2.2) + noise, 0, 255).astype(np.uint8)
        if kind == "logo":
            pixels[200:240, 180:240] = texture[200:240, 180:240]
        elif kind == "frame":
            inside = pixels[10:-10, 10:-10].copy()
            pixels = texture.copy()
            pixels[10:-10, 10:-10] = inside
        elif kind == "watermark":
            mark = np.zeros((SIDE, SIDE), np.float32)
            for place in range(8):
                at = (place % 2 * 120 - 10, 20 + place // 2 * 60)
                cv2.putText(mark, "STOCK", at, 0, 0.8, 40, 2)
            pixels = np.clip(pixels + mark[:, :, None], 0, 255).astype(np.uint8)
        else:
            if kind == "caption on a bar":
                pixels[216:] = 0
            pixels = cv2.putText(
                np.ascontiguousarray(pixels), "Sample News 2020", (10, 240), 0, 0.8,
                (255, 255, 255), 2,
            )  # fmt: skip
        pictures.append(pixels)
    assert judged(pictures).maker == "overlay"


@pytest.mark.parametrize("across", [1, 1.2])
@pytest.mark.parametrize("scale", [0.75, 1.25, 1.5])
def test_a_jpeg_grid_resized_is_processing(scale, across):
    height, width = round(SIDE / scale), round(SIDE / scale / across)
    rng = np.random.default_rng(8)
    pictures = []
    for k in range(COUNT):
        shown = 255 * scene(np.random.default_rng((7, k)), height, width) ** (1 / 2.2)
        noisy = np.clip(shown + rng.normal(0, 3, shown.shape), 0, 255).astype(np.uint8)
        small = saved_again(noisy, 60)
        pictures.append(cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC))
    evidence = judged(pictures)
    assert evidence.grid < MOST_GRID
    assert evidence.maker == "processing"


@pytest.mark.parametrize("scale", [0.75, 1.25, 1.5])
def test_a_generator_resized_is_still_one(generated, scale):
    pictures = [
        cv2.resize(p, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) for p in generated
    ]
    assert judged(pictures).maker == "generator"


@pytest.mark.parametrize("middle", [0.22, 0.25, 0.28])
def test_a_ring_stands_out_wherever_the_edges_of_bands_are(middle):
    rng = np.random.default_rng(10)
    radius = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE))
    spectrum = np.fft.rfft2(rng.normal(size=(SIDE, SIDE))) * (abs(radius - middle) < 0.01)
    pattern = np.fft.irfft2(spectrum)[:, :, None] + 0.03 * rng.normal(size=(SIDE, SIDE, 1))
    pictures = [
        np.clip(128 + 2 * pattern + rng.normal(0, 3, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
        for _ in range(COUNT)
    ]
    assert judged(pictures).peak > 2 * LEAST_PEAK


def test_the_rule():
    def maker(strength=0.005, colour=0.1, peak=1.0, grid=0.4, spread=1.0, **more):
        return Evidence(strength, colour, peak, grid, spread, **more).maker

    assert maker() == "device"
    # A sensor's colours vary together, with its green photosites.
    assert maker(colour=1.0, hue=0.3) == "generator"
    assert maker(colour=1.0, hue=0.8) == "device"
    assert maker(colour=5.0, hue=0.8) == "generator"
    # A ring that no single frequency holds is a small set's, or smooth.
    assert maker(peak=5.0, clear=0.3) == "generator"
    assert maker(peak=5.0, clear=0.02) == "device"
    assert maker(strength=0.04) == "generator"
    assert maker(strength=0.03) == "device"
    # A few photographs have much in common by chance.
    assert maker(colour=5.0, images=7) == "device"
    assert maker(colour=5.0, grid=0.9) == "processing"
    # What leaks from the grid has no clear ring, and is little.
    assert maker(peak=4.0, clear=0.3, grid=0.85) == "generator"
    assert maker(peak=4.0, clear=0.05, grid=0.85) == "processing"
    assert maker(peak=3.0, clear=0.3, grid=0.78) == "processing"
    assert maker(peak=9.0, clear=0.3, grid=0.9) == "processing"
    assert maker(colour=5.0, lattice=0.6) == "processing"
    assert maker(peak=6.0, clear=0.3, lattice=0.4) == "generator"
    assert maker(peak=2.3, clear=0.6, lattice=0.4) == "processing"
    assert maker(colour=5.0, uneven=0.5) == "processing"
    # What a scaler rounds is not in the colours.
    assert maker(peak=9.0, clear=0.8, scaled=0.5) == "processing"
    assert maker(peak=9.0, clear=0.8, scaled=0.2) == "generator"
    assert maker(colour=5.0, scaled=0.5) == "generator"
    assert maker(colour=5.0, spread=0.1) == "overlay"
