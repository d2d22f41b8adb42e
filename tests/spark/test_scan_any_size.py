"""Scheduled scans of images that hardly share a size: found, known, and judged as detect does."""

from pathlib import Path

import pytest

pytest.importorskip("pyspark")
pytest.importorskip("delta")

from tests.spark.programs.any_size_days import FIRST, LEAST

# The days of scans of one size are tried by `make test`, too.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told(scans_told):
    return scans_told("any_size")


def by_name(verdicts):
    return {Path(row["path"]).name: row for row in verdicts}


def flagged(verdicts):
    return {name: row for name, row in by_name(verdicts).items() if row["is_fake"]}


def sizes(rows):
    return {(row["width"], row["height"]) for row in rows}


def test_a_decoder_whose_images_share_no_size_is_found(told):
    any_size = told["any"]
    found = flagged(any_size["first"])
    assert len(sizes(found.values())) > 0.9 * len(found)
    made = found.keys() & set(any_size["fake"])
    # The reference is compressed twice by now, which costs a few.
    assert len(made) >= 0.75 * FIRST
    # A bar out of so few photographs may let one through.
    assert len(found) - len(made) <= 1
    # Every second image was saved again, so that one maker may have two fingerprints.
    ids = {row["fingerprint_id"] for row in any_size["fingerprints"]}
    assert {row["fingerprint_id"] for row in found.values()} == ids
    about = {(row["kind"], row["state"]) for row in any_size["fingerprints"]}
    assert about == {("lattice", "candidate")}


def test_a_scan_judges_as_detect_does(told):
    scanned, judged = (by_name(told["any"][one]) for one in ("first", "in memory"))
    ids = {row["fingerprint_id"] for row in told["any"]["fingerprints"]}
    assert set(told["any"]["found in memory"]) == ids
    assert scanned.keys() == judged.keys()
    for name, row in judged.items():
        for column in ("status", "reason", "is_fake", "fingerprint_id"):
            assert scanned[name][column] == row[column], (name, column)
        for column in ("score", "threshold", "confidence"):
            about = row[column] and pytest.approx(row[column], rel=1e-4, abs=1e-6)
            assert scanned[name][column] == about, (name, column)


def test_images_of_other_sizes_are_known_by_it_the_next_day(told):
    any_size = told["any"]
    before, after = flagged(any_size["first"]), flagged(any_size["second"])
    new = {name: row for name, row in after.items() if name not in before}
    assert before.items() <= after.items()
    assert len(new) >= 4 and new.keys() <= set(any_size["fake"])
    assert not sizes(new.values()) & sizes(any_size["first"])
    first, second, _ = any_size["runs"]
    assert first["found"] == len(any_size["fingerprints"])
    assert (second["found"], second["registry_version"]) == (0, 1)


def test_a_scan_of_nothing_new_changes_nothing(told):
    assert told["any"]["changed"] == []
    assert told["any"]["runs"][2]["files"] == 0


def test_only_what_is_too_small_is_not_scored(told):
    left = [row for row in told["any"]["second"] if row["status"] != "scored"]
    assert [(Path(row["path"]).name, row["status"]) for row in left] == [("small.png", "unscored")]
    assert "smaller than 64 pixels a side" in left[0]["reason"]


def test_a_reference_that_is_too_small_scores_nothing_until_it_is_not(told):
    few = told["few"]
    reason = f"too few reference images to calibrate: {LEAST - 1} of all sizes, needed {LEAST}"
    assert {(row["status"], row["reason"]) for row in few["first"]} == {("unscored", reason)}
    assert {(row["status"], row["is_fake"]) for row in few["second"]} == {("scored", False)}
    counted = [(run["reference_images"], run["rejudged"]) for run in few["runs"]]
    assert counted == [(LEAST - 1, 0), (LEAST, 4)]
    assert {row["searched_scan"] for row in few["sizes"]} == {None}
