"""Lattices: sets of images that share a tile, whose it is, and images held against it."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisescope_core.config import Config, configured
from noisescope_core.lattice.background import background_of, views_of
from noisescope_core.lattice.copies import without_copies
from noisescope_core.lattice.cropped import shifted_tile, spectra_of_unit
from noisescope_core.lattice.detector import (
    fingerprint_of,
    lattice_test,
    packed_background,
    unpacked_background,
)
from noisescope_core.lattice.directions import leading_directions, moment_of, standing_out
from noisescope_core.lattice.discovery import LEAST_ELSEWHERE
from noisescope_core.lattice.evidence import EIGHTHS, TileEvidence, evidence_of
from noisescope_core.lattice.find import find
from noisescope_core.lattice.growth import grown, seeds
from noisescope_core.lattice.method import extract
from noisescope_core.lattice.rescaled import likely_factors, rescaled_features
from noisescope_core.lattice.splitting import parts_of
from noisescope_core.lattice.tiles import VALUES, stacked
from noisescope_core.method import LatticeFeature, LatticePile
from noisescope_core.methods import method_of

CONFIG = Config()
LOUD = 0.55
"""Strength of a maker's tile in these tests: cosines of about 0.2."""


def tiles_of(rng, count, *patterns):
    """Tiles of photographs, which share a grid unequally, and of a maker's images beside it."""
    grid = np.random.default_rng(99).normal(size=VALUES)
    values = rng.normal(size=(count, VALUES)) + rng.normal(size=(count, 1)) * grid
    return values + LOUD * np.sum(patterns, axis=0) if patterns else values


def images_of(rng, name, values):
    return [
        LatticeFeature(
            f"{name}{k:03}", tile.astype(np.float16), rng.integers(0, 255, 1024, dtype=np.uint8)
        )
        for k, tile in enumerate(values)
    ]


def dense(seed):
    """Tile of a decoder: dense, new every 8 pixels, in both residuals and all planes."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.fft2(rng.normal(size=(2, 3, 16, 16))) * EIGHTHS
    spectrum[..., ::4, ::4] *= 0.5  # what repeats every 4 pixels already
    pattern = np.fft.ifft2(spectrum).real
    pattern *= 16 / np.linalg.norm(pattern, axis=(2, 3), keepdims=True)
    return pattern.ravel()


@pytest.fixture(scope="module")
def pile():
    """Two makers' images among photographs, and a reference."""
    rng = np.random.default_rng(3)
    tested = images_of(rng, "a", tiles_of(rng, 26, dense(1)))
    tested += images_of(rng, "b", tiles_of(rng, 24, dense(2)))
    tested += images_of(rng, "photo", tiles_of(rng, 150))
    return LatticePile(tested, images_of(rng, "reference", tiles_of(rng, 240)))


def test_finds_both_makers_and_no_photograph(pile):
    rows = find(pile, [], CONFIG)
    makers = sorted({"".join(filter(str.isalpha, name)) for name in row.members} for row in rows)
    assert sorted(map(sorted, makers)) == [["a"], ["b"]]
    assert sum(row.images for row in rows) >= 44
    assert all(row.kind == "lattice" and row.maker == "generator" and row.flagged for row in rows)


def test_neither_order_nor_copies_change_what_is_found(pile):
    again = LatticePile(
        [*pile.tested[::-1], *pile.tested[:5]], [*pile.reference[::-1], pile.reference[3]]
    )
    assert find(again, [], CONFIG) == find(pile, [], CONFIG)


def test_an_image_that_is_also_tested_is_no_reference(pile):
    both = LatticePile(pile.tested, [*pile.reference, *pile.tested[:26]])
    assert {row.fingerprint_id for row in find(both, [], CONFIG)} == {
        row.fingerprint_id for row in find(pile, [], CONFIG)
    }


