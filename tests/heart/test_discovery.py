"""Discovery on arrays where the truth is known: generators, one or several, and none."""

import numpy as np
import pytest

from noisescope_core.whitened.discovery.acceptance import (
    SURE_COHESION,
    Acceptance,
    SharedSet,
    _search_off_grid,
    shared_sets,
)
from noisescope_core.whitened.discovery.candidates import pair_clusters, spectral_directions
from noisescope_core.whitened.discovery.cohesion import cohesion, excess_bound
from noisescope_core.whitened.discovery.confidence import fit_bar
from noisescope_core.whitened.discovery.correlations import Correlations, Roles, arrange
from noisescope_core.whitened.discovery.growth import band_scores, grow, learned_weights
from noisescope_core.whitened.discovery.patterns import discover, patterns_of
from noisescope_core.whitened.planes.bands import layout
from noisescope_core.whitened.planes.products import band_correlations
from noisescope_core.whitened.planes.whitening import whitened_planes

SIDE = 64
REFERENCE = 120


def images(rng, groups, photographs):
    """Channel residuals of noise, some with their group's pattern; labels from 1, 0 for none."""
    labels = np.repeat(np.arange(len(groups) + 1), [photographs, *[n for n, _ in groups]])
    patterns = rng.normal(size=(len(groups) + 1, 3, SIDE, SIDE))
    strength = np.array([0, *[s for _, s in groups]])
    residuals = rng.normal(size=(len(labels), 3, SIDE, SIDE))
    residuals += strength[labels][:, None, None, None] * patterns[labels]
    order = rng.permutation(len(labels))
    return residuals[order].astype(np.float32), labels[order]


def correlations_of(residuals, tested, counted=None) -> Correlations:
    features = np.stack([whitened_planes(channels) for channels in residuals])
    bins = layout(SIDE, SIDE)
    rows = np.arange(tested, len(residuals))
    roles = Roles(tested, rows[::2], rows[1::2], counted)
    return arrange(band_correlations(features, features, bins), roles, bins.shares())


def searched(seed, groups, photographs=100):
    rng = np.random.default_rng(seed)
    tested, labels = images(rng, groups, photographs)
    reference, _ = images(rng, [], REFERENCE)
    return correlations_of(np.concatenate([tested, reference]), len(tested)), labels


def test_a_pattern_that_comes_with_either_sign_is_no_fingerprint():
    # As what a resizing leaves of a picture's edges: strong, shared, as likely as its negative.
    rng = np.random.default_rng(5)
    residuals = rng.normal(size=(120 + REFERENCE, 3, SIDE, SIDE))
    signs = rng.choice([-0.5, 0.5], 120)
    residuals[:120] += signs[:, None, None, None] * rng.normal(size=(3, SIDE, SIDE))
    correlations = correlations_of(residuals.astype(np.float32), 120)
    found = shared_sets(correlations)
    assert max(one.cohesion for one in found) > SURE_COHESION
    assert not any(one.accepted for one in found)
    assert discover(correlations) == []


def test_members_that_chance_picked_together_fall_apart():
    # No signs are drawn, so that the second bar alone stands between this and a fingerprint.
    correlations, _ = searched(11, [])
    members = np.zeros(100, bool)
    members[:40] = True
    by_chance = SharedSet(members, 9.0, [6.5], True, True)
    assert patterns_of(correlations, [by_chance], Acceptance()) == []


@pytest.fixture(scope="module")
def two_generators():
    return searched(0, [(60, 0.3), (15, 0.45)])


def test_generators_are_found_and_told_apart(two_generators):
    correlations, labels = two_generators
    patterns = discover(correlations)
    assert len(patterns) == 2
    for pattern, label in zip(patterns, (1, 2), strict=True):
        assert (labels[pattern.members] == label).mean() > 0.97
        assert len(pattern.members) > 0.95 * (labels == label).sum()
        assert pattern.cohesion > 1
        assert not pattern.off_grid


