"""Batches of an experiment side by side: a Spark task each, their rows back to the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from noisescope_core.experiments.definition import Experiment
from noisescope_core.experiments.pictures import SetFiles
from noisescope_core.experiments.run import Answers, Batch, answered
from noisescope_core.experiments.table import SCHEMA
from noisescope_core.spark.session.workers import map_batches, one_task

AT_ONCE = 64
"""Batches handed to Spark at once; it runs as many as it has room for."""

Row = dict[str, Any]


def on_executors(spark: SparkSession, experiment: Experiment, files: SetFiles) -> Answers:
    """Work batches off on executors, which must see the files under the same paths."""
    files = {name: [file.absolute() for file in paths] for name, paths in files.items()}

    def rows_of(batch: Batch) -> list[Row]:
        one = spark.createDataFrame([(str(batch),)], "batch string").coalesce(1)
        made = map_batches(one, _worker(experiment, files, batch), from_arrow_schema(SCHEMA))
        rows: list[Row] = made.toArrow().cast(SCHEMA).to_pylist()
        return rows

    def work(todo: Sequence[Batch]) -> Iterator[tuple[Batch, list[Row] | Exception]]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            asked = {pool.submit(rows_of, batch): batch for batch in todo}
            for done in as_completed(asked):
                failed = done.exception()
                yield asked[done], failed if isinstance(failed, Exception) else done.result()

    return work


def _worker(
    experiment: Experiment, files: SetFiles, batch: Batch
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def work(told: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        if not sum(part.num_rows for part in told):
            return
        with one_task() as threads:
            for rows in answered(experiment, files, batch, threads):
                yield from pa.Table.from_pylist(rows, SCHEMA).to_batches()

    return work
