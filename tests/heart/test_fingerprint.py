"""Fingerprints, their calibration, their texture, and the images tested against them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.rivals import pce_fft
from noisescope_core.correlation.spectra import spectra
from noisescope_core.fingerprint import fingerprint_id, reference_blocks, sample_members
from noisescope_core.paper.calibration import fingerprint_blocks, merge_threshold
from noisescope_core.paper.classifier import fit_texture, texture_margins
from noisescope_core.paper.detector import detection_threshold, score_images
from noisescope_core.texture import haralick_features


@given(st.integers(2, 200), st.integers(1, 50), st.integers(1, 7), st.integers(0, 99))
def test_reference_blocks_are_shuffles_cut_in_blocks(images, size, shuffles, seed):
    blocks = reference_blocks(images, size, shuffles, seed)
    whole = images // size
    assert blocks.shape == (shuffles * whole, size)
    for k in range(shuffles):
        drawn = blocks[k * whole : (k + 1) * whole].ravel()
        assert len(set(drawn.tolist())) == whole * size
        assert all(0 <= i < images for i in drawn)
    assert np.array_equal(blocks, reference_blocks(images, size, shuffles, seed))


def test_another_seed_and_another_shuffle_cut_other_blocks():
    blocks = reference_blocks(400)
    assert blocks.shape == (40, 50)
    assert not np.array_equal(blocks, reference_blocks(400, seed=1))
    assert not np.array_equal(blocks[:8], blocks[8:16])


def test_calibration_blocks_do_not_overlap():
    assert fingerprint_blocks(800).shape == (40, 20)
    blocks = fingerprint_blocks(410)
    assert blocks.shape == (20, 20)
    assert len(set(blocks.ravel().tolist())) == 400
    assert fingerprint_blocks(100, 3, 7).shape == (3, 7)
    with pytest.raises(ValueError, match="at least 40 reference images, got 39"):
        fingerprint_blocks(39)


def test_merge_threshold_is_a_percentile_of_the_pces():
    stack = np.random.default_rng(0).normal(size=(9, 24, 32))
    values = [pce_fft(stack[i], stack[j]) for i in range(9) for j in range(i)]
    for percentile in (50, 99.5):
        expected = np.percentile(values, percentile)
        assert merge_threshold(stack, percentile) == pytest.approx(expected)


@given(st.lists(st.text(min_size=1), unique=True), st.integers(0, 9), st.randoms())
def test_sampled_members_do_not_depend_on_their_order(members, size, random):
    shuffled = random.sample(members, len(members))
    sampled = sample_members(members, size, 1)
    assert sampled == sample_members(shuffled, size, 1)
    assert len(sampled) == min(size, len(members))
    assert set(sampled) <= set(members)
    assert fingerprint_id(members) == fingerprint_id(shuffled)


def test_another_seed_samples_others():
    members = [str(k) for k in range(200)]
    assert sample_members(members, 50, 0) != sample_members(members, 50, 1)
    assert fingerprint_id(members) != fingerprint_id(members[1:])


def test_haralick_parity_with_the_original_program(shared):
    truth = np.load(shared / "oracle/haralick.npz")
    residuals = np.load(shared / "oracle/residuals.npz")
    for name, expected in zip(truth["names"], truth["features"], strict=True):
        assert np.allclose(haralick_features(residuals[name]), expected, rtol=1e-9, atol=0)


def test_texture_is_of_the_levels_0_to_1():
    fingerprint = np.random.default_rng(2).normal(0.3, 0.6, (48, 40))
    clipped = np.clip(fingerprint, 0, 1)
    assert (clipped == 0).any() and (clipped == 1).any()
    assert haralick_features(fingerprint).shape == (13,)
    assert np.array_equal(haralick_features(fingerprint), haralick_features(clipped))
    assert not np.allclose(haralick_features(fingerprint), haralick_features(clipped / 2))


def test_an_odd_texture_is_an_outlier():
    rng = np.random.default_rng(0)
    usual = [haralick_features(rng.normal(0.1, 0.05, (64, 64))) for _ in range(40)]
    model = fit_texture(usual)
    stripes = np.tile([0.1, 0.4], (64, 32)) + rng.normal(0, 0.05, (64, 64))
    margins = texture_margins(
        model, [haralick_features(rng.normal(0.1, 0.05, (64, 64))), haralick_features(stripes)]
    )
    assert margins[0] > 0 > margins[1]
    with pytest.raises(ValueError, match="30 reference fingerprints are too few"):
        fit_texture(usual[:30])


def test_an_image_scores_its_largest_pce():
    rng = np.random.default_rng(1)
    images, fingerprints = rng.normal(size=(6, 24, 24)), rng.normal(size=(3, 24, 24))
    scores, best = score_images(images, spectra(fingerprints, np.float64))
    table = np.array([[pce_fft(a, f) for f in fingerprints] for a in images])
    assert np.allclose(scores, table.max(axis=1))
    assert np.array_equal(best, table.argmax(axis=1))
    assert detection_threshold(scores, 50) == np.median(scores)
