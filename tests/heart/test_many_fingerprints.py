"""Many fingerprints: a product chooses those that are tried, and answers as if all were."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from noisescope_core.app.registry import Standing, passed_over, unmet
from noisescope_core.config import Config, configured
from noisescope_core.lattice.background import background_of
from noisescope_core.lattice.detector import lattice_test, packed_background
from noisescope_core.lattice.tiles import VALUES
from noisescope_core.tables.rows import FingerprintRow
from noisescope_core.whitened.detection import detector as in_place
from noisescope_core.whitened.detection.detector import match_test
from noisescope_core.whitened.detection.many import FEW, met_last
from noisescope_core.whitened.planes.bands import BANDS, PLANES, compared
from noisescope_core.whitened.planes.whitening import packed

CONFIG = Config()
SIDE = 32
BAR = {
    "reference_centre": 0.0, "reference_spread": 1.0, "threshold": 4.0, "member_mean": 9.0,
    "member_spread": 1.0, "prior": -2.0,
}  # fmt: skip


def row_of(name, number, **columns):
    return FingerprintRow(
        fingerprint_id=f"{name}{number:04}", images=4, flagged=True, **BAR,
        members=[f"{name}{number:04}-{k}" for k in range(4)], **columns,
    )  # fmt: skip


@pytest.fixture(scope="module")
def lattices():
    """Tiles of 80 makers before three backgrounds, and photographs that share a grid."""
    rng = np.random.default_rng(0)
    grid = rng.normal(size=VALUES)
    photographs = rng.normal(size=(120, VALUES)) + rng.normal(size=(120, 1)) * grid
    photographs = photographs.astype(np.float32)
    backgrounds = [background_of(photographs[start : 60 + start]) for start in range(3)]
    rows, patterns = [], rng.normal(size=(80, VALUES)).astype(np.float32)
    for number, pattern in enumerate(patterns):
        background = backgrounds[number % 3]
        unit = background.units(pattern[None])[0]
        rows.append(
            replace(
                row_of("lattice", number, kind="lattice", width=16, height=16),
                reference_spread=1 / np.sqrt(VALUES), elsewhere_centre=0.0,
                elsewhere_spread=1 / np.sqrt(VALUES), whitened=unit.tobytes(),
                background=packed_background(background),
            )
        )  # fmt: skip
    return rows, patterns, photographs


@pytest.fixture(scope="module")
def places():
    """Mean planes of 70 makers of one size, as far as a mean of four images has them."""
    rng, bins = np.random.default_rng(1), compared(SIDE, SIDE, SIDE)
    patterns = rng.normal(size=(70, len(PLANES), bins.values)).astype(np.float32)
    spread = np.sqrt(len(BANDS) * len(PLANES) / 10)
    rows = [
        replace(
            row_of("place", number, width=SIDE, height=SIDE, weights=[1.0] * len(BANDS)),
            centres=[0.0] * len(BANDS), reference_spread=float(spread),
            whitened=pattern.tobytes(),
        )
        for number, pattern in enumerate(patterns)
    ]  # fmt: skip
    return rows, patterns


def test_an_image_that_carries_one_of_many_lattices_is_answered_as_by_all(lattices, monkeypatch):
    rows, patterns, photographs = lattices
    tiles = np.concatenate([0.6 * patterns[::5] + photographs[:16], photographs[60:90]])
    cells = [tile.astype(np.float16).tobytes() for tile in tiles]
    names = [f"lattice{k:04}-0" if k % 2 else "stranger" for k in range(0, 80, 5)]
    names += ["stranger"] * 30
    chosen = lattice_test(rows, CONFIG)
    monkeypatch.setattr("noisescope_core.lattice.detector.FEW", len(rows))
    every = lattice_test(rows, CONFIG)
    tested = list(zip(names, cells, strict=True))
    answers = [chosen(name, (64, 64), cell) for name, cell in tested]
    assert answers == [every(name, (64, 64), cell) for name, cell in tested]
    assert [answer.fingerprint_id for answer in answers[:16]] == [
        f"lattice{k:04}" for k in range(0, 80, 5)
    ]
    assert all(answer.is_fake for answer in answers[:16])
    assert not any(answer.is_fake for answer in answers[16:])


@pytest.mark.parametrize("planes", [3, 1])
def test_an_image_that_carries_one_of_many_in_place_is_answered_as_by_all(
    places, planes, monkeypatch
):
    rows, patterns = places
    rng = np.random.default_rng(2)
    images = rng.normal(size=(20, *patterns.shape[1:])) + np.concatenate(
        [patterns[:50:5], np.zeros((10, *patterns.shape[1:]))]
    )
    images[:, planes:] = 0
    chosen = match_test({(SIDE, SIDE): rows}, CONFIG)
    monkeypatch.setattr(in_place, "FEW", len(rows))
    every = match_test({(SIDE, SIDE): rows}, CONFIG)
    cells = [pa.py_buffer(packed(image.astype(np.float32)).tobytes()) for image in images]
    answers = [chosen("stranger", (SIDE, SIDE), cell) for cell in cells]
    assert answers == [every("stranger", (SIDE, SIDE), cell) for cell in cells]
    assert [answer.fingerprint_id for answer in answers[:10]] == [
        f"place{k:04}" for k in range(0, 50, 5)
    ]


def test_other_alignments_are_searched_for_a_few_alone(places, monkeypatch):
    rows = [SimpleNamespace(**vars(row), last_scan=k) for k, row in enumerate(places[0])]
    made, pattern_of = [], in_place.pattern_of
    monkeypatch.setattr(
        in_place, "pattern_of", lambda name, *rest: made.append(name) or pattern_of(name, *rest)
    )
    match_test({(SIDE, SIDE): rows}, CONFIG, everywhere=True)
    assert made == [f"place{k:04}" for k in range(len(rows) - FEW, len(rows))]
    assert met_last(rows[:5]) == [0, 1, 2, 3, 4]


def test_at_shifts_of_a_tile_a_few_lattices_are_searched(lattices):
    rows, patterns, photographs = lattices
    late = [SimpleNamespace(**vars(row), last_scan=k) for k, row in enumerate(rows)]
    test = lattice_test(late, configured({"lattice.cropped": True}))

    def cropped(number):
        tile = patterns[number].reshape(-1, 16, 16)
        tile = np.roll(tile, (-3, -5), (1, 2)).ravel() + photographs[number]
        return test("stranger", (64, 64), tile.astype(np.float16).tobytes())

    found = cropped(79)
    assert (found.fingerprint_id, found.shift_y, found.shift_x) == ("lattice0079", 3, 5)
    assert not cropped(1).is_fake


def test_what_is_merged_ages_with_its_target_and_what_is_confirmed_does_not():
    standings = {
        "old": Standing("candidate", None),
        "met": Standing("candidate", None),
        "into met": Standing("merged", "met"),
        "sure": Standing("confirmed", None),
        "into sure": Standing("merged", "sure"),
        "wrong": Standing("false alarm", None),
    }
    met = dict.fromkeys(standings, 1) | {"into met": 50}
    assert unmet(standings, met, 52, 50) == ["old"]
    assert unmet(standings, met, 51, 50) == []
    chosen = [passed_over(standings | {"new": None}, met | {"new": 9}, most) for most in (3, 2, 1)]
    assert chosen == [set(), {"old"}, {"old", "met"}]