def test_the_same_input_gives_the_same_patterns(two_generators):
    correlations, _ = two_generators
    first, second = discover(correlations), discover(correlations)
    for a, b in zip(first, second, strict=True):
        assert (a.members == b.members).all()
        assert (a.weights == b.weights).all()
        assert a.bar == b.bar


@pytest.mark.parametrize("seed", range(5))
def test_noise_has_no_pattern(seed):
    correlations, _ = searched(seed, [])
    assert discover(correlations) == []


def test_a_pattern_of_the_reference_is_no_discovery():
    rng = np.random.default_rng(1)
    everything, labels = images(rng, [(110, 0.3)], 110)
    # Tested and reference images carry it alike.
    assert 0.3 < labels[:100].mean() < 0.7
    assert discover(correlations_of(everything, 100)) == []


def test_the_jpeg_grid_is_no_discovery():
    rng = np.random.default_rng(2)
    tested, _ = images(rng, [], 100)
    reference, _ = images(rng, [], REFERENCE)
    tile = rng.normal(size=(3, 16, 16)).astype(np.float32)
    tested += 0.5 * np.tile(tile, (1, SIDE // 16, SIDE // 16))
    assert discover(correlations_of(np.concatenate([tested, reference]), 100)) == []


def on_the_grid(rng, tested, sharing, off_grid):
    """Put one tile into some images, and a pattern off the grid of some strength."""
    tile = np.tile(rng.normal(size=(3, 16, 16)), (1, SIDE // 16, SIDE // 16))
    tested[sharing] += 0.2 * tile + off_grid * rng.normal(size=(3, SIDE, SIDE))


def test_a_pattern_mostly_on_the_grid_is_found_by_what_it_leaves_off_it():
    rng = np.random.default_rng(9)
    tested, _ = images(rng, [], 100)
    reference, _ = images(rng, [], REFERENCE)
    on_the_grid(rng, tested, np.arange(12), 0.12)
    # Others share a grid alone: a history, and no generator.
    on_the_grid(rng, tested, np.arange(40, 60), 0)
    correlations = correlations_of(np.concatenate([tested, reference]), 100)
    alone = _search_off_grid(correlations, np.ones(100, bool), Acceptance())
    assert alone is not None and not alone.accepted
    (pattern,) = discover(correlations)
    assert set(pattern.members) <= set(range(12))
    assert len(pattern.members) >= 11


def test_grey_images_are_searched_by_their_one_plane():
    rng = np.random.default_rng(10)
    tested, labels = images(rng, [(30, 0.5)], 60)
    reference, _ = images(rng, [], REFERENCE)
    grey = np.concatenate([tested, reference])
    grey[:] = grey[:, :1]
    (pattern,) = discover(correlations_of(grey, 90))
    assert set(pattern.members) >= set(np.flatnonzero(labels == 1)[2:])
    assert (labels[pattern.members] == 1).mean() > 0.9
    assert np.isfinite(pattern.weights).all() and not pattern.weights[11:].any()


def test_colour_against_a_grey_reference_is_no_discovery():
    rng = np.random.default_rng(11)
    tested, _ = images(rng, [], 60)
    reference, _ = images(rng, [], REFERENCE)
    reference[:] = reference[:, :1]
    assert discover(correlations_of(np.concatenate([tested, reference]), 60)) == []


def test_duplicates_that_do_not_count_are_no_discovery():
    rng = np.random.default_rng(3)
    tested, _ = images(rng, [], 100)
    reference, _ = images(rng, [], REFERENCE)
    tested[90:] = tested[0] + 0.3 * tested[90:]
    counted = np.arange(100) < 90
    residuals = np.concatenate([tested, reference])
    assert discover(correlations_of(residuals, 100, counted)) == []


def test_drawn_signs_leave_strength_but_no_agreement(two_generators):
    correlations, labels = two_generators
    search = correlations.off_grid
    drawn = search.with_signs(np.random.default_rng(0))
    assert np.allclose(np.abs(drawn.products), np.abs(search.products))
    members = (labels == 1)[:, None]
    assert cohesion(drawn, members, len(labels), 0.01) < 0.2 * cohesion(
        search, members, len(labels), 0.01
    )


def test_chance_is_kept_where_its_assumptions_hold():
    # Independent normal correlations of one band: the best of all pairs is beyond the bound in
    # no more than the stated share of draws.
    rng = np.random.default_rng(4)
    bound = excess_bound(60, 2, 1, 0.05)
    best = [np.square(np.maximum(rng.normal(size=60 * 59 // 2), 0)).max() for _ in range(400)]
    assert np.mean(np.array(best) > bound) < 0.05
    assert excess_bound(60, 2, 1, 1e-6) > bound
    assert excess_bound(1000, 500, 27, 0.01) > excess_bound(1000, 5, 27, 0.01)


def test_growth_completes_a_few_and_drops_what_does_not_belong(two_generators):
    correlations, labels = two_generators
    seed = np.zeros((len(labels), 1), bool)
    seed[np.flatnonzero(labels == 1)[:6], 0] = True
    seed[np.flatnonzero(labels == 0)[:2], 0] = True
    search = correlations.off_grid
    grown = grow(search.products, seed, search.shares)
    assert grown.shape[1] == 1
    assert (labels[grown[:, 0]] == 1).mean() > 0.95
    assert grown[:, 0].sum() > 55


def test_scores_leave_the_image_itself_out():
    products = np.ones((1, 3, 3), np.float32)
    products[0, np.arange(3), np.arange(3)] = 0
    scores = band_scores(products, np.array([[True], [True], [False]]))
    assert scores[0, :, 0] == pytest.approx([1, 1, 2 / np.sqrt(2)])


def test_weights_follow_the_bands_that_members_share():
    rng = np.random.default_rng(5)
    scores = rng.normal(size=(4, 200, 1)).astype(np.float32)
    members = np.zeros((100, 1), bool)
    members[:40] = True
    scores[2, :40] += 5
    weights, _ = learned_weights(scores, members, np.full(4, 0.25))
    assert weights[2] > 5 * weights[[0, 1, 3]].max()


def test_pairs_make_clusters_of_strong_patterns():
    rng = np.random.default_rng(6)
    scale = 1000.0
    matrix = rng.normal(scale=scale**-0.5, size=(50, 50)).astype(np.float32)
    matrix = np.tril(matrix, -1) + np.tril(matrix, -1).T
    assert pair_clusters(matrix, scale) == []
    matrix[:8, :8] += 0.5 * (1 - np.eye(8, dtype=np.float32))
    assert pair_clusters(matrix, scale) == [list(range(8))]


def test_directions_hold_the_images_that_share():
    rng = np.random.default_rng(7)
    matrix = rng.normal(size=(80, 80)).astype(np.float32)
    matrix = matrix + matrix.T
    matrix[:15, :15] += 3
    np.fill_diagonal(matrix, 0)
    best = max(spectral_directions(matrix, 50), key=lambda rows: (rows < 15).sum() - len(rows))
    assert set(range(15)) <= {*best.tolist(), *range(15)}
    assert (best < 15).mean() > 0.8


def test_the_bar_lies_in_the_gap_and_confidence_follows():
    rng = np.random.default_rng(8)
    reference = rng.normal(3, 2, 500)
    scores = np.concatenate([rng.normal(3, 2, 300), rng.normal(83, 8, 100)])
    members = np.arange(400) >= 300
    bar = fit_bar(scores, reference, members)
    assert 4 < bar.threshold < 25
    z = bar.standardised(scores)
    assert ((z > bar.threshold) == members).all()
    assert bar.confidence(z)[members].min() > 0.5 > bar.confidence(z)[~members].max()
    assert (np.diff(bar.confidence(np.linspace(0, 60, 200))) > -1e-9).all()
    # Two kinds that lie close: the promised share of false positives is kept.
    weak = fit_bar(np.concatenate([scores[:300], rng.normal(6, 2, 100)]), reference, members)
    assert weak.threshold >= 2.57
