"""PCE: against one Fourier transform a pair, the original program, and its own exact mode."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft

from benchmarks.rivals import pce_fft
from noisescope_core.correlation.pairs import above_threshold, pce, pce_between, pce_matrix
from noisescope_core.correlation.spectra import spectra
from noisescope_core.residual import noise_residual


@given(st.integers(12, 40), st.integers(12, 40), st.floats(0, 1), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_pce_equals_a_fourier_transform_per_pair(height, width, shared_part, seed):
    rng = np.random.default_rng(seed)
    a, b, common = rng.normal(size=(3, height, width)) + 0.3
    expected = pce_fft(a + shared_part * common, b + shared_part * common)
    assert pce(a + shared_part * common, b + shared_part * common) == pytest.approx(
        expected, rel=1e-9, abs=1e-12
    )


def test_matrix_fills_the_strictly_lower_triangle():
    stack = np.random.default_rng(0).normal(size=(5, 32, 48))
    matrix = pce_matrix(stack)
    assert np.array_equal(matrix, np.tril(matrix, -1))
    for i in range(5):
        for j in range(i):
            assert matrix[i, j] == pytest.approx(pce_fft(stack[i], stack[j]), rel=1e-9)


def test_parity_with_the_original_program(shared):
    truth = np.load(shared / "oracle/pce.npz")
    residuals = np.load(shared / "oracle/residuals.npz")
    matrix = pce_matrix([residuals[name] for name in truth["names"]])
    below = np.tril_indices(len(matrix), -1)
    assert np.allclose(matrix[below], truth["pce"][below], rtol=1e-6, atol=0)


@given(st.floats(0.1, 10), st.floats(-50, 50), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_pce_ignores_scale_offset_and_order(scale, offset, seed):
    a, b = np.random.default_rng(seed).normal(size=(2, 24, 24))
    assert pce(scale * a + offset, b) == pytest.approx(pce(b, a), rel=1e-6, abs=1e-9)
    assert pce(-a, b) == pytest.approx(-pce(a, b), rel=1e-6, abs=1e-9)


def test_flat_residual_has_no_correlation():
    noise = np.random.default_rng(0).normal(size=(16, 16))
    assert pce(noise, np.zeros((16, 16))) == 0
    assert not above_threshold(spectra([noise, np.zeros((16, 16))]), None, 0.0).pce.size


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("smooth", [0.0, 1.5])
def test_fast_pairs_are_the_exact_pairs(strength, smooth):
    rng = np.random.default_rng(3)
    stack = rng.normal(size=(40, 64, 64))
    stack[:20] += strength * rng.normal(size=(64, 64))
    if smooth:
        stack = np.array([cv2.GaussianBlur(r, (0, 0), smooth) for r in stack])
    ready = spectra(stack.astype(np.float32))
    truth = pce_matrix(stack)
    for threshold in (2.0, 8.0, 30.0):
        fast = above_threshold(ready, None, threshold)
        exact = above_threshold(ready, None, threshold, exact=True)
        assert exact.refined == exact.compared == 40 * 39 // 2
        assert fast.refined <= exact.refined
        assert np.array_equal(fast.first, exact.first)
        assert np.array_equal(fast.second, exact.second)
        assert np.allclose(fast.pce, truth[fast.first, fast.second], rtol=1e-4)
        assert len(fast.pce) == (truth > threshold).sum()


@pytest.mark.parametrize("beside", [0, 1])
def test_fast_pairs_are_the_exact_pairs_with_lines_in_the_spectrum(beside):
    # Lines of the one half at frequencies where, or beside which, the other half has its own.
    rng = np.random.default_rng(4)
    y, x = np.indices((64, 96))
    stack = rng.normal(size=(40, 64, 96)) + 0.25 * rng.normal(size=(64, 96))
    for k in range(40):
        for step in rng.integers(1, 12, 6) * 4 + beside * (k % 2):
            stack[k] += np.cos(2 * np.pi * (step * x / 96 + rng.integers(32) * y / 64))
    ready = spectra(stack.astype(np.float32))
    for threshold in (0.5, 4.0, 13.0):
        fast = above_threshold(ready, None, threshold)
        exact = above_threshold(ready, None, threshold, exact=True)
        assert fast.refined < exact.refined
        assert np.array_equal(fast.first, exact.first)
        assert np.array_equal(fast.second, exact.second)
        assert np.array_equal(fast.pce, exact.pce)


def test_residuals_change_only_where_that_is_allowed():
    stack = np.random.default_rng(6).normal(1, 1, (5, 24, 24)).astype(np.float32)
    kept = stack.copy()
    ready = spectra(stack)
    assert np.array_equal(stack, kept)
    again = spectra(stack, overwrite=True)
    assert np.array_equal(ready.pixels, again.pixels) and np.array_equal(ready.power, again.power)
    assert np.shares_memory(again.pixels, stack)


def test_fast_pairs_are_the_exact_pairs_on_real_images(shared):
    files = [
        *sorted((shared / "data/cyclegan/fake").iterdir())[:60],
        *sorted((shared / "data/cyclegan/real").iterdir())[:60],
    ]
    ready = spectra([noise_residual(cv2.imread(str(f))[:, :, ::-1]) for f in files])
    fast = above_threshold(ready, None, 10.0)
    exact = above_threshold(ready, None, 10.0, exact=True)
    assert np.array_equal(fast.first, exact.first)
    assert np.allclose(fast.pce, exact.pce, rtol=1e-6)
    assert fast.refined < exact.refined / 2


def test_threads_change_nothing():
    stack = np.random.default_rng(5).normal(size=(30, 48, 40))
    with fft.set_workers(3):
        threaded = pce_matrix(stack)
    assert np.allclose(threaded, pce_matrix(stack), rtol=1e-9)


def test_between_two_stacks():
    a = np.random.default_rng(0).normal(size=(3, 20, 30))
    b = np.random.default_rng(1).normal(size=(2, 20, 30))
    matrix = pce_between(spectra(a, np.float64), spectra(b, np.float64))
    expected = [[pce_fft(x, y) for y in b] for x in a]
    assert np.allclose(matrix, expected, rtol=1e-9)


def test_what_cannot_be_correlated_is_refused():
    with pytest.raises(ValueError, match="one size"):
        pce(np.zeros((16, 16)), np.zeros((16, 17)))
    with pytest.raises(ValueError, match="larger than 11"):
        spectra(np.zeros((2, 11, 64)))
    with pytest.raises(ValueError, match="stack"):
        spectra(np.zeros((16, 16)))
    with pytest.raises(ValueError, match="threshold"):
        above_threshold(spectra(np.zeros((2, 16, 16))), None, -1.0)
