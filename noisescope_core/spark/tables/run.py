"""A run directory: its tables are read, written, continued and removed. See docs/tables.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from noisescope_core.errors import NoiseScopeError, UsageError
from noisescope_core.spark.session.start import ROWS_PER_BATCH
from noisescope_core.tables.rows import FileRow, cells_by_name
from noisescope_core.tables.schemas import SCHEMAS, arrow_schema, types_in
from noisescope_core.tables.storage import content, file_system, with_retries

NOISE_COLUMNS = {"residual", "tile", "products"}
"""Columns of noise, which does not compress; trying costs a third of a table's write."""

FEW = 20_000
"""Rows up to which the driver reads them past Spark's JVM; chosen: so many are read sooner than
Spark plans to."""

UNFINISHED = "unfinished.json"
"""File that holds what a run was started with; it is there until the run is finished."""


@dataclass(frozen=True)
class Run:
    """A run directory: a local path, a mounted path or a cloud URI.

    Every table is a directory of Parquet files below it; a table that lacks its success marker
    was never finished and is not read.
    """

    spark: SparkSession
    location: str

    def path(self, name: str) -> str:
        """Where a table or file of the run lies."""
        return f"{self.location.rstrip('/')}/{name}"

    def write(self, name: str, table: DataFrame) -> None:
        """Write a table whole, in place of an earlier one, with the schema of `SCHEMAS`."""
        self._write(name, table, "overwrite")

    def append(self, name: str, table: DataFrame) -> None:
        """Add rows to a table."""
        self._write(name, table, "append")

    def _write(self, name: str, table: DataFrame, mode: str) -> None:
        declared = types_in(SCHEMAS[name])
        columns = [F.col(column).cast(kind).alias(column) for column, kind in declared.items()]
        writer = table.select(*columns).write.mode(mode)
        if NOISE_COLUMNS.intersection(declared):
            writer = writer.option("compression", "none").option(
                "parquet.enable.dictionary", "false"
            )
        writer.parquet(self.path(name))

    def write_rows(self, name: str, rows: Iterable[Any]) -> None:
        """Write a table whole, as one file, of rows made on the driver, past Spark's JVM.

        Parameters
        ----------
        rows : dataclasses of `noisescope_core.tables.rows`, or mappings with the same names
        """
        schema = arrow_schema(SCHEMAS[name])
        table = pa.Table.from_pylist([dict(cells_by_name(row)) for row in rows], schema)
        self.remove(name)
        system, path = file_system(self.path(name))
        system.create_dir(path, recursive=True)
        pq.write_table(table, f"{path}/part-00000.parquet", filesystem=system)
        self.write_text(f"{name}/_SUCCESS", "")

    def read(self, name: str) -> DataFrame:
        """Read a table; columns that the version which wrote it did not know are null.

        Raises
        ------
        NoiseScopeError
            If the stage that writes it has not finished.
        """
        self._check_finished(name)
        return self.spark.read.schema(SCHEMAS[name]).parquet(self.path(name))

    def batches(
        self, name: str, where: ds.Expression, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Read rows that only the driver needs, past Spark's JVM; raises as `read` does."""
        wanted = None if columns is None else list(columns)
        yield from self._dataset(name).to_batches(wanted, where, batch_size=ROWS_PER_BATCH)

    def rows(
        self, name: str, *columns: str, where: ds.Expression | None = None
    ) -> list[dict[str, Any]]:
        """Read a small table, or a part of it, past Spark's JVM; raises as `read` does."""
        wanted = list(columns) or None
        table = with_retries(lambda: self._dataset(name).to_table(wanted, where))
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows

    def count(self, name: str, where: ds.Expression | None = None) -> int:
        """Count rows past Spark's JVM; raises as `read` does."""
        return int(with_retries(lambda: self._dataset(name).count_rows(filter=where)))

    def _dataset(self, name: str) -> ds.Dataset:
        self._check_finished(name)
        system, path = file_system(self.path(name))
        # Declared, so that a table which lacks a column reads as it does where Spark reads it.
        return ds.dataset(path, arrow_schema(SCHEMAS[name]), filesystem=system, format="parquet")

    def _check_finished(self, name: str) -> None:
        if self.finished(name) is None:
            raise NoiseScopeError(
                f"{self.location}: no finished table '{name}', run the stage that writes it first"
            )

    def begin(self, started_with: str, stages: Mapping[str, Sequence[str]]) -> dict[str, datetime]:
        """Continue the run that died here if it is the same; remove all else of earlier runs.

        Parameters
        ----------
        started_with : all that decides what the tables will hold
        stages : name of each stage, in order, to the tables that it writes

        Returns
        -------
        dict
            The stages that are kept, from the first one on, and when each was finished.

        Raises
        ------
        UsageError
            If the location cannot be written to.
        """
        kept: dict[str, datetime] = {}
        whole: set[str] = set()
        try:
            same = self.text(UNFINISHED) == started_with
            if same:
                for stage, tables in stages.items():
                    written = [time for time in map(self.finished, tables) if time]
                    if len(written) < len(tables):
                        break
                    if tables:
                        kept[stage] = max(written)
                    whole.update(tables)
            else:
                # First, so that tables half removed are never continued from.
                self.remove(UNFINISHED)
            for name in (*SCHEMAS, "summary.json", "report.html"):
                if name not in whole:
                    self.remove(name)
            if not same:
                self.write_text(UNFINISHED, started_with)
        except OSError as error:
            raise UsageError(f"{self.location}: cannot be written to ({error})") from error
        return kept

    def finished(self, table: str) -> datetime | None:
        """When a table was finished; None if it was not."""
        system, path = file_system(self.path(f"{table}/_SUCCESS"))
        written: datetime | None = system.get_file_info(path).mtime
        return written

    def remove(self, name: str) -> None:
        """Remove a table or file of the run, if it is there."""
        system, path = file_system(self.path(name))
        kind = system.get_file_info(path).type
        if kind == fs.FileType.Directory:
            _check_is_table(system, path)
            system.delete_dir(path)
        elif kind == fs.FileType.File:
            system.delete_file(path)

    def write_text(self, name: str, text: str) -> None:
        """Write a file of the run, such as summary.json."""
        system, path = file_system(self.path(name))
        system.create_dir(path.rsplit("/", 1)[0], recursive=True)
        with system.open_output_stream(path) as stream:
            stream.write(text.encode("utf-8"))

    def text(self, name: str) -> str | None:
        """Read a file of the run; None if it is not there."""
        system, path = file_system(self.path(name))
        if system.get_file_info(path).type != fs.FileType.File:
            return None
        return content(system, path).decode("utf-8", "replace")

    def remove_whole(self) -> None:
        """Remove the run directory with all that is in it."""
        system, path = file_system(self.location)
        if system.get_file_info(path).type == fs.FileType.Directory:
            system.delete_dir(path)


def files_of(run: Run) -> list[FileRow]:
    """Read the table `files`; raises as `Run.read` does."""
    return [FileRow(**row) for row in run.rows("files")]


def folders_in(location: str) -> list[str]:
    """Names of the folders in a folder, in order; none if it is not there."""
    system, path = file_system(location)
    entries = system.get_file_info(fs.FileSelector(path, allow_not_found=True))
    return sorted(entry.base_name for entry in entries if entry.type == fs.FileType.Directory)


def bytes_of(location: str) -> int | None:
    """Bytes of a file; None if it is not there."""
    system, path = file_system(location)
    info = system.get_file_info(path)
    return int(info.size) if info.type == fs.FileType.File else None


def _check_is_table(system: fs.FileSystem, path: str) -> None:
    for entry in system.get_file_info(fs.FileSelector(path)):
        if not entry.base_name.startswith(("part-", "_", ".")):
            raise UsageError(
                f"{path}: holds {entry.base_name}, which is no table of an earlier run; "
                "take another --out"
            )
