"""Verdicts as text: every row once, in the order of paths, as it came."""

import csv
import json
import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from noisescope_core.app.export import export
from noisescope_core.errors import NoiseScopeError, UsageError
from noisescope_core.tables import streams
from noisescope_core.tables.results import Results
from noisescope_core.tables.schemas import SCHEMAS, arrow_schema, columns

SCHEMA = arrow_schema(SCHEMAS["verdicts"])


def verdicts(folder, files, schema=SCHEMA):
    """A run's table `verdicts`, a file for each list of rows."""
    (folder / "verdicts").mkdir()
    for number, rows in enumerate(files):
        table = pa.Table.from_pylist(sorted(rows, key=lambda row: row["path"].encode()), schema)
        pq.write_table(table, folder / f"verdicts/part-{number}.parquet")
    (folder / "verdicts/_SUCCESS").touch()
    return Results(str(folder), {})


def row(path, **cells):
    return dict.fromkeys(columns("verdicts")) | {"path": path, "status": "scored"} | cells


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@settings(max_examples=25)
@given(st.lists(st.lists(TEXT, max_size=6), max_size=9), st.integers(1, 3), st.integers(2, 3))
@example([["a\nb", '"', "ä,", "\U0001f600", "\uffff"], [], ["=1", ""]], 1, 2)
def test_every_row_is_there_once_in_the_order_of_paths(files, rows_at_once, files_at_once):
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(streams, "ROWS", rows_at_once)
        patch.setattr(streams, "AT_ONCE", files_at_once)
        results = verdicts(Path(folder), [[row(path) for path in paths] for paths in files])
        paths = sorted(path for paths in files for path in paths)
        for kind in ("csv", "jsonl"):
            assert export(results, f"{folder}/out", kind)[0] == len(paths)
            with open(f"{folder}/out", encoding="utf-8", newline="") as file:
                read = csv.DictReader(file) if kind == "csv" else map(json.loads, file)
                assert [cells["path"] for cells in read] == paths


def test_all_columns_are_there_null_where_an_earlier_version_had_none(tmp_path):
    kept = pa.schema([SCHEMA.field(name) for name in ("path", "score", "is_fake")])
    cells = row("a.png", score=0.1 + 0.2, is_fake=True)
    results = verdicts(tmp_path, [[cells]], kept)
    export(results, tmp_path / "out.jsonl", "jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text()) == cells | {"status": None}
    export(results, tmp_path / "out.csv")
    (read,) = csv.DictReader((tmp_path / "out.csv").open(encoding="utf-8"))
    assert list(read) == columns("verdicts")
    assert (float(read["score"]), read["is_fake"], read["camera"]) == (cells["score"], "true", "")


@pytest.mark.parametrize("first", "=+-@\t\r")
def test_only_paths_keep_what_a_spreadsheet_takes_for_a_formula(tmp_path, first):
    results = verdicts(tmp_path, [[row(f"{first}1", camera=f"{first}1", reason="a-b")]])
    assert export(results, tmp_path / "out.csv") == (1, 1)
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        (read,) = csv.DictReader(file)
    assert (read["path"], read["camera"], read["reason"]) == (f"{first}1", f"'{first}1", "a-b")


def test_a_file_is_replaced_whole_or_stays(tmp_path):
    results = verdicts(tmp_path, [[row("a.png")]])
    out = tmp_path / "new/verdicts.csv"
    export(results, out)
    before = out.read_bytes()
    (tmp_path / "verdicts/part-1.parquet").write_bytes(b"PAR1 no table PAR1")
    with pytest.raises(NoiseScopeError, match=r"part-1\.parquet: cannot be read"):
        export(results, out)
    assert out.read_bytes() == before and os.listdir(out.parent) == [out.name]
    with pytest.raises(UsageError, match="is a folder; name a file"):
        export(results, tmp_path)
