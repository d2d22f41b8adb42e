"""Noise residual: parity with the original program and with a plain implementation."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.rivals import noise_residual_pywavelets
from noisescope_core.residual import FILTERS, channel_residuals, noise_residual


@given(st.integers(16, 90), st.integers(16, 90), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=25)
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


@pytest.mark.parametrize("denoiser", FILTERS)
def test_every_denoiser_keeps_shapes_and_leaves_no_mean(denoiser):
    rng = np.random.default_rng(3)
    smooth = cv2.GaussianBlur(rng.uniform(0, 255, (70, 81, 3)), (0, 0), 9)
    image = np.clip(smooth + rng.normal(0, 2, smooth.shape), 0, 255).astype(np.uint8)
    for dtype in (np.float32, np.float64):
        planes = channel_residuals(image, dtype=dtype, denoiser=denoiser)
        assert (planes.shape, planes.dtype) == ((3, 70, 81), dtype)
        assert (abs(planes.mean((1, 2))) < 0.1).all()
        assert planes.std() > 0.1
        grey = noise_residual(image[:, :, 0], dtype=dtype, denoiser=denoiser)
        assert np.array_equal(grey, planes[0])
        assert noise_residual(image, dtype=dtype, denoiser=denoiser).dtype == dtype
    assert abs(noise_residual(np.full((64, 64, 3), 200, np.uint8), denoiser=denoiser)).max() < 1e-3


@pytest.mark.parametrize("denoiser", FILTERS)
def test_every_denoiser_finds_a_common_pattern(denoiser):
    rng = np.random.default_rng(4)
    pattern = rng.normal(0, 1, (64, 64))
    residuals = []
    for _ in range(40):
        smooth = cv2.GaussianBlur(rng.uniform(0, 255, (64, 64)), (0, 0), 9)
        noisy = smooth + rng.normal(0, 3, smooth.shape)
        without, image = (np.clip(x, 0, 255).astype(np.uint8) for x in (noisy, noisy + pattern))
        residuals.append([noise_residual(x, denoiser=denoiser) for x in (without, image)])
    without, found = np.mean(residuals, 0)
    assert np.corrcoef(found.ravel(), pattern.ravel())[0, 1] > 0.5
    assert abs(np.corrcoef(without.ravel(), pattern.ravel())[0, 1]) < 0.1


def test_the_wavelet_filter_is_the_default_and_others_are_others():
    image = np.random.default_rng(5).integers(0, 256, (64, 64, 3), np.uint8)
    wavelet, blur, nlm = (noise_residual(image, 2.0, 4, np.float32, name) for name in FILTERS)
    assert np.array_equal(wavelet, noise_residual(image))
    assert not np.allclose(wavelet, blur, atol=1)
    assert not np.allclose(blur, nlm, atol=1)


def test_an_unknown_denoiser_is_refused():
    with pytest.raises(ValueError, match="denoiser must be one of wavelet, blur, nlm, got 'bm3d'"):
        noise_residual(np.zeros((64, 64), np.uint8), denoiser="bm3d")
