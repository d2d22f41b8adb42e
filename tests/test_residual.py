"""Noise residual: parity with the original program and with a plain implementation."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.rivals import noise_residual_pywavelets
from noisescope_core.residual import channel_residuals, noise_residual


@given(st.integers(16, 90), st.integers(16, 90), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_equals_the_plain_implementation_at_any_size(height, width, colour, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3) if colour else (height, width), np.uint8)
    expected = noise_residual_pywavelets(image)
    scale = expected.std()
    assert abs(noise_residual(image, dtype=np.float64) - expected).max() < 1e-9 * scale
    single = noise_residual(image)
    assert single.dtype == np.float32
    assert abs(single - expected).max() < 1e-3 * scale


def test_other_sigma_and_levels_equal_the_plain_implementation():
    image = np.random.default_rng(0).integers(0, 256, (70, 81, 3), np.uint8)
    expected = noise_residual_pywavelets(image, sigma=3.5, levels=3)
    assert np.allclose(noise_residual(image, 3.5, 3, np.float64), expected, atol=1e-9)


def test_parity_with_the_original_program(shared):
    truth = np.load(shared / "oracle" / "residuals.npz")
    assert len(truth.files) == 17
    for name in truth.files:
        pixels = cv2.imread(str(shared / "oracle/images" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        image = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[:, :, ::-1])
        scale = truth[name].std()
        assert abs(noise_residual(image, dtype=np.float64) - truth[name]).max() < 1e-5 * scale
        assert abs(noise_residual(image) - truth[name]).max() < 1e-3 * scale


def test_non_contiguous_and_read_only_images_are_taken():
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    flipped = image[:, :, ::-1]
    assert np.array_equal(noise_residual(flipped), noise_residual(flipped.copy()))
    image.setflags(write=False)
    assert noise_residual(image).shape == (64, 64)


def test_grey_is_the_weighted_sum_of_the_channels():
    image = np.random.default_rng(2).integers(0, 256, (64, 80, 3), np.uint8)
    planes = channel_residuals(image, dtype=np.float64)
    mixed = np.tensordot([0.29893602, 0.58704307, 0.11402090], planes, 1)
    assert np.allclose(noise_residual(image, dtype=np.float64), mixed, atol=1e-12)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 64), np.float32),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((0, 64), np.uint8),
        np.zeros(64, np.uint8),
    ],
)
def test_what_is_not_an_image_is_refused(image):
    with pytest.raises(ValueError, match="image must"):
        noise_residual(image)


def test_parameters_out_of_range_are_refused():
    with pytest.raises(ValueError, match="sigma"):
        noise_residual(np.zeros((64, 64), np.uint8), sigma=0)
