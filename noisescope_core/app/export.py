"""The verdicts of a run as a text file: CSV for people, a line of JSON a file for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import BinaryIO, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from noisescope_core.app.places import replaced
from noisescope_core.tables.results import Results
from noisescope_core.tables.schemas import SCHEMAS, arrow_schema
from noisescope_core.tables.streams import in_order

Format = Literal["csv", "jsonl"]
"""What `export` writes."""

FORMULA = r"^[=+\-@\t\r]"
"""How texts begin that spreadsheets take for formulas."""


def export(results: Results, out: str | Path | BinaryIO, kind: Format = "csv") -> tuple[int, int]:
    """Write the table `verdicts`: one row a file, in the order of their paths.

    `path` is written as it came. In CSV the other texts, which may be what a file says of itself,
    get an apostrophe before what a spreadsheet would take for a formula.

    Parameters
    ----------
    results : a finished run
    out : local file, which is there once it is whole; or an open stream
    kind : `csv`, UTF-8 with a header, null as an empty cell; or `jsonl`

    Returns
    -------
    How many rows, and how many of their paths a spreadsheet would take for formulas.

    Raises
    ------
    UsageError
        If the file cannot be written, or the run has no verdicts.
    """
    if isinstance(out, str | Path):
        with replaced(out, "--out") as stream:
            return export(results, stream, kind)
    rows = formulas = 0
    text = _csv if kind == "csv" else _jsonl
    if kind == "csv":
        out.write(_csv(arrow_schema(SCHEMAS["verdicts"]).empty_table(), header=True))
    for table in in_order(results.streams("verdicts"), "path"):
        out.write(text(table))
        rows += len(table)
        formulas += pc.sum(pc.match_substring_regex(table["path"], FORMULA), min_count=0).as_py()
    return rows, formulas


def _csv(table: pa.Table, header: bool = False) -> bytes:
    for number, field in enumerate(table.schema):
        if field.name != "path" and pa.types.is_string(field.type):
            texts = pc.replace_substring_regex(table[field.name], f"({FORMULA})", r"'\1")
            table = table.set_column(number, field, texts)
    sink = pa.BufferOutputStream()
    csv.write_csv(table, sink, csv.WriteOptions(include_header=header))
    return bytes(sink.getvalue())


def _jsonl(table: pa.Table) -> bytes:
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist())
    return "".join(lines).encode()
