"""What a run that died has finished is kept, where it is the same run that is asked for again."""

import os

import pytest

from noisescope_core.cli.stage import stage_command
from noisescope_core.config import Config

pytest.importorskip("pyspark")

from noisescope_core.spark.stages.detect import stages, started_with
from noisescope_core.spark.stages.paper.correlate import correlate
from noisescope_core.spark.tables.run import UNFINISHED, Run
from noisescope_core.tables.schemas import SCHEMAS


def begun(run, config, images="/images", reference="/reference", route="pairs"):
    """Begin a run; the names of the stages that it keeps."""
    todo = stages(config, route, images, reference)
    tables = {name: tables for name, (_, tables) in todo.items()}
    return list(run.begin(started_with(config, images, reference), tables))


@pytest.fixture
def died(tmp_path):
    """A run that died when all tables were finished."""
    run = Run(None, str(tmp_path))
    assert begun(run, Config()) == []
    for _, tables in stages(Config(), "pairs", "", "").values():
        for table in tables:
            (tmp_path / table).mkdir()
            (tmp_path / table / "_SUCCESS").touch()
    return run


def test_a_stage_counts_as_finished_by_all_its_tables():
    written = set()
    for method, route in (
        ("paper", "pairs"), ("whitened", "pairs"), ("whitened", "spectral"), ("whitened", "shards")
    ):  # fmt: skip
        every = stages(Config(method=method), route, "", "").values()
        tables = [table for _, stage in every for table in stage]
        assert len(tables) == len(set(tables))
        written |= set(tables)
    assert written == set(SCHEMAS) - {"arrivals", "listed", "tested"}  # of scheduled scans


def test_of_shards_the_headers_and_the_sample_are_kept(died, tmp_path):
    for table in ("headers", "candidates", "sample"):
        (tmp_path / table).mkdir()
        (tmp_path / table / "_SUCCESS").touch()
    kept = ["extract", "calibrate", "sample", "correlate", "cluster"]
    assert begun(died, Config(), route="shards") == kept


@pytest.mark.parametrize(
    ("unfinished", "kept"),
    [
        ("reference_residuals", []),
        ("calibration", ["extract"]),
        ("clusters", ["extract", "calibrate", "correlate"]),
        ("verdicts", ["extract", "calibrate", "correlate", "cluster"]),
    ],
)
def test_nothing_is_kept_after_the_first_unfinished_table(died, tmp_path, unfinished, kept):
    (tmp_path / unfinished / "_SUCCESS").unlink()
    (tmp_path / unfinished / "_temporary").mkdir()
    assert begun(died, Config()) == kept
    tables = [t for name, (_, t) in stages(Config(), "pairs", "", "").items() if name in kept]
    assert sorted(os.listdir(tmp_path)) == sorted([*sum(tables, ()), UNFINISHED])
    assert begun(died, Config()) == kept


def test_settings_of_spark_and_report_and_the_way_to_a_folder_make_no_other_run(died, tmp_path):
    spark, report = {"conf": {"spark.hadoop.fs.s3a.secret.key": "hush"}}, {"thumbnails": 3}
    config = Config(spark=spark, report=report)
    every = [name for name, (_, tables) in stages(config, "pairs", "", "").items() if tables]
    assert begun(died, config, images=os.path.relpath("/images")) == every
    assert "hush" not in (tmp_path / UNFINISHED).read_text()


@pytest.mark.parametrize(
    "other",
    [
        {"config": Config(seed=1)},
        {"config": Config(method="paper")},
        {"config": Config(), "images": "/images/2"},
        {"config": Config(), "reference": "s3a://bucket/reference"},
    ],
)
def test_another_run_begins_anew(died, tmp_path, other):
    assert begun(died, **other) == []
    assert os.listdir(tmp_path) == [UNFINISHED]


def test_another_version_begins_anew(died, tmp_path, monkeypatch):
    monkeypatch.setattr("noisescope_core.spark.stages.detect.__version__", "0.0.9")
    assert begun(died, Config()) == []
    assert os.listdir(tmp_path) == [UNFINISHED]


def test_a_mark_that_was_half_written_and_a_finished_run_are_not_continued(died, tmp_path):
    mark = tmp_path / UNFINISHED
    for text in (mark.read_text()[:40], None):
        mark.unlink()
        if text is not None:
            mark.write_text(text)
        assert begun(died, Config()) == []
        assert os.listdir(tmp_path) == [UNFINISHED]


def test_a_stage_by_itself_leaves_nothing_to_continue(spark, died, tmp_path):
    with pytest.raises(SystemExit):
        stage_command(correlate).main(["--out", str(tmp_path)])
    assert not (tmp_path / UNFINISHED).exists()
