"""The Spark session, and what every worker does before it computes."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
from pyspark import TaskContext
from pyspark.sql import SparkSession
from threadpoolctl import threadpool_limits

from noisescope_core.config import Config
from noisescope_core.errors import NoiseScopeError, first_line

ROWS_PER_BATCH = 64
ROWS_PER_READ = 16
"""Rows that Spark's Parquet reader holds at once: by default 4096, which are gigabytes here."""


AT_START = {
    # Noise does not compress.
    "spark.shuffle.compress": "false",
    # Planes of an image are freed and asked for again all the time: the system need not have them
    # back. Saves a fifth of what extraction computes.
    "spark.executorEnv.MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "spark.executorEnv.MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}


def start_session(config: Config, log: Path | None = None) -> SparkSession:
    """Start Spark, or join the session that is already there.

    Parameters
    ----------
    config : Config
    log : Path or None
        File that takes what a local JVM prints; None leaves it on standard error.

    Raises
    ------
    NoiseScopeError
        If Spark cannot be started, with what to do.
    """
    running = SparkSession.getActiveSession() is not None
    remote = "SPARK_REMOTE" in os.environ or "DATABRICKS_RUNTIME_VERSION" in os.environ
    builder = SparkSession.builder.appName("NoiseScope")
    if not running and not remote:
        # Workers take the interpreter of the driver, file names are UTF-8 whatever the locale.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        if (
            not os.environ.get("LC_ALL", os.environ.get("LANG", ""))
            .lower()
            .endswith(("utf-8", "utf8"))
        ):
            os.environ["LC_ALL"] = "C.UTF-8"
        if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
            raise NoiseScopeError(
                "Java 17 or newer was not found: apt-get install openjdk-17-jre-headless"
            )
        builder = builder.config("spark.driver.memory", config.spark.driver_memory).config(
            "spark.ui.showConsoleProgress", "false"
        )
        for key, setting in AT_START.items():
            builder = builder.config(key, setting)
        if config.spark.master or not _submitted():
            builder = builder.master(config.spark.master or "local[*]")
        if not _submitted():
            builder = builder.config("spark.ui.enabled", "false")
    for key, value in config.spark.conf.items():
        builder = builder.config(key, str(value).lower() if isinstance(value, bool) else str(value))
    with _redirected_stderr(log):
        try:
            spark = builder.getOrCreate()
        except Exception as error:
            where = f", see {log}" if log else ""
            raise NoiseScopeError(
                f"Spark could not be started ({first_line(error)}){where}"
            ) from error
    # Residuals are large cells: batches of them are bounded by bytes as well as rows.
    for key, setting in {
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(ROWS_PER_BATCH),
        "spark.sql.execution.arrow.maxBytesPerBatch": str(config.spark.batch_bytes),
        "spark.sql.files.openCostInBytes": "1048576",
        "spark.sql.parquet.columnarReaderBatchSize": str(ROWS_PER_READ),
        "spark.sql.session.timeZone": "UTC",
    }.items():
        try:
            spark.conf.set(key, setting)
        except Exception:  # noqa: S112  # Serverless refuses some; its own bounds hold there.
            continue
    return spark


@contextmanager
def one_task() -> Iterator[None]:
    """Bound BLAS and OpenCV threads to the processors of the task that runs this."""
    context = TaskContext.get()
    threads = context.cpus() if context is not None else 1
    cv2.setNumThreads(threads)
    with threadpool_limits(threads):
        yield


def _submitted() -> bool:
    return "PYSPARK_GATEWAY_PORT" in os.environ


@contextmanager
def _redirected_stderr(log: Path | None) -> Iterator[None]:
    # The JVM and its Python workers inherit the descriptor, so their noise stays in the file.
    if log is None:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
