"""The whole pipeline on Spark: verdicts, parity with the heart, bad input, determinism."""

import io
import json
import os
import shutil

import cv2
import numpy as np
import pyarrow.dataset as ds
import pytest
from rich.console import Console

from noisescope_core.app.explanation import explain
from noisescope_core.config import load_config
from noisescope_core.correlation.spectra import spectra
from noisescope_core.errors import NoiseScopeError
from noisescope_core.paper.clustering import cluster_residuals
from noisescope_core.paper.detector import detection_threshold, score_images
from noisescope_core.residual import noise_residual
from noisescope_core.tables.results import open_results
from noisescope_core.tables.rows import RouteRow, VerdictRow
from tests.conftest import SMALL, picture, save
from tests.runs import run_detect, verdicts_of

pytest.importorskip("pyspark")

COLUMNS = [
    "path", "image_id", "width", "height", "status", "reason", "score", "threshold", "is_fake",
    "fingerprint_id", "confidence", "shift_x", "shift_y", "factor",
    "claimed_by", "claimed_generator", "camera",
]  # fmt: skip


@pytest.fixture
def run(paper_run):
    return paper_run.out, paper_run.summary


def test_finds_the_generated_images(run, dump):
    out, summary = run
    table = ds.dataset(out / "verdicts").to_table()
    assert table.column_names == COLUMNS
    rows = verdicts_of(out)
    assert {name for name, row in rows.items() if row["is_fake"]} == dump.fakes
    assert all(row["status"] == "scored" and row["reason"] is None for row in rows.values())
    assert all((row["fingerprint_id"] is not None) == row["is_fake"] for row in rows.values())
    assert all((row["score"] > row["threshold"]) == row["is_fake"] for row in rows.values())
    assert summary["counts"] == {
        "files": 60, "scored": 60, "unscored": 0, "quarantined": 0, "fake": 24, "real": 36,
        "elsewhere": 0,
    }  # fmt: skip
    assert json.loads((out / "summary.json").read_text()) == summary
    assert summary["sizes"][0]["pairs"] > 60 * 59 // 2
    # Settings of Spark may hold the keys of a store.
    assert "conf" not in summary["config"]["spark"]
    assert "shuffle.partitions" not in (out / "summary.json").read_text()
    assert "shuffle.partitions" not in (out / "report.html").read_text(encoding="utf-8")
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "24 of 60 images carry the fingerprint of 1 generator" in page
    assert page.count("data:image/jpeg") == 24
    rounds = ds.dataset(out / "clusters").to_table().to_pylist()
    assert page.count('<span class="pieces"') == max(row["round"] for row in rounds)


def test_every_fingerprint_has_its_share_of_what_the_report_shows(spark, tmp_path):
    from noisescope_core.spark.report import flagged_shown
    from noisescope_core.spark.tables.run import Run

    run = Run(spark, str(tmp_path))
    carried = [("many", k) for k in range(9)] + [("few", k) for k in range(2)]
    run.write_rows(
        "verdicts",
        [
            VerdictRow(path=f"/{name}{k}", status="scored", score=float(k), threshold=0.0,
                       is_fake=True, fingerprint_id=name)
            for name, k in carried
        ],
    )  # fmt: skip
    run.write_rows("route", [RouteRow("pairs", 11)])
    run.write_rows("residuals", [{"path": "/many8", "thumbnail": b"picture"}])
    config = load_config(None, ["report.thumbnails=3", "report.listed=4"])
    rows = flagged_shown(run, config).collect()
    rows.sort(key=lambda row: (row.turn, row.place, row.fingerprint_id))
    # Turn by turn the highest and the lowest of each, while it has them.
    assert [row.path for row in rows] == [
        "/few1", "/many8", "/few0", "/many0", "/many7", "/many1", "/many6"
    ]  # fmt: skip
    assert [row.thumbnail for row in rows] == [None, b"picture", *5 * [None]]


def test_equals_the_heart_on_the_same_residuals(run, dump):
    out, summary = run
    by_id = {row["image_id"]: name for name, row in verdicts_of(out).items()}
    names = [by_id[image_id] for image_id in sorted(by_id)]

    def residuals(folder, files):
        return np.stack([noise_residual(cv2.imread(str(folder / f))[:, :, ::-1]) for f in files])

    stack = residuals(dump.images, names)
    merging = cluster_residuals(
        stack, summary["sizes"][0]["t_merge"], lambda c: [True] * len(c),
        check_above=60, classify_above=10,
    )  # fmt: skip
    rows = ds.dataset(out / "clusters").to_table().to_pylist()
    rounds: dict = {}
    for row in rows:
        key = (row["round"], row["cluster"])
        rounds.setdefault(key, set()).add(by_id[row["image_id"]])
    expected = {
        (number, k): {names[m] for m in members}
        for number, clusters in enumerate(merging.rounds, start=1)
        for k, members in enumerate(clusters)
    }
    assert rounds == expected

    means = [stack[list(m)].mean(axis=0, dtype=np.float64) for m in merging.flagged]
    fingerprints = spectra(np.float32(means), np.float64)
    scores, _ = score_images(stack, fingerprints)
    verdicts = verdicts_of(out)
    assert np.allclose(scores, [verdicts[name]["score"] for name in names], rtol=1e-6, atol=1e-9)
    reference = residuals(dump.reference, sorted(os.listdir(dump.reference)))
    threshold = detection_threshold(score_images(reference, fingerprints)[0])
    assert verdicts[names[0]]["threshold"] == pytest.approx(threshold, rel=1e-6)


