"""Lattices of one decoder are one family, whatever reference their runs had."""

from dataclasses import replace

import numpy as np
import pytest

from noisescope_core.lattice.background import background_of
from noisescope_core.lattice.detector import packed_background
from noisescope_core.lattice.families import (
    Rescaled,
    families,
    rescaled_sets,
    trees,
    typical_strength,
)
from noisescope_core.lattice.tiles import PERIOD, VALUES
from noisescope_core.tables.rows import FingerprintRow

RNG = np.random.default_rng(3)
COMMON = RNG.normal(size=(4, VALUES))
"""What photographs have in common: the JPEG grid, mosaics."""
DECODERS = RNG.normal(size=(4, VALUES))


def photographs(count, seed):
    rng = np.random.default_rng(seed)
    tiles = rng.normal(size=(count, VALUES)) + 2 * rng.normal(size=(count, 4)) @ COMMON
    return tiles.astype(np.float32)


def lattice(name, tile, strength=0.5, members=20, seed=0, reference=100):
    """The fingerprint that a run finds of images which carry a tile, with its own reference."""
    known = photographs(120, reference)
    background = background_of(known)
    carried = (photographs(members, 1000 + seed) + strength * tile).astype(np.float32)
    units = background.units(carried)
    total = units.sum(0, dtype=np.float64)
    cosines = background.units(photographs(120, reference + 1)) @ total / np.linalg.norm(total)
    cohesion = (total @ total - members) / (members * (members - 1))
    return FingerprintRow(
        fingerprint_id=name, kind="lattice", width=PERIOD, height=PERIOD, images=members,
        flagged=True, cohesion=cohesion, reference_centre=float(np.median(cosines)),
        reference_spread=float(cosines.std()), threshold=4.5, member_mean=9.0, member_spread=2.0,
        prior=0.0, members=[f"{name}-{k}" for k in range(members)],
        whitened=units.mean(0, dtype=np.float64).astype(np.float32).tobytes(),
        background=packed_background(background),
    )  # fmt: skip


def test_decoders_that_leave_one_tile_are_a_family_and_others_are_not():
    one, other = DECODERS[:2]
    rows = [
        lattice("a", one, seed=1),
        lattice("b", other, seed=2),
        # Another repository's images, found in another pile.
        lattice("c", one + 0.4 * DECODERS[2], 0.4, seed=3, reference=300),
        lattice("d", other, 0.6, 8, seed=4, reference=500),
        lattice("e", DECODERS[3], seed=5),
    ]
    assert families(rows) == [["a", "c"], ["b", "d"], ["e"]]


def test_the_strength_of_a_typical_image_is_that_of_the_images():
    one, other = lattice("a", DECODERS[0], seed=1), lattice("b", DECODERS[0], 0.3, 40, seed=2)
    background = background_of(photographs(120, 100))
    images = (photographs(400, 77) + 0.3 * DECODERS[0]).astype(np.float32)
    total = np.frombuffer(one.whitened, np.float32).astype(np.float64)
    cosines = background.units(images) @ total / np.linalg.norm(total)
    measured = (cosines.mean() - one.reference_centre) / one.reference_spread
    assert typical_strength(one, other) == pytest.approx(measured, rel=0.15)


def test_what_all_photographs_share_makes_no_family():
    shared = [lattice(name, 1.5 * COMMON[0], 0.05, seed=k) for k, name in enumerate("ab")]
    assert families(shared) == [["a"], ["b"]]


def test_both_must_flag_the_other():
    one, other = lattice("a", DECODERS[0], seed=1), lattice("b", DECODERS[0], seed=2)
    assert families([one, other]) == [["a", "b"]]
    assert families([one, replace(other, threshold=1000.0)]) == [["a"], ["b"]]
    assert families([replace(one, cohesion=0.0), other]) == [["a"], ["b"]]


def test_a_chain_is_one_family():
    first, last = DECODERS[0], DECODERS[1]
    chain = [first, first + last, last]
    rows = [
        lattice(name, tile, 0.4, seed=k)
        for k, (name, tile) in enumerate(zip("xyz", chain, strict=True))
    ]
    assert families([rows[0], rows[2]]) == [["x"], ["z"]]
    assert families([rows[0], rows[2], rows[1]]) == [["x", "z", "y"]]


def claims(names, origin, factor):
    return [{"image_id": name, "fingerprint_id": origin, "factor": factor} for name in names]


