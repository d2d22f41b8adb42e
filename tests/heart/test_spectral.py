"""Leading directions of a pile: what stands out is found, and nothing depends on how it is cut."""

import numpy as np

from noisescope_core.whitened.piles import directions as spectral
from noisescope_core.whitened.planes.bands import layout
from noisescope_core.whitened.planes.whitening import STORED_STEPS

BINS = layout(64, 64)
VALUES = 3 * BINS.values
IMAGES, REFERENCE = 1500, 300


def stored(features):
    return np.rint(np.clip(features * STORED_STEPS, -127, 127)).astype(np.int8)


def groups_of(features):
    block = spectral.first_block(BINS, 0)
    for _ in range(spectral.POWER_ROUNDS):
        block = spectral.next_block(spectral.contribution(features, block), block, BINS)
    along = spectral.entries(features, block)
    return spectral.gathered(along[:IMAGES], along[IMAGES:])


def noise(rng):
    return rng.standard_normal((IMAGES + REFERENCE, VALUES), np.float32)


def test_a_pattern_too_weak_for_pairs_is_gathered():
    rng = np.random.default_rng(0)
    features = noise(rng)
    # Two such images have a PCE of 4, which one pair of unrelated ones in twenty has too.
    strength = np.sqrt(2 / np.sqrt(VALUES))
    features[:90] += strength * rng.standard_normal(VALUES, np.float32)
    largest = groups_of(stored(features))[0]
    assert (largest < 90).sum() >= 80
    assert (largest >= 90).sum() <= 10


def test_copies_of_a_picture_do_not_hide_a_generator():
    rng = np.random.default_rng(1)
    features = noise(rng)
    features[:90] += np.sqrt(3 / np.sqrt(VALUES)) * rng.standard_normal(VALUES, np.float32)
    for burst in range(8):
        rows = slice(200 + 12 * burst, 212 + 12 * burst)
        features[rows] += rng.standard_normal(VALUES, np.float32)
    assert any((group < 90).sum() >= 80 for group in groups_of(stored(features)))


def test_what_the_reference_shares_is_not_gathered():
    rng = np.random.default_rng(2)
    features = noise(rng)
    common = rng.random(len(features)) < 0.3
    features[common] += np.sqrt(3 / np.sqrt(VALUES)) * rng.standard_normal(VALUES, np.float32)
    assert sum(map(len, groups_of(stored(features)))) < 0.05 * IMAGES


def test_sums_do_not_depend_on_how_the_pile_is_cut():
    rng = np.random.default_rng(3)
    features = rng.integers(-127, 128, (600, VALUES)).astype(np.int8)
    block = spectral.first_block(BINS, 0)
    whole = spectral.contribution(features, block)
    for cuts in ([7, 100, 130], [300], [1, 2, 3, 599]):
        order = rng.permutation(600)
        parts = np.split(features[order], cuts)
        assert np.array_equal(sum(spectral.contribution(part, block) for part in parts), whole)


def test_directions_are_orthonormal_in_every_view():
    block = spectral.first_block(BINS, 5)
    for mask, part in zip(
        spectral.views(BINS), np.split(block, len(spectral.views(BINS))), strict=True
    ):
        assert not part[:, ~mask].any()
        assert np.allclose(part @ part.T, np.eye(spectral.DIRECTIONS_PER_VIEW), atol=1e-4)
