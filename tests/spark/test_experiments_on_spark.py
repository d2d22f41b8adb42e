"""Experiments whose batches run on Spark's executors."""

import pytest

from noisescope_core.experiments.definition import load_experiment
from noisescope_core.experiments.pictures import find_files
from noisescope_core.experiments.run import run_experiment
from noisescope_core.experiments.table import SCHEMA, read
from tests.experiment_files import silent, written

pytest.importorskip("pyspark")


def test_batches_side_by_side_on_spark_give_the_same_answers(spark, tmp_path, experiment_sets):
    from noisescope_core.spark.experiments import on_executors

    experiment = load_experiment(written(tmp_path, files=["as found", "saved again"]))
    run_experiment(experiment, find_files(experiment, experiment_sets), tmp_path / "here", silent)
    answers = on_executors(spark, experiment, find_files(experiment, experiment_sets))
    run_experiment(
        experiment, find_files(experiment, experiment_sets), tmp_path / "there", silent, answers
    )

    def told(out):
        columns = [
            name for name in SCHEMA.names if name not in ("seconds", "ready_seconds", "finished")
        ]
        rows = read(out).select(columns).to_pylist()
        return sorted(rows, key=lambda row: row["key"])

    assert told(tmp_path / "there") == told(tmp_path / "here")
    assert len(told(tmp_path / "here")) == 8
