"""A session is left as it was found, and small batches do not depend on its settings."""

import pyarrow as pa
import pytest

from noisescope_core.config import load_config

pytest.importorskip("pyspark")

from noisescope_core.spark.session import workers
from noisescope_core.spark.session.doctor import examine_spark
from noisescope_core.spark.session.start import session_settings


def test_a_session_has_its_settings_back(spark):
    set_before = {"spark.sql.session.timeZone": "Asia/Tokyo", "spark.sql.shuffle.partitions": "7"}
    config = load_config(None, ("spark.conf.spark.sql.shuffle.partitions=3",))
    kept = spark.conf.getAll
    try:
        for key, setting in set_before.items():
            spark.conf.set(key, setting)
        spark.conf.unset("spark.sql.files.openCostInBytes")
        before = spark.conf.getAll
        with session_settings(spark, config) as refused:
            assert refused == {}
            assert spark.conf.get("spark.sql.session.timeZone") == "UTC"
            assert spark.conf.get("spark.sql.shuffle.partitions") == "3"
            assert spark.conf.get("spark.sql.files.openCostInBytes") == str(1 << 20)
        assert spark.conf.getAll == before
    finally:
        for key in (*set_before, "spark.sql.files.openCostInBytes"):
            spark.conf.set(key, kept[key])


def test_the_doctor_names_what_a_session_refuses(spark, monkeypatch, tmp_path):
    def refuse(conf, key, setting):
        raise RuntimeError(f"[CONFIG_NOT_AVAILABLE] Configuration {key} is not available.")

    monkeypatch.setattr(type(spark.conf), "set", refuse)
    # On a platform the session is not stopped.
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "18.0")
    found = list(examine_spark(load_config(), tmp_path / "log", {}, {}, delta=False))
    assert [(one.name, one.state) for one in found] == [("Spark", "good"), ("settings", "warning")]
    assert "spark.sql.execution.arrow.maxRecordsPerBatch" in found[1].found


def test_batches_are_cut_by_rows_and_by_bytes(monkeypatch):
    monkeypatch.setattr(workers, "ROWS_PER_BATCH", 4)
    monkeypatch.setattr(workers, "BYTES_PER_BATCH", 1000)
    of_small = pa.RecordBatch.from_pydict({"n": range(10)})
    of_large = pa.RecordBatch.from_pydict({"n": range(6), "cell": [b"x" * 400] * 6})
    cut = list(workers.small_batches([of_small, of_large, of_large.slice(0, 0)]))
    assert [len(batch) for batch in cut] == [4, 4, 2, 2, 2, 2]
    assert [n for batch in cut for n in batch["n"].to_pylist()] == [*range(10), *range(6)]


def test_a_worker_makes_a_value_once_and_keeps_the_last_few(monkeypatch):
    monkeypatch.setattr(workers, "_made", {})
    made = []
    values = [workers.once(lambda k=k: made.append(k) or k) for k in range(workers.KEPT + 1)]
    assert [value() for value in values[:-1] * 2] == [*range(workers.KEPT)] * 2
    assert made == [*range(workers.KEPT)]
    # One more takes the place of the earliest.
    assert [values[k]() for k in (-1, 1, 0)] == [workers.KEPT, 1, 0]
    assert made == [*range(workers.KEPT + 1), 0]
