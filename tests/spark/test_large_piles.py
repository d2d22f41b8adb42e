"""Piles that are too large for all pairs: both routes on Spark, and the plan that chooses."""

import io
import json

import numpy as np
import pyarrow.dataset as ds
import pytest
from rich.console import Console

from noisescope_core.config import load_config
from noisescope_core.images.formats import DAMAGED
from tests.conftest import SMALL, picture, save
from tests.runs import run_detect, verdicts_of

pytest.importorskip("pyspark")

SETTINGS = (
    *[s for s in SMALL if s.startswith("spark.")],
    "method=whitened",
    "discovery.images=80",
    "discovery.shard_images=70",
    "discovery.shard_reference=60",
)


FIRST, FAKES, FILES = 32, 70, 183
"""Pictures with the first pattern, with either, and files in all: text, half a picture, a copy."""


@pytest.fixture(scope="module")
def pile(tmp_path_factory):
    """180 pictures, 32 and 38 of them with one of two patterns, a broken file, and a reference."""
    folder = tmp_path_factory.mktemp("pile")
    (folder / "images").mkdir()
    (folder / "reference").mkdir()
    rng = np.random.default_rng(11)
    patterns = rng.normal(0, 1.2, (2, 64, 64, 3))
    for k in range(180):
        pixels = picture(rng)
        if k < FAKES:
            pixels = pixels + patterns[int(k >= FIRST)]
        save(folder / "images" / f"{k:03d}.png", pixels)
    whole = (folder / "images" / "100.png").read_bytes()
    (folder / "images" / "copy.png").write_bytes(whole)
    (folder / "images" / "half.png").write_bytes(whole[:4000])
    (folder / "images" / "text.png").write_bytes(b"no image")
    for k in range(110):
        save(folder / "reference" / f"{k:03d}.png", picture(rng))
    return folder


@pytest.fixture(scope="module")
def runs(spark, pile, tmp_path_factory):
    found = {}
    for route in ("pairs", "spectral", "shards"):
        out = tmp_path_factory.mktemp(route)
        settings = [*SETTINGS, f"discovery.route={route}"]
        if route == "pairs":
            settings.append("discovery.images=2000")
        config = load_config(None, settings)
        summary = run_detect(spark, config, pile / "images", pile / "reference", out)
        found[route] = (out, summary)
    return found


@pytest.mark.parametrize("route", ["spectral", "shards"])
def test_finds_what_all_pairs_find(runs, route):
    exact, linear = verdicts_of(runs["pairs"][0]), verdicts_of(runs[route][0])
    assert sorted(exact) == sorted(linear)
    different = [n for n in exact if exact[n]["is_fake"] != linear[n]["is_fake"]]
    assert len(different) <= 0.005 * len(exact)
    assert {n for n in linear if linear[n]["is_fake"]} == {f"{k:03d}.png" for k in range(FAKES)}
    for first, last in ((0, FIRST), (FIRST, FAKES)):
        assert len({linear[f"{k:03d}.png"]["fingerprint_id"] for k in range(first, last)}) == 1
    summary = runs[route][1]
    assert summary["route"] == route
    assert summary["counts"]["files"] == FILES


@pytest.mark.parametrize("route", ["pairs", "spectral", "shards"])
def test_every_file_has_one_verdict_with_the_same_reason(runs, route):
    rows = ds.dataset(runs[route][0] / "verdicts").to_table().to_pylist()
    assert len({row["path"] for row in rows}) == len(rows) == FILES
    told = {row["path"].rsplit("/", 1)[-1]: (row["status"], row["reason"]) for row in rows}
    assert told["half.png"] == ("quarantined", DAMAGED)
    assert told["text.png"] == ("quarantined", "not an image, or of a format that is not supported")
    by_name = verdicts_of(runs[route][0])
    assert by_name["copy.png"]["score"] == by_name["100.png"]["score"]


def test_shards_store_no_residual_but_of_the_sample(runs):
    out, _ = runs["shards"]
    sample = ds.dataset(out / "sample").to_table().to_pylist()
    stored = ds.dataset(out / "residuals").to_table(["path"]).to_pylist()
    assert sorted(row["path"] for row in stored) == sorted(row["path"] for row in sample)
    assert len(sample) == 80
    # The file cut short has a header, so it counts until it is decoded.
    assert sum(row["stands_for"] for row in sample) == pytest.approx(FILES - 2)
    scans = ds.dataset(out / "scans").to_table().to_pylist()
    fakes = {row["path"] for row in scans if row["thumbnail"]}
    assert fakes == {r["path"] for r in ds.dataset(out / "verdicts").to_table().to_pylist()
                     if r["is_fake"]}  # fmt: skip
    page = (out / "report.html").read_text(encoding="utf-8")
    assert f"{FAKES} of {FILES - 2} images carry" in page


@pytest.mark.parametrize("route", ["spectral", "shards"])
def test_cuts_change_no_verdict(runs, pile, spark, tmp_path, route):
    settings = [*SETTINGS, f"discovery.route={route}", "spark.batch_bytes=65536"]
    spark.conf.set("spark.sql.shuffle.partitions", "3")
    try:
        run_detect(
            spark, load_config(None, settings), pile / "images", pile / "reference", tmp_path
        )
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", "4")
    assert verdicts_of(tmp_path) == verdicts_of(runs[route][0])


def test_known_fingerprints_are_looked_for_in_one_pass(runs, spark, pile, tmp_path):
    from noisescope_core.spark.session.progress import Progress
    from noisescope_core.spark.stages.known import find_known
    from noisescope_core.spark.tables.run import Run

    config = load_config(None, SETTINGS)
    progress = Progress(spark, Console(file=io.StringIO()))
    known = str(runs["pairs"][0])
    find_known(Run(spark, str(tmp_path)), config, progress, str(pile / "images"), known)
    assert verdicts_of(tmp_path) == verdicts_of(runs["pairs"][0])
    assert not (tmp_path / "residuals").exists()


def test_the_plan_says_what_detect_then_does(runs, spark, pile, capsys):
    from noisescope_core.cli.plan import show_plan
    from noisescope_core.spark.plan import plan

    folders = str(pile / "images"), str(pile / "reference")
    planned = plan(spark, load_config(None, [*SETTINGS, "discovery.route=shards"]), *folders)
    assert (planned["files"], planned["route"]) == (FILES, "shards")
    (size,) = planned["sizes"]
    assert (size["images"], size["reference"], size["shards"]) == (FILES - 1, 110, 3)
    stages = [stage["stage"] for stage in size["stages"]]
    assert stages == ["headers", "reference", "shards", "cluster", "score"]
    done = runs["shards"][1]["sizes"][0]
    assert (done["images"], done["pairs"]) == (FILES - 2, size["pairs"])
    assert json.loads(json.dumps(planned))["sizes"][0]["stages"]
    show_plan(planned)
    said = capsys.readouterr().out
    assert f"{FILES} files" in said
    assert f"Route shards: {FILES - 1} images, more than all pairs can serve (80)" in " ".join(
        said.split()
    )
    assert all(stage in said for stage in stages)
    exact = plan(spark, load_config(None, [*SETTINGS, "discovery.images=2000"]), *folders)
    assert exact["route"] == "pairs"
    assert exact["sizes"][0]["pairs"] == 292 * 291 // 2