def test_an_explanation_is_the_papers_verdict(run, dump):
    out, _ = run
    results = open_results(str(out))
    rows = verdicts_of(out)
    for name in (sorted(dump.fakes)[0], sorted(rows.keys() - dump.fakes)[0]):
        match = explain(str(dump.images / name), results).match
        assert match.is_fake == rows[name]["is_fake"]
        assert match.score == pytest.approx(rows[name]["score"])
        assert match.threshold == pytest.approx(rows[name]["threshold"])
        middle = [side // 2 for side in match.surface.shape]
        own = float(match.surface[tuple(middle)])
        assert own * abs(own) == pytest.approx(match.score, rel=1e-3)


def test_partitions_blocks_and_names_change_no_verdict(run, dump, spark, tmp_path):
    out, _ = run
    moved = tmp_path / "moved"
    moved.mkdir()
    names = sorted(os.listdir(dump.images))
    new_name = dict(zip(names, np.random.default_rng(3).permutation(names).tolist(), strict=True))
    for name in names:
        folder = moved / name[2]
        folder.mkdir(exist_ok=True)
        shutil.copy(dump.images / name, folder / f"moved-{new_name[name]}")
    # Other batches, blocks, input splits and shuffle partitions than in the first run.
    config = load_config(None, [*SMALL, "spark.batch_bytes=65536", "spark.block_bytes=1048576"])
    settings = {
        "spark.sql.execution.arrow.maxRecordsPerBatch": "5",
        "spark.sql.files.openCostInBytes": "16777216",
        "spark.sql.shuffle.partitions": "7",
        "spark.sql.adaptive.enabled": "false",
    }
    before = {key: spark.conf.get(key) for key in settings}
    try:
        for key, value in settings.items():
            spark.conf.set(key, value)
        run_detect(spark, config, moved, dump.reference, tmp_path / "out")
    finally:
        for key, value in before.items():
            spark.conf.set(key, value)
    plain, other = verdicts_of(out), verdicts_of(tmp_path / "out")
    assert {row["image_id"]: without_path(row) for row in plain.values()} == {
        row["image_id"]: without_path(row) for row in other.values()
    }


def without_path(row):
    return {key: value for key, value in row.items() if key != "path"}


@pytest.mark.parametrize("usable", [0, 10])
def test_too_small_a_reference_set_leaves_images_unscored_with_the_reason(
    spark, small_config, dump, tmp_path, usable
):
    reference = tmp_path / "reference"
    reference.mkdir()
    (reference / "broken.png").write_text("no image")
    for name in sorted(os.listdir(dump.reference))[:usable]:
        shutil.copy(dump.reference / name, reference / name)
    summary = run_detect(spark, small_config, dump.images, reference, tmp_path / "out")
    assert summary["counts"]["unscored"] == 60
    reasons = {row["reason"] for row in verdicts_of(tmp_path / "out").values()}
    assert reasons == {f"too few reference images of 64 x 64 to calibrate: {usable}, needed 24"}


def test_nothing_in_common_flags_nothing(spark, small_config, dump, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    rng = np.random.default_rng(99)
    for k in range(20):
        save(images / f"{k}.png", picture(rng))
    summary = run_detect(spark, small_config, images, dump.reference, tmp_path / "out")
    assert summary["counts"]["real"] == 20
    row = verdicts_of(tmp_path / "out")["0.png"]
    assert (row["is_fake"], row["score"], row["threshold"]) == (False, None, None)
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "fingerprint was found among 20 images" in page


def test_an_empty_folder_is_refused(spark, small_config, dump, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoiseScopeError, match="holds no file"):
        run_detect(spark, small_config, tmp_path / "empty", dump.reference, tmp_path / "out")


def test_a_stage_before_its_turn_says_so(spark, small_config, tmp_path):
    from noisescope_core.spark.session.progress import Progress
    from noisescope_core.spark.stages.paper.correlate import correlate
    from noisescope_core.spark.tables.run import Run

    with pytest.raises(NoiseScopeError, match="no finished table 'residuals'"):
        correlate(
            Run(spark, str(tmp_path)), small_config, Progress(spark, Console(file=io.StringIO()))
        )


def test_a_folder_of_someone_else_is_never_removed(spark, tmp_path):
    from noisescope_core.errors import UsageError
    from noisescope_core.spark.tables.run import Run

    (tmp_path / "files").mkdir()
    (tmp_path / "files/thesis.doc").write_text("years of work")
    with pytest.raises(UsageError, match="take another --out"):
        Run(spark, str(tmp_path)).begin("", {})
    assert (tmp_path / "files/thesis.doc").exists()