def test_near_copies_of_tested_images_are_no_reference(pile):
    rng = np.random.default_rng(5)
    saved_again = [
        LatticeFeature(
            f"copy{k:02}",
            (image.tile + rng.normal(size=VALUES)).astype(np.float16),
            np.clip(image.sketch + rng.normal(0, 3, 1024), 0, 255).astype(np.uint8),
        )
        for k, image in enumerate(pile.tested[:26])
    ]
    notes = []
    among = LatticePile(pile.tested, [*pile.reference, *saved_again])
    assert find(among, [], CONFIG, notes.append) == find(pile, [], CONFIG)
    assert notes[0] == "lattices: copies of tested images left out of the reference: 26"
    # Neither the same picture with other noise nor the same noise in another picture is one.
    others = [
        replace(image, image_id=f"other{k}", sketch=rng.integers(0, 255, 1024, dtype=np.uint8))
        for k, image in enumerate(pile.tested[:5])
    ]
    others += [
        replace(other, image_id=f"scene{k}", sketch=image.sketch)
        for k, (other, image) in enumerate(zip(pile.reference, pile.tested, strict=False))
    ]
    assert without_copies(others, pile.tested) == others


def test_no_more_reference_images_serve_than_are_asked_for(pile):
    config = configured({"lattice.reference": 100})
    first = LatticePile(pile.tested, pile.reference[:100])
    assert find(pile, [], config) == find(first, [], CONFIG)


def test_too_few_reference_images_find_nothing(pile):
    few = LatticePile(pile.tested, pile.reference[:59])
    assert find(few, [], CONFIG) == []


@given(st.integers(0, 10_000))
@settings(max_examples=6, deadline=None)
def test_photographs_alone_share_nothing(seed):
    rng = np.random.default_rng(seed)
    pile = LatticePile(
        images_of(rng, "photo", tiles_of(rng, 120)), images_of(rng, "reference", tiles_of(rng, 120))
    )
    assert find(pile, [], CONFIG) == []


def test_copies_of_one_picture_are_no_set():
    rng = np.random.default_rng(8)
    tested = images_of(rng, "photo", tiles_of(rng, 100))
    picture, noise = tested[0].sketch, 3 * rng.normal(size=VALUES)
    tested += [
        LatticeFeature(f"copy{k}", (noise + rng.normal(size=VALUES)).astype(np.float16), picture)
        for k in range(12)
    ]
    reference = images_of(rng, "reference", tiles_of(rng, 200))
    assert find(LatticePile(tested, reference), [], CONFIG) == []


def test_a_lattice_of_images_that_share_a_pattern_in_place_is_told_once(pile):
    rows = find(pile, [], CONFIG)
    # The same tile in every 4 pixels, too, is nobody's.
    rng = np.random.default_rng(4)
    pattern = np.tile(dense(5).reshape(2, 3, 16, 16)[:, :, :4, :4], (1, 1, 4, 4)).ravel()
    pattern *= 32 / np.linalg.norm(pattern)
    tested = images_of(rng, "a", tiles_of(rng, 30, pattern))
    tested += images_of(rng, "photo", tiles_of(rng, 120))
    undetermined = LatticePile(tested, pile.reference)
    (row,) = find(undetermined, [], CONFIG)
    assert not row.flagged and row.maker in ("undetermined", "device")
    assert find(undetermined, [row], CONFIG) == []
    assert find(pile, rows, CONFIG) == rows  # what flags is told in any case


def test_undetermined_lattices_flag_if_one_asks_for_it(pile):
    rng = np.random.default_rng(4)
    tile = np.random.default_rng(6).normal(size=(2, 3, 16, 16))
    tested = images_of(rng, "a", tiles_of(rng, 30, tile.ravel()))
    tested += images_of(rng, "photo", tiles_of(rng, 120))
    some = LatticePile(tested, pile.reference)
    asked = CONFIG.model_copy(
        update={"lattice": CONFIG.lattice.model_copy(update={"undetermined": "flag"})}
    )
    (row,), (flagged,) = find(some, [], CONFIG), find(some, [], asked)
    assert row.maker == "undetermined" and not row.flagged
    assert flagged.flagged and flagged.fingerprint_id == row.fingerprint_id


