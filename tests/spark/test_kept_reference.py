"""Features of the reference that an earlier search extracted: the same rows, and nothing read."""

from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pyarrow.dataset as ds
import pytest

pytest.importorskip("pyspark")

from noisescope_core.config import load_config
from noisescope_core.spark.scans.reference import keep, stored_rows
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.stages.extract import extract, extract_reference, reference_headers
from noisescope_core.spark.stages.listing import list_files
from noisescope_core.spark.tables.run import Run
from tests.conftest import SMALL, picture

TABLE = "reference_residuals"

CONFIG = load_config(None, (*SMALL, "method=whitened"))


def rows_of(run):
    rows = run.rows(TABLE)
    return sorted(rows, key=lambda row: (row["path"], row["width"], row["prepared"] or ""))


def save(folder, count, shape, ending, seed):
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for number in range(count):
        pixels = np.clip(np.rint(picture(rng, shape)), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.{ending}"), pixels, [cv2.IMWRITE_JPEG_QUALITY, 92])
    return str(folder)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Images of one size and kind, and a reference that has others and is made like them."""
    folder = tmp_path_factory.mktemp("piles")
    images = save(folder / "images", 24, (96, 96), "jpg", 1)
    return {"image": images, "reference": save(folder / "reference", 64, (112, 128), "png", 2)}


@pytest.fixture(scope="module")
def extracted(spark, places, tmp_path_factory):
    run = Run(spark, str(tmp_path_factory.mktemp("extracted")))
    extract(run, CONFIG, Progress(spark), places["image"], places["reference"])
    rows = rows_of(run)
    assert len({(row["width"], row["prepared"]) for row in rows}) > 1
    return run, rows


@pytest.fixture
def kept(extracted, tmp_path):
    run = Run(extracted[0].spark, str(tmp_path / "kept"))
    keep(run, extracted[0])
    return run


@pytest.fixture
def again(spark, places, extracted):
    """Extract the reference once more, from content or without any, with what is kept."""
    run, _ = extracted

    def extract_again(kept, content=True):
        reference = list_files(run, CONFIG, Progress(spark), places)["reference"]
        headers = reference_headers(reference.content, CONFIG)
        if not content:
            reference = replace(reference, content=None)
        stored = partial(stored_rows, kept)
        extract_reference(run, CONFIG, Progress(spark), reference, headers, stored)
        return rows_of(run)

    return extract_again


def test_what_is_kept_is_not_extracted_again(extracted, kept, again):
    assert again(kept, content=False) == extracted[1]


def test_what_is_kept_is_kept_once(extracted, kept):
    before = kept.count(TABLE)
    keep(kept, extracted[0])
    assert kept.count(TABLE) == before > 0


def test_images_that_lack_a_row_are_extracted(extracted, kept, again, tmp_path):
    some = Run(kept.spark, str(tmp_path / "some"))
    some.write(TABLE, kept.read(TABLE).orderBy("image_id", "width").limit(3))
    assert again(some) == extracted[1]
    # Nothing is kept of all.
    assert again(Run(kept.spark, str(tmp_path / "none"))) == extracted[1]


def test_much_that_no_search_asks_for_is_forgotten(extracted, kept):
    run, _ = extracted
    for number in range(5):
        more = kept.read(TABLE).limit(run.count(TABLE))
        kept.append(TABLE, more.replace("scored", f"old {number}", ["status"]))
    keep(kept, run)
    assert kept.count(TABLE) == kept.count(TABLE, ds.field("status") == "scored") > 0
