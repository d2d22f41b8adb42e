"""A run through Spark and a pile in memory: the same fingerprints, the same verdicts."""

import pyarrow.dataset as ds
import pytest

from noisescope_core.config import load_config
from noisescope_core.in_memory import detect
from tests.conftest import SMALL

pytest.importorskip("pyspark")

ABOUT = ("score", "threshold", "confidence")
"""Columns of verdicts that sums in another order may change in the last digits."""


def contents(folder):
    return {str(file): file.read_bytes() for file in folder.iterdir()}


def rows_of(table, out):
    return ds.dataset(out / table).to_table().to_pylist()


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