def test_a_member_is_scored_without_itself(pile):
    row = max(find(pile, [], CONFIG), key=lambda row: row.images)
    test = lattice_test([row], CONFIG)
    member = next(image for image in pile.tested if image.image_id in row.members)
    size = (100, 80)
    own = test(member.image_id, size, member.tile.tobytes())
    stranger = test("stranger", size, member.tile.tobytes())
    assert stranger.score > own.score
    ids = [image.image_id for image in pile.reference[:100]]
    photographs = [
        test(name, size, image.tile.tobytes())
        for name, image in zip(ids, pile.reference, strict=False)
    ]
    assert own.is_fake and own.confidence > 0.9
    assert not any(score.is_fake for score in photographs)


def test_a_background_survives_storage(pile):
    tiles = stacked([image.tile for image in pile.reference])
    background = background_of(tiles)
    again = unpacked_background(packed_background(background))
    assert np.allclose(again.units(tiles[:5]), background.units(tiles[:5]), atol=2e-3)


def test_reference_images_are_not_held_before_themselves():
    rng = np.random.default_rng(12)
    tested, reference = tiles_of(rng, 240), tiles_of(rng, 480)
    views = views_of(tested.astype(np.float32), reference.astype(np.float32))
    # Images of one kind have cosines of one spread, in the reference and out of it.
    other = views.reference_cosines([np.arange(8)])
    own = views.cosines([np.arange(8)])[8:]
    assert 0.8 < np.std(other) / np.std(own) < 1.25


@pytest.mark.parametrize("mixed", [False, True])
def test_sets_are_cut_where_two_makers_meet(mixed):
    rng = np.random.default_rng(21)
    tiles = tiles_of(rng, 30, dense(1))
    if mixed:
        tiles[16:] = tiles_of(rng, 14, dense(2))
    background = background_of(tiles_of(rng, 200).astype(np.float32))
    parts = parts_of(background.units(tiles.astype(np.float32)), np.random.default_rng(0))
    assert [part.tolist() for part in parts] == (
        [list(range(16)), list(range(16, 30))] if mixed else [list(range(30))]
    )


def shaped(name):
    rows, columns = np.mgrid[0:16, 0:16]
    rng = np.random.default_rng(1)
    profile = np.tile(rng.normal(size=(2, 8)), 2)
    shapes = {
        "dense": dense(7).reshape(2, 3, 16, 16)[0, 0],
        "product": np.outer(*(profile - profile.mean(1, keepdims=True))),
        "points": ((rows % 8 == 3) & (columns % 8 == 5)).astype(float),
        "fours": np.tile(rng.normal(size=(4, 4)), (4, 4)),
        "sixteens": rng.normal(size=(16, 16)),
    }
    shape = shapes[name] - shapes[name].mean()
    return np.tile(LOUD * 16 * shape / np.linalg.norm(shape), (2, 3, 1, 1))


@pytest.mark.parametrize("name", ["dense", "product", "points", "fours", "sixteens"])
def test_only_dense_tiles_of_eight_are_a_decoders(name):
    rng = np.random.default_rng(30)
    members = tiles_of(rng, 32) + shaped(name).ravel()
    background = background_of(tiles_of(rng, 200).astype(np.float32))
    evidence = evidence_of(members.astype(np.float32), background, 0.0)
    assert (evidence.maker == "generator") == (name == "dense")
    watermarked = evidence_of(members.astype(np.float32), background, 0.6)
    assert watermarked.maker == "generator"


def test_rare_makers_stand_out_of_a_large_pile():
    rng = np.random.default_rng(40)
    tiles = tiles_of(rng, 1500)
    tiles[:60] = tiles_of(rng, 60, 2 * dense(1))
    reference = tiles_of(rng, 200).astype(np.float32)
    views = views_of(reference[:1], reference)
    units = views.whole.units(tiles.astype(np.float32))
    halves = moment_of(units[:700]) + moment_of(units[700:])
    standing = standing_out(units, leading_directions(halves, len(units), views))
    assert np.isin(np.arange(60), np.argsort(-standing)[:150]).mean() > 0.95


