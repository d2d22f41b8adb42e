"""Two patterns in one set, told apart only where that is proved."""

import numpy as np
import pytest

from noisescope_core.whitened.discovery.splitting import split


def correlations(rng, sides, common, own, bands=8):
    """Of images with a common pattern and one of their own side, by band: (b, m, m) float32."""
    images, length = len(sides), 3000
    whole = rng.normal(0, 1, (bands, length))
    parts = rng.normal(0, 1, (2, bands, length))
    strength = rng.uniform(0.7, 1.3, images)
    features = rng.normal(0, 1, (images, bands, length))
    features += strength[:, None, None] * (common * whole + own * parts[sides])
    products = np.einsum("ibv,jbv->bij", features, features) / np.sqrt(length)
    products[:, np.arange(images), np.arange(images)] = 0
    return products.astype(np.float32)


@pytest.mark.parametrize("sizes", [(30, 30), (60, 12)])
def test_siblings_are_told_apart(sizes):
    rng = np.random.default_rng(1)
    sides = rng.permutation(np.repeat([0, 1], sizes))
    found = split(correlations(rng, sides, 0.15, 0.2), np.ones(8))
    assert found is not None
    assert (found == sides).all() or (found != sides).all()


def test_one_pattern_of_unequal_strength_stays_one():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert split(correlations(rng, np.zeros(50, int), 0.25, 0), np.ones(8)) is None


def test_nearly_the_same_pattern_stays_one():
    rng = np.random.default_rng(2)
    sides = np.repeat([0, 1], 30)
    assert split(correlations(rng, sides, 0.3, 0.08), np.ones(8)) is None


def test_one_pattern_that_half_the_images_lost_in_half_the_bands_stays_one():
    rng = np.random.default_rng(5)
    products = correlations(rng, np.zeros(80, int), 0.3, 0, bands=16)
    lost = correlations(rng, np.zeros(80, int), 0, 0, bands=16)
    products[:8, :40] = lost[:8, :40]
    products[:8, :, :40] = lost[:8, :, :40]
    assert split(products, np.ones(16)) is None


def test_a_difference_in_half_the_bands_is_no_proof():
    rng = np.random.default_rng(3)
    sides = np.repeat([0, 1], 30)
    products = correlations(rng, sides, 0.2, 0)
    products[::2] = correlations(rng, sides, 0.2, 0.2)[::2]
    assert split(products, np.ones(8)) is None


def test_few_images_are_not_split():
    rng = np.random.default_rng(4)
    assert split(correlations(rng, np.repeat([0, 1], 5), 0.3, 0.3), np.ones(8)) is None
