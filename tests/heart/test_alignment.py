"""Fingerprints at other alignments: found where they lie, at the stated price."""

import numpy as np
import pytest
from scipy.stats import norm

from noisescope_core.whitened.detection.alignment import (
    FALSE_ALARMS,
    TAIL_MARGIN,
    best_alignment,
    pattern_of,
)
from noisescope_core.whitened.planes.bands import BANDS
from noisescope_core.whitened.planes.whitening import whitened_planes

SIDE = 512
WEIGHTS = np.ones(len(BANDS))


@pytest.fixture(scope="module")
def carried():
    rng = np.random.default_rng(1)
    return rng.normal(0, 1, (3, 128, 160))


@pytest.fixture(scope="module")
def known(carried):
    mean = whitened_planes(carried).astype(np.float32)
    return pattern_of("known", (160, 128), mean, WEIGHTS, SIDE)


def noise(rng, height, width):
    return rng.normal(0, 1, (3, height, width))


@pytest.mark.parametrize(("top", "left"), [(16, 24), (5, 11)])
def test_a_crop_is_found_where_it_lies(carried, known, top, left):
    rng = np.random.default_rng(2)
    crop = 0.35 * carried[:, top : top + 96, left : left + 112] + noise(rng, 96, 112)
    found = best_alignment(whitened_planes(crop).ravel(), (112, 96), [known], SIDE)
    assert found.pce > found.threshold
    assert found.confidence > 0.99
    assert found.shift == (left, top)


def test_a_larger_image_is_found_around_the_fingerprint(carried, known):
    rng = np.random.default_rng(3)
    image = noise(rng, 192, 192)
    image[:, 40:168, 24:184] += 0.5 * carried
    found = best_alignment(whitened_planes(image).ravel(), (192, 192), [known], SIDE)
    assert found.pce > found.threshold
    assert found.shift == (-24, -40)


def test_only_the_centre_of_large_images_is_compared_but_shifts_are_of_whole_images(carried):
    rng = np.random.default_rng(4)
    centre = carried[:, 16:112, 32:128]
    known = pattern_of("known", (160, 128), whitened_planes(centre).astype(np.float32), WEIGHTS, 96)
    crop = 0.6 * carried[:, 8:, 24:] + noise(rng, 120, 136)
    middle = crop[:, 12:108, 20:116]
    found = best_alignment(whitened_planes(middle).ravel(), (136, 120), [known], 96)
    assert found.pce > found.threshold
    assert found.shift == (24, 8)


def test_in_place_is_left_to_the_match_in_place(carried, known):
    rng = np.random.default_rng(5)
    image = 0.5 * carried + noise(rng, 128, 160)
    found = best_alignment(whitened_planes(image).ravel(), (160, 128), [known], SIDE)
    assert found.pce < found.threshold


def test_block_shifts_have_the_lower_bar(carried, known):
    rng = np.random.default_rng(6)
    thresholds = {}
    for start in (8, 11):
        crop = carried[:, start : start + 96, start : start + 96] + noise(rng, 96, 96)
        found = best_alignment(whitened_planes(crop).ravel(), (96, 96), [known], SIDE)
        assert found.shift == (start, start)
        thresholds[start] = found.threshold
    shifts = 128 * 160
    assert thresholds[11] == pytest.approx(TAIL_MARGIN * norm.isf(FALSE_ALARMS / 2 / shifts) ** 2)
    assert thresholds[8] == pytest.approx(
        TAIL_MARGIN * norm.isf(FALSE_ALARMS / 2 / (shifts / 64)) ** 2
    )


def test_unrelated_images_stay_within_the_price(known):
    rng = np.random.default_rng(7)
    other = pattern_of(
        "other", (96, 96), whitened_planes(noise(rng, 96, 96)).astype(np.float32), WEIGHTS, SIDE
    )
    for _ in range(200):
        found = best_alignment(
            whitened_planes(noise(rng, 96, 96)).ravel(), (96, 96), [known, other], SIDE
        )
        assert found.pce < found.threshold
