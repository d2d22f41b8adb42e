"""Mean tiles: equal to a plain implementation, and periodic patterns show in them."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisescope_core.lattice.tiles import (
    MOST,
    PERIOD,
    SHAPE,
    SIDE,
    VALUES,
    lattice_feature,
    stacked,
)
from noisescope_core.residual import channel_residuals, mixed
from noisescope_core.whitened.planes.whitening import flattened

sides = st.integers(16, 90)
seeds = st.integers(0, 2**31)


def plain_tiles(channels: np.ndarray, corner: tuple[int, int]) -> np.ndarray:
    top, left = (-place % PERIOD for place in corner)
    channels = channels[:, top:, left:]
    red, green, blue = np.broadcast_to(channels, (3, *channels.shape[1:]))
    tiles = []
    for plane in (mixed(channels), red - green, blue - green):
        rows, columns = (side // PERIOD for side in plane.shape)
        flat = flattened(np.ascontiguousarray(plane))[: rows * PERIOD, : columns * PERIOD]
        whole = np.clip(flat, -MOST, MOST).reshape(rows, PERIOD, columns, PERIOD)
        tiles.append(whole.mean((0, 2), dtype=float) * np.sqrt(rows * columns))
    return np.stack(tiles)


def plain_feature(pixels: np.ndarray, channels: np.ndarray, corner: tuple[int, int]) -> np.ndarray:
    top, left = (max(0, (side - SIDE) // 2) // PERIOD * PERIOD for side in pixels.shape[:2])
    centre = np.ascontiguousarray(pixels[top : top + SIDE, left : left + SIDE])
    blurred = channel_residuals(centre, denoiser="blur")
    return np.stack([plain_tiles(blurred, (0, 0)), plain_tiles(channels, corner)])


def picture(seed: int, height: int, width: int, colours: int = 3) -> np.ndarray:
    """Smooth content with edges, a saturated corner and noise."""
    rng = np.random.default_rng(seed)
    content = cv2.GaussianBlur(rng.normal(128, 400, (height, width, colours)), (0, 0), 5)
    content = content.reshape(height, width, colours)
    content[height // 3 :, width // 2 :] += 60
    content[: height // 4, : width // 3] = 300
    noise = rng.normal(0, 2, content.shape)
    return np.clip(np.rint(content + noise), 0, 255).astype(np.uint8)


def close(feature: np.ndarray, expected: np.ndarray) -> bool:
    return feature.shape == SHAPE and abs(feature.astype(float) - expected).max() < 1e-2


@settings(max_examples=40)
@given(sides, sides, st.sampled_from([1, 3]), seeds)
def test_equals_the_plain_implementation_at_any_size(height, width, colours, seed):
    pixels = picture(seed, height, width, colours)
    channels = channel_residuals(pixels)
    found = lattice_feature(pixels, channels, (0, 0))
    assert close(found, plain_feature(pixels, channels, (0, 0)))


@settings(max_examples=40)
@given(st.integers(0, 40), st.integers(0, 40), sides, sides, seeds)
def test_equals_the_plain_implementation_wherever_the_part_lies(top, left, height, width, seed):
    # A part that holds a whole tile wherever it begins.
    height, width = height + PERIOD, width + PERIOD
    pixels = picture(seed, top + height, left + width)
    channels = channel_residuals(pixels)[:, top:, left:]
    found = lattice_feature(pixels, channels, (top, left))
    assert close(found, plain_feature(pixels, channels, (top, left)))


@pytest.mark.parametrize(
    "shape", [(1024, 1024, 3), (1100, 1391, 3), (70, 2100, 3), (1057, 40, 3), (1111, 1059, 1)]
)
def test_equals_the_plain_implementation_on_large_images(shape):
    pixels = picture(1, *shape)
    corner = tuple(side // 5 for side in shape[:2])
    channels = channel_residuals(pixels[corner[0] : corner[0] + 640, corner[1] :])
    found = lattice_feature(pixels, channels, corner)
    assert close(found, plain_feature(pixels, channels, corner))


@given(seeds)
@settings(max_examples=10)
def test_one_channel_has_flat_differences(seed):
    pixels = picture(seed, 50, 60, 1)
    channels = channel_residuals(pixels)
    found = lattice_feature(pixels, channels, (0, 0))
    assert found[:, 0].all() and not found[:, 1:].any()
    assert np.array_equal(found, lattice_feature(pixels[:, :, 0], channels, (0, 0)))
    # Three equal channels are the same but for rounding.
    grey = np.repeat(pixels, 3, 2)
    three = lattice_feature(grey, channel_residuals(grey), (0, 0))
    assert not three[:, 1:].any()
    assert np.allclose(three, found, atol=1e-2)


@pytest.mark.parametrize("level", [0, 1, 77, 255])
def test_a_flat_image_has_no_tile(level):
    flat = np.full((70, 50, 3), level, np.uint8)
    assert not lattice_feature(flat, np.zeros((3, 70, 50), np.float32), (0, 0)).any()


def test_views_of_pixels_are_as_good_as_copies():
    whole = picture(2, 90, 80)
    channels = channel_residuals(picture(3, 40, 40))
    for view in (whole[5:, 3:], whole[:, :, ::-1], whole[::2, ::-1], whole.transpose(1, 0, 2)):
        frozen = view.copy()
        frozen.setflags(write=False)
        found = lattice_feature(view, channels, (0, 0))
        assert np.array_equal(found, lattice_feature(frozen, channels, (0, 0)))


@settings(max_examples=10)
@given(st.integers(0, 5), st.integers(0, 5), st.integers(96, 130), st.integers(96, 130), seeds)
def test_a_periodic_pattern_shows_at_any_crop_that_keeps_its_phase(top, left, height, width, seed):
    pattern = np.random.default_rng(seed).normal(0, 1, (PERIOD, PERIOD, 3))
    pixels = picture(seed + 1, 210, 210).astype(float) * 0.5 + 60
    rows, columns = np.indices(pixels.shape[:2]) % PERIOD
    marked = np.rint(pixels + 4 * pattern[rows, columns]).astype(np.uint8)
    top, left = PERIOD * top, PERIOD * left
    crop = marked[top : top + height, left : left + width]
    found = lattice_feature(crop, channel_residuals(crop), (0, 0)).astype(float)
    # What the denoiser leaves of the pattern alone, whose tiles are all alike.
    around = np.pad(pattern, ((1, 1), (1, 1), (0, 0)), mode="wrap")
    left_over = (around - cv2.GaussianBlur(around, (3, 3), 0.8))[1:-1, 1:-1].transpose(2, 0, 1)
    red, green, blue = left_over
    planes = (mixed(left_over), red - green, blue - green)
    for tiles in found:
        for tile, plane in zip(tiles, planes, strict=True):
            assert np.corrcoef(tile.ravel(), plane.ravel())[0, 1] > 0.7


def test_white_noise_has_a_spread_of_one():
    rng = np.random.default_rng(4)
    pixels = np.clip(np.rint(rng.normal(128, 8, (512, 512, 3))), 0, 255).astype(np.uint8)
    noise = rng.normal(0, 3, (3, 512, 512)).astype(np.float32)
    found = lattice_feature(pixels, noise, (0, 0)).astype(float)
    assert found.std((2, 3)) == pytest.approx(0.95, abs=0.15)


def test_shape_and_dtype():
    pixels = picture(5, 64, 48)
    found = lattice_feature(pixels, channel_residuals(pixels), (0, 0))
    assert (found.shape, found.dtype) == (SHAPE, np.float16)
    rows = stacked([found, found.ravel()])
    assert (rows.shape, rows.dtype) == ((2, VALUES), np.float32)
    # A part that holds no whole tile.
    assert not lattice_feature(pixels, np.ones((3, 20, 40), np.float32), (3, 7))[1].any()


def test_other_arrays_are_refused():
    channels = np.zeros((3, 32, 32), np.float32)
    with pytest.raises(ValueError, match="uint8"):
        lattice_feature(np.zeros((32, 32, 3), np.float32), channels, (0, 0))
    with pytest.raises(ValueError, match="channels"):
        lattice_feature(np.zeros((32, 32, 4), np.uint8), channels, (0, 0))
    with pytest.raises(ValueError, match="channels"):
        lattice_feature(np.zeros((32, 32, 3), np.uint8), channels[:2], (0, 0))
