"""The columns of tables are declared once: rows made by hand and old tables are held to them."""

from dataclasses import fields

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from noisescope_core.errors import UsageError
from noisescope_core.tables import rows, schemas
from noisescope_core.tables.results import Results

TABLES = {
    rows.FileRow: schemas.SCHEMAS["files"],
    rows.RouteRow: schemas.SCHEMAS["route"],
    rows.CalibrationRow: schemas.SCHEMAS["calibration"],
    rows.ReferenceFingerprintRow: schemas.SCHEMAS["reference_fingerprints"],
    rows.SampleRow: schemas.SCHEMAS["sample"],
    rows.ClusterRow: schemas.SCHEMAS["clusters"],
    rows.MergingRow: schemas.SCHEMAS["merging"],
    rows.FingerprintRow: schemas.SCHEMAS["fingerprints"],
    rows.VerdictRow: schemas.SCHEMAS["verdicts"],
    rows.SizeRow: schemas.LONG_LIVED["sizes"],
    rows.DecisionRow: schemas.LONG_LIVED["decisions"],
    rows.LeaseRow: schemas.LONG_LIVED["lease"],
    rows.RunRow: schemas.LONG_LIVED["runs"],
}


def test_every_class_of_rows_is_held_to_a_table():
    classes = {name for name in vars(rows) if name.endswith("Row")}
    assert classes == {row.__name__ for row in TABLES}


@pytest.mark.parametrize("row", TABLES, ids=lambda row: row.__name__)
def test_the_fields_of_a_row_are_the_columns_of_its_table(row):
    assert [field.name for field in fields(row)] == schemas.names_in(TABLES[row])


def test_every_declared_column_has_a_type_in_arrow():
    for declared in (*schemas.SCHEMAS.values(), *schemas.LONG_LIVED.values()):
        assert schemas.arrow_schema(declared).names == schemas.names_in(declared)
    assert schemas.KEYS.keys() == schemas.LONG_LIVED.keys()
    for table, key in schemas.KEYS.items():
        assert set(key) <= set(schemas.long_lived_columns(table))


def test_what_a_registry_shows_and_needs_are_columns_of_it():
    assert set(schemas.REGISTRY_LIST) <= set(schemas.long_lived_columns("fingerprints"))
    for needs in schemas.REGISTRY_FILE_NEEDS.values():
        assert set(needs) <= set(schemas.names_in(schemas.REGISTRY_FILE))


def test_a_table_of_an_earlier_version_is_read_with_nulls(tmp_path):
    folder = tmp_path / "verdicts"
    folder.mkdir()
    results = Results(str(tmp_path), {})
    with pytest.raises(UsageError, match="has no finished table verdicts"):
        results.table("verdicts")
    pq.write_table(pa.table({"path": ["a"], "score": [1.0]}), folder / "part-0.parquet")
    (folder / "_SUCCESS").touch()
    assert results.table("verdicts", ("path", "confidence")).to_pylist() == [
        {"path": "a", "confidence": None}
    ]
    assert results.table("verdicts").column_names == schemas.columns("verdicts")


def test_the_files_of_a_run_are_read_as_they_were_written(tmp_path):
    run = pytest.importorskip("noisescope_core.spark.tables.run")
    files = [rows.FileRow("image", "pile", "pile/a.jpg"), rows.FileRow("image", "", "b", 3, "cut")]
    written = run.Run(None, str(tmp_path))
    written.write_rows("files", files)
    assert run.files_of(written) == files


def test_a_cell_that_is_no_column_is_refused():
    frames = pytest.importorskip("noisescope_core.spark.tables.frames")
    with pytest.raises(ValueError, match="no columns of the table: mood"):
        frames.frame(None, [{"owner": "a", "mood": "b"}], schemas.LONG_LIVED["lease"])