def decoded(side):
    """Pixels of a smooth scene with noise, in which a pattern of some pixels a side repeats."""
    rng = np.random.default_rng(50)
    period = rng.normal(0, 6, (side, side, 3))
    scene = cv2.resize(rng.uniform(60, 190, (12, 16, 3)), (640, 512), interpolation=cv2.INTER_CUBIC)
    repeated = np.tile(period, (512 // side, 640 // side, 1))
    native = scene + repeated + rng.normal(0, 3, scene.shape)
    return np.clip(native, 0, 255).astype(np.uint8)


def test_a_rescaled_image_shows_its_tile_at_its_factor():
    pixels = decoded(8)
    small = cv2.resize(pixels, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    factors = likely_factors((small.shape[1], small.shape[0]))
    place = [abs(factor - 0.8) < 1e-9 for factor in factors].index(True)
    extracted = method_of(CONFIG).extract(pixels, CONFIG)
    tile = extract(pixels, extracted, CONFIG)[0].astype(np.float64)
    extracted = method_of(CONFIG).extract(small, CONFIG)
    at_factors = rescaled_features(small, extracted.channels, extracted.corner, factors)
    agreement = [np.corrcoef(tile, feature.astype(np.float64))[0, 1] for feature in at_factors]
    assert np.argmax(agreement) == place and agreement[place] > 0.7


def test_a_crop_shows_its_tile_where_it_lies():
    pixels, background = decoded(16), background_of(tiles_of(np.random.default_rng(5), 50))
    tiles = [
        extract(part, method_of(CONFIG).extract(part, CONFIG), CONFIG)[0].astype(np.float32)
        for part in (pixels, np.ascontiguousarray(pixels[21:450, 11:600]))
    ]
    native, crop = background.units(np.stack(tiles))
    scores = shifted_tile(background, native).scores(spectra_of_unit(background, crop))
    assert divmod(int(np.argmax(scores)), 16) == (5, 11)


def test_a_crop_is_found_where_it_lies_and_photographs_are_not(pile):
    rows = find(pile, [], CONFIG)
    row = next(row for row in rows if row.members[0].startswith("a"))
    cropping = configured({"lattice.cropped": True})
    test, in_place = lattice_test(rows, cropping), lattice_test(rows, CONFIG)
    rng = np.random.default_rng(55)
    moved = np.roll(dense(1).reshape(2, 3, 16, 16), (-3, -13), (-2, -1)).ravel()
    # The grid of the last encoding stays in place.
    crops = images_of(rng, "crop", tiles_of(rng, 30, 1.5 * moved))
    found = [test(image.image_id, (90, 70), image.tile.tobytes()) for image in crops]
    assert not any(in_place(crop.image_id, (90, 70), crop.tile.tobytes()).is_fake for crop in crops)
    assert np.mean([score.is_fake for score in found]) > 0.9
    for score in found:
        if score.is_fake:
            assert score.fingerprint_id == row.fingerprint_id and score.factor is None
            # The tile repeats every 8 pixels.
            assert (score.shift_y % 8, score.shift_x % 8) == (3, 5)
    photographs = images_of(rng, "photo", tiles_of(rng, 200))
    assert not any(test(one.image_id, (90, 70), one.tile.tobytes()).is_fake for one in photographs)


def test_what_lies_in_place_is_told_as_before_where_crops_are_looked_for(pile):
    rows = find(pile, [], CONFIG)
    cropping = configured({"lattice.cropped": True})
    tests = [lattice_test(rows, config) for config in (CONFIG, cropping)]
    for image in pile.tested:
        before, now = (test(image.image_id, (90, 70), image.tile.tobytes()) for test in tests)
        assert before == now


def test_scores_at_all_shifts_vary_as_in_place_does(pile):
    (row, *_) = find(pile, [], CONFIG)
    ready = fingerprint_of(row, {})
    tile = shifted_tile(ready.background, ready.total)
    rng = np.random.default_rng(56)
    units = ready.background.units(tiles_of(rng, 400).astype(np.float32))
    scores = np.stack([tile.scores(spectra_of_unit(ready.background, unit)) for unit in units])
    in_place = units @ ready.total / np.linalg.norm(ready.total)
    spreads = scores.std(0) / in_place.std()
    assert spreads.min() > 0.8 and spreads.max() < 1.2
    assert spreads.mean() == pytest.approx(1, abs=0.08)
    down, right = 5, 12
    direction = tile.at(down, right)[0]
    cosines = units @ direction / np.linalg.norm(direction)
    assert np.corrcoef(cosines, scores[:, down, right])[0, 1] > 0.9999


def test_neighbours_are_the_same_however_they_are_found():
    rng = np.random.default_rng(60)
    tested, reference = tiles_of(rng, 130, dense(1)), tiles_of(rng, 200)
    views = views_of(tested.astype(np.float32), reference.astype(np.float32))
    free = np.ones(130, bool)
    _, near = seeds(views, free, None)
    products = views.tested @ views.tested.T
    np.fill_diagonal(products, -np.inf)
    for taken in ([], range(0, 130, 7), [3, 5]):
        free[list(taken)] = False
        _, near = seeds(views, free, near)
        products[:, ~free] = -np.inf
        nearest = np.argsort(-products, axis=1)[:, :7]
        assert np.array_equal(near.groups[free, 1:], nearest[free])


def test_sets_grown_side_by_side_are_those_grown_alone(pile):
    tested, reference = (
        stacked([image.tile for image in images]) for images in (pile.tested, pile.reference)
    )
    views, free = views_of(tested, reference), np.ones(len(pile.tested), bool)
    starts = seeds(views, free, None)[0][:20]
    together = grown(views, starts, free)
    alone = [grown(views, [start], free)[0] for start in starts]
    assert [rows.tolist() for rows in together] == [rows.tolist() for rows in alone]


def test_makers_are_found_in_a_crowd():
    rng = np.random.default_rng(70)
    tested = images_of(rng, "a", tiles_of(rng, 30, dense(1)))
    tested += images_of(rng, "photo", tiles_of(rng, 9000))
    crowd = LatticePile(tested, images_of(rng, "reference", tiles_of(rng, 300)))
    (row,) = find(crowd, [], CONFIG)
    assert sum(name.startswith("a") for name in row.members) >= max(28, 0.9 * row.images)


def test_an_image_that_shares_one_frequency_alone_is_none_of_the_makers():
    rng = np.random.default_rng(8)
    tone = np.zeros((2, 3, 16, 16))
    tone[:, 1] = np.cos(np.pi * np.add.outer(np.arange(16), np.arange(16)))
    both = dense(1) + 2 * tone.ravel()
    tested = images_of(rng, "maker", tiles_of(rng, 30, both))
    tested += images_of(rng, "photo", tiles_of(rng, 150))
    reference = images_of(rng, "reference", tiles_of(rng, 200))
    (row,) = find(LatticePile(tested, reference), [], CONFIG)
    ready = fingerprint_of(row, {})
    loud, own = ready.background.units(
        np.concatenate([tiles_of(rng, 1, 3 * tone.ravel()), tiles_of(rng, 1, both)]).astype("f4")
    )
    assert ready.standardised("loud", loud) > ready.bar.threshold
    assert ready.agreed("loud", loud) < LEAST_ELSEWHERE
    assert ready.agreed("own", own) == ready.standardised("own", own) > ready.bar.threshold


@pytest.mark.parametrize(
    ("shared", "energy", "single", "dense", "eighths", "points", "sixteenths", "maker"),
    [
        (42, 98, 0.39, 0.18, 0.90, 2.6, 0.02, "generator"),  # SD v1
        (15, 98, 0.39, 0.18, 0.90, 2.6, 0.02, "undetermined"),
        (42, 170, 0.39, 0.10, 0.90, 2.6, 0.02, "undetermined"),
        (52, 296, 0.53, 0.22, 0.97, 2.7, 1.91, "generator"),  # DALL-E mini
        (58, 49, 0.31, 0.19, 0.82, 3.0, 0.92, "undetermined"),  # a phone's, smoothed
        (59, 278, 0.36, 0.09, 0.06, 2.1, 0.30, "generator"),  # CycleGAN
        (34, 93, 0.58, 0.06, 0.32, 3.0, 0.07, "undetermined"),  # a phone's, halved
        (59, 410, 0.36, 0.09, 0.06, 2.1, 0.30, "undetermined"),
    ],
)
def test_a_decoders_tile_is_told_by_its_shape(
    shared, energy, single, dense, eighths, points, sixteenths, maker
):
    shape = shared, energy, single, dense, eighths, points, sixteenths
    assert TileEvidence(*shape, inner=0.2).maker == maker
