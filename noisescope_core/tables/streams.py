"""Tables read batch by batch: memory is bounded whatever their rows and files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from noisescope_core.errors import NoiseScopeError, first_line
from noisescope_core.tables.storage import file_system

ROWS = 4096
"""Most rows of a batch: chosen, some hundred kilobytes of verdicts."""

BUFFER = 1 << 16
"""Bytes of a column that are fetched at once: chosen. Without a bound a file's rows are read whole,
which Spark writes as one group."""

AT_ONCE = 32
"""Most files that are merged at once: chosen. Each holds a page of every column, some megabytes."""

Batches = Iterator[pa.RecordBatch]
"""A table, or a file of it."""


def file_streams(location: str, schema: pa.Schema, whole: bool = False) -> list[Batches]:
    """Open the Parquet files of a folder, each as a stream; a file is opened when it is read.

    Parameters
    ----------
    location : path or URI of the folder, or of one file
    schema : of the batches; columns that a file lacks are null
    whole : whether the table must have them all

    Raises
    ------
    ValueError
        If it has no file, or lacks columns that it must have.
    NoiseScopeError
        When a file is read that cannot be.
    """
    system, path = file_system(location)
    stored = ds.dataset(path, filesystem=system, format="parquet")
    missing = [name for name in schema.names if name not in stored.schema.names]
    if whole and missing:
        raise ValueError(f"no column {', '.join(missing)}" if stored.files else "no Parquet file")
    return [_file_stream(system, file, schema) for file in sorted(stored.files)]


def _file_stream(system: fs.FileSystem, file: str, schema: pa.Schema) -> Batches:
    try:
        with pq.ParquetFile(file, filesystem=system, buffer_size=BUFFER) as stored:
            there = [name for name in schema.names if name in stored.schema_arrow.names]
            for batch in stored.iter_batches(ROWS, columns=there, use_threads=False):
                yield with_schema(batch, schema)
    except (OSError, pa.ArrowException) as error:
        raise NoiseScopeError(f"{file}: cannot be read ({first_line(error)})") from error


def with_schema(table: pa.RecordBatch | pa.Table, schema: pa.Schema) -> pa.RecordBatch | pa.Table:
    """Bring a batch or table to a schema; columns that it lacks are null, others are left out."""
    arrays = [
        table[field.name].cast(field.type)
        if field.name in table.schema.names
        else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return type(table).from_arrays(arrays, schema=schema)


def in_order(streams: Sequence[Batches], column: str) -> Iterator[pa.Table]:
    """Merge streams that are sorted by a column of strings into one that is.

    Above `AT_ONCE` streams, that many at a time are first merged into files of the folder of
    temporary files, which take the place of the table, uncompressed.

    Parameters
    ----------
    streams : of the same schema, each in order of UTF-8 bytes, without nulls in the column
    """
    with tempfile.TemporaryDirectory(prefix="noisescope-") as folder:
        level = 0
        while len(streams) > AT_ONCE:
            groups = [streams[k : k + AT_ONCE] for k in range(0, len(streams), AT_ONCE)]
            streams = [
                _kept(_merged(group, column), Path(folder, f"{level}-{number}"))
                for number, group in enumerate(groups)
            ]
            level += 1
        yield from _merged(streams, column)


def _kept(tables: Iterator[pa.Table], file: Path) -> Batches:
    """Write tables to a file, and give it as a stream that removes it at its end."""
    first = next(tables, None)
    if first is None:
        return iter(())
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, first.schema) as writer:
        writer.write_table(first, ROWS)
        for table in tables:
            writer.write_table(table, ROWS)
    return _read_kept(file)


def _read_kept(file: Path) -> Batches:
    with pa.OSFile(str(file), "rb") as source:
        yield from pa.ipc.open_stream(source)
    file.unlink()


def _merged(streams: Sequence[Batches], column: str) -> Iterator[pa.Table]:
    """Merge batch by batch: what is not above the least of the batches' ends is whole."""
    heads = [(batch, stream) for stream in streams if (batch := _next(stream)) is not None]
    while heads:
        bound = min(batch[column][-1].as_py() for batch, _ in heads)
        taken, left = [], []
        for batch, stream in heads:
            count = _not_above(batch[column], bound)
            taken.append(batch.slice(0, count))
            rest: pa.RecordBatch | None = batch.slice(count)
            if count == len(batch):
                rest = _next(stream)
            if rest is not None:
                left.append((rest, stream))
        yield pa.Table.from_batches(taken).sort_by(column)
        heads = left


def _next(stream: Batches) -> pa.RecordBatch | None:
    return next((batch for batch in stream if len(batch)), None)


def _not_above(values: pa.StringArray, bound: str) -> int:
    """Count the first values that are not above a bound; they are sorted."""
    return int(np.count_nonzero(pc.less_equal(values, bound)))