def test_a_set_that_another_claims_at_one_factor_is_of_its_family():
    native, half, other = (
        lattice(name, tile, seed=k)
        for k, (name, tile) in enumerate(zip("nho", DECODERS[:3], strict=True))
    )
    verdicts = claims(half.members[:12], "n", 0.5) + claims(half.members[12:16], "o", 1.5)
    found = rescaled_sets([native, half, other], verdicts)
    assert found == {"h": Rescaled("n", 0.5)}
    assert families([native, half, other]) == [["n"], ["h"], ["o"]]
    assert families([native, half, other], found) == [["n", "h"], ["o"]]


def test_a_set_that_is_claimed_in_part_or_at_many_factors_is_nobody_elses():
    half = lattice("h", DECODERS[1])
    assert rescaled_sets([half], claims(half.members[:10], "n", 0.5)) == {}
    assert rescaled_sets([half], claims(half.members, "h", 0.5)) == {}
    spread = [
        claim
        for k, name in enumerate(half.members)
        for claim in claims([name], "n", (0.5, 0.75, 1.5)[k % 3])
    ]
    assert rescaled_sets([half], spread) == {}


def test_no_fingerprint_is_no_family():
    assert families([]) == []
    assert trees([]) == []


def test_a_tree_says_how_typical_images_score_and_leaves_out_who_is_alone():
    one = lattice("a", DECODERS[0], seed=1, members=30)
    other = lattice("b", DECODERS[0] + 0.4 * DECODERS[2], 0.4, seed=3, reference=300)
    ((first, second),) = trees([other, lattice("c", DECODERS[1], seed=2), one])
    assert (first.fingerprint_id, first.depth, first.above, first.score_there) == (
        "a", 0, None, None
    )  # fmt: skip
    assert (second.fingerprint_id, second.depth, second.above) == ("b", 1, "a")
    assert second.score_there == pytest.approx(typical_strength(one, other) ** 2)
    assert second.score_here == pytest.approx(typical_strength(other, one) ** 2)
    assert (second.bar_there, second.bar_here) == (4.5**2, 4.5**2)
    assert second.score_there > second.bar_there


def test_in_a_chain_each_hangs_on_the_one_that_it_is_closest_to():
    first, last = DECODERS[0], DECODERS[1]
    tiles = {"x": first, "y": first + last, "z": last}
    rows = [
        lattice(name, tile, 0.4, seed=k, members=30 - k)
        for k, (name, tile) in enumerate(tiles.items())
    ]
    (tree,) = trees(rows)
    assert [(each.fingerprint_id, each.depth, each.above) for each in tree] == [
        ("x", 0, None), ("y", 1, "x"), ("z", 2, "y"),
    ]  # fmt: skip
    # A generator's is the first, however few images it has.
    (tree,) = trees([replace(row, flagged=row.fingerprint_id == "z") for row in rows])
    assert [each.fingerprint_id for each in tree] == ["z", "y", "x"]


def test_a_tree_says_whose_images_were_rescaled_and_devices_alone_are_none():
    native, half = (lattice(name, tile) for name, tile in zip("nh", DECODERS, strict=False))
    ((_, below),) = trees([half, native], {"n": Rescaled("h", 0.5)})
    assert (below.fingerprint_id, below.above, below.origin, below.factor) == ("n", "h", "h", 0.5)
    assert below.score_there < below.bar_there
    pair = [lattice(name, DECODERS[0], seed=k) for k, name in enumerate("ab")]
    phones = [replace(row, flagged=False, maker="device") for row in pair]
    assert trees(phones) == []
    assert len(trees([phones[0], replace(phones[1], maker="undetermined")])) == 1


def test_hundreds_are_told_apart_as_two_are():
    rng = np.random.default_rng(5)
    rows = [lattice(f"{k:03d}", DECODERS[k % 3], seed=k) for k in range(9)]
    tiles = rng.normal(size=(291, VALUES)).astype(np.float32)
    alone = [
        replace(rows[0], fingerprint_id=f"{k:03d}", whitened=tile.tobytes())
        for k, tile in enumerate(tiles, 9)
    ]
    found = families([*rows, *alone])
    assert found[:3] == [[f"{k:03d}" for k in range(first, 9, 3)] for first in range(3)]
    assert found[3:] == [[row.fingerprint_id] for row in alone]
