"""One run on a pile with every kind of bad input: it costs nothing but itself."""

import os
import shutil
from types import SimpleNamespace

import pyarrow.dataset as ds
import pytest

from noisescope_core.app.folders import spelt
from tests.runs import run_detect, verdicts_of
from tests.spark.damaged_files import (
    CIRCLE,
    UNLISTED,
    quarantined,
    scored,
    unscored,
    write_damaged_files,
)

pytest.importorskip("pyspark")

VANISHED = "002.png"
"""A photograph that is gone when Spark, which has listed it, comes to read it."""


@pytest.fixture(scope="module")
def run(spark, small_config, dump, tmp_path_factory):
    from noisescope_core.spark.stages import listing

    folder = tmp_path_factory.mktemp("damaged")
    images, reference = folder / "images [1] {a,b}*", folder / "reference"
    shutil.copytree(dump.images, images)
    write_damaged_files(images)
    shutil.copytree(dump.reference, reference)
    (reference / "broken.jpg").write_bytes(b"broken")
    names = [name for name in os.listdir(images) if name != CIRCLE]
    read = listing.content_of

    def content(source, config):
        (images / VANISHED).unlink(missing_ok=True)
        return read(source, config)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "content_of", content)
        summary = run_detect(spark, small_config, images, reference, folder / "out")
    rows = ds.dataset(folder / "out/verdicts").to_table().to_pylist()
    return SimpleNamespace(
        images=images, names=names, summary=summary, rows=rows, out=folder / "out",
        by_name=verdicts_of(folder / "out"),
    )  # fmt: skip


def test_every_file_has_a_verdict(run):
    files = {str(run.images / spelt(name)) for name in run.names}
    assert len(files) == len(run.names)
    assert sorted(row["path"] for row in run.rows) == sorted(files)
    assert run.summary["counts"]["files"] == len(files)


@pytest.mark.parametrize(
    ("status", "cases"), [("quarantined", quarantined()), ("unscored", unscored())],
    ids=["quarantined", "unscored"],
)  # fmt: skip
def test_what_cannot_be_scored_has_its_reason(run, status, cases):
    for name, (_, reason) in cases.items():
        row = run.by_name[name]
        assert (row["status"], row["is_fake"], row["score"]) == (status, None, None), name
        assert reason in row["reason"], (name, row["reason"])


def test_what_is_no_file_to_read_is_set_aside(run):
    for name, reason in UNLISTED.items():
        assert run.by_name[name]["status"] == "quarantined"
        assert reason in run.by_name[name]["reason"], (name, run.by_name[name]["reason"])


def test_a_file_that_vanishes_after_the_listing_is_accounted_for(run):
    row = run.by_name[VANISHED]
    assert row["status"] == "quarantined"
    assert row["reason"] == "gone since it was listed"


def test_odd_images_are_scored(run):
    for name in scored():
        assert run.by_name[name]["status"] == "scored", (name, run.by_name[name]["reason"])
    assert run.by_name["turned.jpg"]["width"] == 64
    copies = [run.by_name["copy.png"], run.by_name["a name with spaces %20 and #.png"]]
    assert copies[0]["image_id"] == copies[1]["image_id"]
    assert copies[0]["score"] == copies[1]["score"]


def test_the_generated_images_are_found_all_the_same(run, dump):
    assert dump.fakes <= {name for name, row in run.by_name.items() if row["is_fake"]}
    assert "Reference files that could not be used: 1 of 121." in run.summary["warnings"]
    page = (run.out / "report.html").read_text(encoding="utf-8")
    assert page.count("<script") == 1
