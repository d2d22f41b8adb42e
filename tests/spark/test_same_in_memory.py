"""A run through Spark and a pile in memory: the same fingerprints, the same verdicts."""

from pathlib import Path

import cv2
import numpy as np
import pyarrow.dataset as ds
import pytest

from noisescope_core.config import load_config
from noisescope_core.in_memory import detect
from tests.conftest import SMALL, picture
from tests.runs import run_detect

pytest.importorskip("pyspark")

ABOUT = ("score", "threshold", "confidence")
"""Columns of verdicts that sums in another order may change in the last digits."""


def contents(folder):
    return {str(file): file.read_bytes() for file in folder.iterdir()}


def rows_of(table, out):
    return ds.dataset(out / table).to_table().to_pylist()


def saved_of_any_size(folder, count, tile, ending):
    """Save pictures of sizes that occur once, with a tile again and again."""
    folder.mkdir()
    rng = np.random.default_rng(count)
    for k in range(count):
        shape = 120 + k % 7, 128 + k
        repeated = np.tile(tile, (9, 26, 1))[: shape[0], : shape[1]]
        pixels = np.clip(np.rint(picture(rng, shape) + (k < 26) * repeated), 0, 255)
        file = str(folder / f"{k}.{ending}")
        cv2.imwrite(file, pixels.astype(np.uint8)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    return folder


@pytest.fixture(scope="module")
def any_size(spark, tmp_path_factory):
    """Run on JPEG files of sizes that occur once, and on PNG files as reference."""
    base = tmp_path_factory.mktemp("any_size")
    tile = np.random.default_rng(3).normal(0, 6, (16, 16, 1))
    images = saved_of_any_size(base / "images", 60, tile, "jpg")
    reference = saved_of_any_size(base / "reference", 70, 0 * tile, "png")
    spark_settings = (one for one in SMALL if one.startswith("spark."))
    config = load_config(None, (*spark_settings, "lattice.undetermined=flag"))
    summary = run_detect(spark, config, images, reference, base / "out")
    return images, reference, config, base / "out", summary


def test_images_of_sizes_that_occur_once_have_a_reference_made_like_them(any_size):
    images, reference, config, out, summary = any_size
    notes = []
    judged = detect(contents(images), contents(reference), config, notes.append)
    made = rows_of("reference_residuals", out)
    assert len(made) == 70
    assert {row["prepared"] for row in made} == {"saved again as JPEG 4:2:0 quality 92"}
    assert any("(all sizes together: 70 of 70)" in text for text in summary["warnings"])
    found = {row["fingerprint_id"]: row for row in rows_of("fingerprints", out)}
    assert found.keys() == {row.fingerprint_id for row in judged.fingerprints}
    verdicts = {row["path"]: row for row in rows_of("verdicts", out)}
    flagged = {int(Path(path).stem) for path, row in verdicts.items() if row["is_fake"]}
    assert len(flagged) > 20 and flagged <= set(range(26))
    for verdict in judged.verdicts:
        other = verdicts[verdict.path]
        assert (other["is_fake"], other["fingerprint_id"]) == (
            verdict.is_fake, verdict.fingerprint_id,
        )  # fmt: skip
        assert other["score"] == (verdict.score and pytest.approx(verdict.score, rel=1e-5))


@pytest.mark.parametrize("method", ["paper", "whitened"])
def test_spark_finds_and_judges_as_arrays_do(method, run_on_dump, dump):
    config = load_config(None, (*SMALL, f"method={method}"))
    out = run_on_dump(method).out
    judged = detect(contents(dump.images), contents(dump.reference), config)

    stored = {row["fingerprint_id"]: row for row in rows_of("fingerprints", out)}
    assert stored
    assert stored.keys() == {row.fingerprint_id for row in judged.fingerprints}
    for row in judged.fingerprints:
        other = stored[row.fingerprint_id]
        for name in ("members", "flagged", "maker", "images", "covered", "header", "watermark"):
            assert other[name] == (
                list(row.members) if name == "members" else getattr(row, name)
            ), name
        for name in ("cohesion", "strength", "threshold", "member_mean", "margin"):
            expected = getattr(row, name)
            assert other[name] == (expected and pytest.approx(expected, rel=1e-6)), name

    verdicts = {row["path"]: row for row in rows_of("verdicts", out)}
    assert len(verdicts) == len(judged.verdicts) == 60
    for verdict in judged.verdicts:
        other = verdicts[verdict.path]
        for name, value in vars(verdict).items():
            if name in ABOUT and value is not None:
                assert other[name] == pytest.approx(value, rel=1e-5, abs=1e-6), name
            else:
                assert other[name] == value, name


def test_copies_of_tested_images_are_no_reference(any_size, spark, tmp_path):
    """By their bytes, or by what they show; too few left is a reason, in both ways of running."""
    images, reference, config, _, _ = any_size
    mixed = tmp_path / "reference"
    mixed.mkdir()
    for file in images.iterdir():
        (mixed / f"same_{file.name}").write_bytes(file.read_bytes())
    for k in range(50):
        pixels = cv2.imread(str(reference / f"{k}.png"))
        if k < 40:
            (mixed / f"{k}.png").write_bytes((reference / f"{k}.png").read_bytes())
        else:
            for quality in (90, 91, 92):
                again = str(mixed / f"{k}_{quality}.jpg")
                cv2.imwrite(again, pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    notes = []
    judged = detect(contents(images), contents(mixed), config, notes.append)
    summary = run_detect(spark, config, images, mixed, tmp_path / "out")
    reasons = {row["reason"] for row in rows_of("verdicts", tmp_path / "out")}
    assert reasons == {verdict.reason for verdict in judged.verdicts}
    (reason,) = reasons
    assert reason == "too few reference images to calibrate: 50 of all sizes, needed 60"
    told = "Images in both the reference and the test set: 60; they are no reference"
    assert any(warning.startswith(told) for warning in summary["warnings"])
    assert not any("could not be used" in warning for warning in summary["warnings"])
    assert "reference images left out that are tested, too: 60" in notes
