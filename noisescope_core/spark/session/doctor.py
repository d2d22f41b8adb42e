"""The doctor's part that needs Spark: start it, and read and write where a run would."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from noisescope_core.app.doctor import Finding
from noisescope_core.config import Config
from noisescope_core.errors import NoiseScopeError, first_line
from noisescope_core.residual import noise_residual
from noisescope_core.spark.session.start import session_settings, start_session, stop_session
from noisescope_core.spark.session.workers import map_batches, one_task
from noisescope_core.spark.sources.files import spark_files
from noisescope_core.spark.tables.run import Run

ROWS = 1000
"""Rows that are sent through the workers: chosen, enough for every worker to get some."""

SIDE = 64
"""Pixels a side of the image that a worker takes the residual of: chosen, for speed."""

CLOUD_HELP = "see docs/cloud.md"
"""What to do where storage cannot be read or written."""


def examine_spark(
    config: Config, log: Path, read: Mapping[str, str], written: Mapping[str, str], delta: bool
) -> Iterator[Finding]:
    """Start a session as a run does, and try it.

    Parameters
    ----------
    log : file that takes what Spark's JVM prints
    read, written : option to folder or URI
    delta : whether what is written are Delta tables

    Yields
    ------
    Finding
        Of Spark, then of every option.
    """
    locations = [*read.values(), *written.values()]
    try:
        spark = start_session(config, log, delta=delta, locations=locations)
    except NoiseScopeError as error:
        yield Finding("Spark", "bad", str(error), f"see {log}")
        return
    with session_settings(spark, config) as refused:
        yield _workers(spark)
        if refused:
            yield Finding(
                "settings", "warning", f"refused by the session: {', '.join(sorted(refused))}",
                "verdicts are the same; tasks may take more memory or time",
            )  # fmt: skip
        for option, place in read.items():
            yield _readable(spark, option, place)
        for option, place in written.items():
            yield _writable(spark, option, place, delta)
    stop_session(spark)


def _workers(spark: SparkSession) -> Finding:
    """Check that workers have this package and that rows reach them and return by Arrow."""

    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with one_task():
            for batch in batches:
                noise_residual(np.zeros((SIDE, SIDE), np.uint8))
                yield batch

    try:
        count = map_batches(spark.range(ROWS), work, "id long").count()
    except Exception as error:
        mend = "install noisescope where the workers run, or spark-submit --py-files its wheel"
        return Finding("Spark", "bad", f"workers failed: {first_line(error)}", mend)
    if count != ROWS:
        return Finding("Spark", "bad", f"workers lost rows: {count} of {ROWS} came back")
    return Finding("Spark", "good", f"{spark.version}, workers answer")


def _readable(spark: SparkSession, option: str, place: str) -> Finding:
    try:
        first_file = spark_files(spark, place).select("path").limit(1).collect()
    except Exception as error:
        return Finding(option, "bad", f"{place}: {first_line(error)}", CLOUD_HELP)
    if not first_file:
        return Finding(option, "warning", f"{place}: holds no file")
    return Finding(option, "good", f"{place} can be read")


def _writable(spark: SparkSession, option: str, place: str, delta: bool) -> Finding:
    folder = f"{place.rstrip('/')}/_doctor_{uuid4().hex}"
    table_format = "delta" if delta else "parquet"
    try:
        spark.range(1).write.format(table_format).save(folder)
        spark.read.format(table_format).load(folder).count()
    except Exception as error:
        return Finding(option, "bad", f"{place}: {first_line(error)}", CLOUD_HELP)
    finally:
        Run(spark, folder).remove_whole()
    return Finding(option, "good", f"{place} can be written to")
