"""The registry of fingerprints as a file, for another deployment (docs/scheduled.md)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from noisescope_core.errors import UsageError, first_line
from noisescope_core.spark.scans.registry import STATES
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.tables.frames import frame
from noisescope_core.tables.rows import DecisionRow
from noisescope_core.tables.schemas import (
    LONG_LIVED,
    REGISTRY_FILE,
    REGISTRY_FILE_NEEDS,
    arrow_schema,
    names_in,
)
from noisescope_core.whitened.planes.bands import BANDS, PLANES, compared

FORMAT = b"noisescope.registry"
"""Metadata key of the file that names the version of its format."""

VERSION = b"1"
"""Version of the format that is written, and the only one that is read."""


def export_registry(store: Store, file: str) -> int:
    """Write the registry to one Parquet file: how many fingerprints."""
    columns = names_in(REGISTRY_FILE)
    rows = store.read("fingerprints").select(*columns).orderBy("fingerprint_id").collect()
    table = pa.Table.from_pylist([row.asDict() for row in rows], _file_schema())
    pq.write_table(table, file, compression="zstd")
    return len(rows)


def import_registry(store: Store, file: str, analyst: str, side: int) -> tuple[int, int]:
    """Take in the fingerprints of a file that another deployment wrote.

    Parameters
    ----------
    side : of the centre that is compared, pixels (`whitening.side`)

    Returns
    -------
    How many were new, and how many the registry has already; these stay as they are.

    Raises
    ------
    UsageError
        If it is no such file.
    """
    rows = _read(file, side)
    ids = store.read("fingerprints").select("fingerprint_id").collect()
    there = {row.fingerprint_id for row in ids}
    new = [row for row in rows if row["fingerprint_id"] not in there]
    if new:
        now = datetime.now(UTC).replace(tzinfo=None)
        decisions = [
            DecisionRow(
                fingerprint_id=row["fingerprint_id"], decided=now, state=row["state"],
                merged_into=row["merged_into"], note=row["note"], analyst=analyst,
            )
            for row in new
        ]  # fmt: skip
        spark = store.spark
        store.merge("fingerprints", frame(spark, new, LONG_LIVED["fingerprints"]))
        store.merge("decisions", frame(spark, decisions, LONG_LIVED["decisions"]))
    return len(new), len(rows) - len(new)


def _file_schema() -> pa.Schema:
    return arrow_schema(REGISTRY_FILE).with_metadata({FORMAT: VERSION})


def _read(file: str, side: int) -> list[dict[str, Any]]:
    """Read and check the rows of a file; raises as `import_registry` does."""
    try:
        table = pq.read_table(file)
        version = (table.schema.metadata or {}).get(FORMAT)
        if version is None:
            raise ValueError("no registry of this format")
        if version != VERSION:
            raise ValueError(f"format {version!r}")
        rows: list[dict[str, Any]] = table.cast(_file_schema()).to_pylist()
        for row in rows:
            _check_fingerprint(row, side)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise UsageError(f"{file}: cannot be imported ({first_line(error)})") from error
    return rows


def _check_fingerprint(row: dict[str, Any], side: int) -> None:
    """Raise ValueError if a fingerprint of a file cannot be one of ours."""
    name, width, height = row["fingerprint_id"], row["width"], row["height"]
    if row["state"] not in STATES:
        raise ValueError(f"{name}: state {row['state']!r}")
    if missing := [column for column in REGISTRY_FILE_NEEDS if row[column] is None]:
        raise ValueError(f"{name}: without {', '.join(missing)}")
    values = len(PLANES) * compared(height, width, side).values
    vectors: dict[str, tuple[NDArray[Any], int]] = {
        "pixels": (np.frombuffer(row["pixels"], np.float32), width * height),
        "whitened": (np.frombuffer(row["whitened"], np.float32), values),
        "weights": (np.array(row["weights"], np.float64), len(BANDS)),
        "centres": (np.array(row["centres"], np.float64), len(BANDS)),
    }
    for column, (vector, length) in vectors.items():
        if len(vector) != length or not np.isfinite(vector).all():
            raise ValueError(f"{name}: {column} are no {length:,} numbers of {width} x {height}")
