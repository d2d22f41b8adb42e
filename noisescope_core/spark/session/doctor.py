"""Start Spark and read and write where a run would, to see what is in the way."""

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
from noisescope_core.spark.session.start import start_session
from noisescope_core.spark.session.workers import one_task
from noisescope_core.spark.tables.run import Run


def examine_spark(
    config: Config, log: Path, read: Mapping[str, str], written: Mapping[str, str], delta: bool
) -> Iterator[Finding]:
    """Start a session as a run does, and try it.

    Parameters
    ----------
    read, written : option to folder or URI
    delta : whether Delta tables are needed
    """
    locations = [*read.values(), *written.values()]
    try:
        spark = start_session(config, log, delta=delta, locations=locations)
    except NoiseScopeError as error:
        yield Finding("Spark", "bad", str(error), f"see {log}")
        return
    yield _workers(spark)
    for option, place in read.items():
        yield _readable(spark, option, place)
    for option, place in written.items():
        yield _writable(spark, option, place, delta)
    spark.stop()


def _workers(spark: SparkSession) -> Finding:
    """See that workers have this package and that Arrow brings columns to them and back."""

    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with one_task():
            for batch in batches:
                noise_residual(np.zeros((64, 64), np.uint8))
                yield batch

    try:
        count = spark.range(1000).mapInArrow(work, "id long").count()
    except Exception as error:
        mend = "install noisescope where the workers run, or spark-submit --py-files its wheel"
        return Finding("Spark", "bad", f"workers failed: {first_line(error)}", mend)
    if count != 1000:
        return Finding("Spark", "bad", f"workers lost rows: {count} of 1000 came back")
    return Finding("Spark", "good", f"{spark.version}, workers answer")


def _readable(spark: SparkSession, option: str, place: str) -> Finding:
    files = spark.read.format("binaryFile").option("recursiveFileLookup", True)
    try:
        found = files.load(place).select("path").limit(1).collect()
    except Exception as error:
        return Finding(option, "bad", f"{place}: {first_line(error)}", "see docs/cloud.md")
    if not found:
        return Finding(option, "warning", f"{place}: holds no file")
    return Finding(option, "good", f"{place} can be read")


def _writable(spark: SparkSession, option: str, place: str, delta: bool) -> Finding:
    folder = f"{place.rstrip('/')}/_doctor_{uuid4().hex}"
    kind = "delta" if delta else "parquet"
    try:
        spark.range(1).write.format(kind).save(folder)
        spark.read.format(kind).load(folder).count()
    except Exception as error:
        return Finding(option, "bad", f"{place}: {first_line(error)}", "see docs/cloud.md")
    finally:
        Run(spark, folder).remove_whole()
    return Finding(option, "good", f"{place} can be written to")
