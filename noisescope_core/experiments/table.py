"""The table of trials: one row per trial, draw, condition and method; all else is drawn from it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from noisescope_core.errors import UsageError, first_line

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("experiment", pa.string()),
        ("about", pa.string()),
        ("trial", pa.string()),
        ("published", pa.string()),
        ("trial_number", pa.int32()),
        ("condition_number", pa.int32()),
        ("method_number", pa.int32()),
        ("side", pa.int32()),
        ("files", pa.string()),
        ("attack", pa.string()),
        ("strength", pa.float64()),
        ("defence", pa.string()),
        ("method", pa.string()),
        ("draw", pa.int32()),
        ("generators", pa.int32()),
        ("generated", pa.int32()),
        ("photographs", pa.int32()),
        ("reference", pa.int32()),
        ("undecided", pa.bool_()),
        ("tp", pa.int32()),
        ("fp", pa.int32()),
        ("fn", pa.int32()),
        ("tn", pa.int32()),
        ("precision", pa.float64()),
        ("recall", pa.float64()),
        ("f1", pa.float64()),
        ("fingerprints", pa.int32()),
        ("other", pa.int32()),
        ("given_right", pa.float64()),
        ("sources", pa.list_(pa.string())),
        ("recalls", pa.list_(pa.float64())),
        ("purity", pa.float64()),
        ("discovered", pa.float64()),
        ("unscored", pa.int32()),
        ("auc", pa.float64()),
        ("recall_5", pa.float64()),
        ("recall_1", pa.float64()),
        ("psnr", pa.float64()),
        ("ssim", pa.float64()),
        ("ready_seconds", pa.float64()),
        ("seconds", pa.float64()),
        ("pictures", pa.list_(pa.binary())),
        ("versions", pa.string()),
        ("finished", pa.timestamp("us", tz="UTC")),
    ]
)
"""Columns, described in docs/experiments.md."""

FOLDER = "trials"
"""Of the table, below the folder of an experiment."""


def append(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows: one file, there as a whole or not at all."""
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{rows[0]['key']}.parquet"
    half = folder / f".{file.name}.{os.getpid()}"
    pq.write_table(pa.Table.from_pylist(list(rows), SCHEMA), half)
    half.replace(file)


def read(out: Path) -> pa.Table:
    """Read the table; no row where there is none.

    Raises
    ------
    UsageError
        If a file of it cannot be read.
    """
    files = sorted((out / FOLDER).glob("[!.]*.parquet"))
    if not files:
        return SCHEMA.empty_table()
    try:
        return ds.dataset(files, SCHEMA, format="parquet").to_table()
    except (OSError, pa.ArrowInvalid) as error:
        raise UsageError(f"{out / FOLDER}: cannot be read ({first_line(error)})") from error
