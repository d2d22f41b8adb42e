"""Beneath an overlay: what it covers is found, and what it hides."""

import numpy as np
import pytest

from noisescope_core.whitened.discovery.correlations import Roles, arrange
from noisescope_core.whitened.discovery.patterns import discover
from noisescope_core.whitened.makers.overlay import (
    MOST_COVERED,
    covered_tiles,
    tile_agreement,
    uncovered,
)
from noisescope_core.whitened.planes.bands import PLANES, layout
from noisescope_core.whitened.planes.products import band_correlations
from noisescope_core.whitened.planes.whitening import spatial, whitened_planes

SIDE = 128
BINS = layout(SIDE, SIDE)


def features(count, seed, pattern=None, logo=None):
    rng = np.random.default_rng(seed)
    planes = []
    for _ in range(count):
        channels = rng.normal(0, 1, (3, SIDE, SIDE)).astype(np.float32)
        if pattern is not None:
            channels += pattern
        if logo is not None:
            channels[:, 100:116, 90:120] = logo + 0.3 * channels[:, 100:116, 90:120]
        planes.append(whitened_planes(channels))
    return np.stack(planes)


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(0)
    pattern = rng.normal(0, 0.25, (3, SIDE, SIDE)).astype(np.float32)
    return pattern, rng.normal(0, 2, (3, 16, 30)).astype(np.float32)


def covered_by(members):
    tiles = tile_agreement(members, members.mean(0, dtype=np.float32), len(members), BINS)
    return covered_tiles(tiles)


def found(planes, tested):
    correlations = band_correlations(planes, planes, BINS)
    searching, held_out = np.array_split(np.arange(tested, len(planes)), 2)
    prepared = arrange(correlations, Roles(tested, searching, held_out), BINS.shares())
    return [set(pattern.members.tolist()) for pattern in discover(prepared)]


def test_the_tiles_of_a_logo_and_those_around_are_covered(drawn):
    covered = covered_by(features(20, 1, logo=drawn[1]))
    assert covered[6:8, 5:8].all()
    assert covered.mean() < 0.4
    assert not covered_by(features(20, 2, pattern=drawn[0])).mean() > MOST_COVERED


def test_what_lies_open_stays_and_the_jpeg_grid_keeps_its_phase():
    covered = np.zeros((8, 8), bool)
    covered[5:, 4:] = True
    grid = np.tile(np.random.default_rng(3).normal(0, 1, (3, 16, 16)), (1, 8, 8))
    rng = np.random.default_rng(4)
    feature = whitened_planes((grid + rng.normal(0, 0.5, (3, SIDE, SIDE))).astype(np.float32))
    changed = uncovered(feature, covered, BINS)
    pixels = np.kron(covered, np.ones((16, 16), bool))
    for plane in range(len(PLANES)):
        before, after = (spatial(f[plane], BINS) for f in (feature, changed))
        inside, outside = (np.corrcoef(before[m], after[m])[0, 1] for m in (pixels, ~pixels))
        assert outside > 0.999
        assert abs(inside) < 0.9
        assert np.square(changed[plane].astype(float)).sum() == pytest.approx(BINS.values, rel=0.01)
    grids = [
        band_correlations(f[None], f[None], BINS)[[9, 20, 31]].sum() for f in (feature, changed)
    ]
    assert grids[1] == pytest.approx(grids[0], rel=0.1)


@pytest.mark.parametrize("border", [True, False])
def test_every_covered_tile_gets_an_open_one(border):
    covered = np.zeros((8, 8), bool)
    covered[:, :4] = True
    if border:
        covered[:] = False
        covered[[0, -1]], covered[:, [0, -1]] = True, True
    rng = np.random.default_rng(5)
    one = whitened_planes(rng.normal(0, 1, (3, SIDE, SIDE)).astype(np.float32))
    marked = one.copy()
    # What the covered tiles held is gone altogether.
    for plane in range(len(PLANES)):
        picture = spatial(one[plane], BINS)
        picture[np.kron(covered, np.ones((16, 16), bool))] = 1
        spectrum = np.fft.rfft2(picture, norm="ortho").ravel()[BINS.order] * BINS.weights
        marked[plane, 0::2], marked[plane, 1::2] = spectrum.real, spectrum.imag
    assert np.allclose(uncovered(one, covered, BINS), uncovered(marked, covered, BINS), atol=0.05)


def test_a_generator_hidden_by_a_logo_is_found_beneath_it(drawn):
    pattern, logo = drawn
    planes = np.concatenate(
        [features(15, 6, pattern, logo), features(15, 7, logo=logo), features(150, 8)]
    )
    (overlay,) = found(planes, 80)
    # The bar lets one in two hundred through.
    assert overlay >= set(range(30))
    assert len(overlay) <= 32
    covered = covered_by(planes[:30])
    beneath = np.stack([uncovered(feature, covered, BINS) for feature in planes])
    (generator,) = found(beneath, 80)
    assert generator >= set(range(15))
    assert len(generator) <= 16
