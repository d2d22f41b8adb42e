"""The Spark session, and what every worker does before it computes."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from pyspark.sql import SparkSession

from noisescope_core.config import Config
from noisescope_core.errors import NoiseScopeError, first_line
from noisescope_core.spark.session.jars import NO_JARS, jar_settings
from noisescope_core.spark.session.jvm import java_options
from noisescope_core.spark.session.s3 import check_buckets, on_s3, refuse_credentials, s3_settings

PARTS_PER_CORE = 8
"""Parts of a shuffle on one machine; Spark's 200 are as many tasks' trouble for a small table."""

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


def start_session(
    config: Config,
    log: Path | None = None,
    leave_classes: bool = False,
    delta: bool = False,
    locations: Sequence[str] = (),
) -> SparkSession:
    """Start Spark or connect to it, or join the session that is already there.

    Parameters
    ----------
    config : Config
        `spark.master` may name a Spark Connect server, `sc://host:port`, as SPARK_REMOTE may.
    log : Path or None
        File that takes what a local JVM prints; None leaves it on standard error.
    leave_classes : bool
        As for `jvm.java_options`.
    delta : bool
        Whether Delta tables will be read and written.
    locations : sequence of str
        What will be read and written: S3 takes jars and settings.

    Raises
    ------
    NoiseScopeError
        If Spark cannot be started, with what to do, or a bucket cannot be reached.
    UsageError
        If a location holds a password, or `spark.jars` lacks a jar.
    """
    refuse_credentials(locations)
    spark = SparkSession.getActiveSession() or _started(
        config, log, leave_classes, delta, locations
    )
    # Residuals are large cells: batches of them are bounded by bytes as well as rows.
    for key, setting in {
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(ROWS_PER_BATCH),
        "spark.sql.execution.arrow.maxBytesPerBatch": str(config.spark.batch_bytes),
        "spark.sql.files.openCostInBytes": "1048576",
        "spark.sql.parquet.columnarReaderBatchSize": str(ROWS_PER_READ),
        "spark.sql.session.timeZone": "UTC",
        **_settings(config),
    }.items():
        try:
            spark.conf.set(key, setting)
        except Exception:  # noqa: S112  # Refused: set at the start, or bound by the platform.
            continue
    if "DATABRICKS_RUNTIME_VERSION" in os.environ:
        # The platform's session, which others may share: it is not ours to stop.
        spark.stop = lambda: None  # type: ignore[method-assign]
    return spark


def _started(
    config: Config, log: Path | None, leave_classes: bool, delta: bool, locations: Sequence[str]
) -> SparkSession:
    s3 = bool(on_s3(locations))
    builder = SparkSession.builder.appName("NoiseScope")
    remote = os.environ.get("SPARK_REMOTE", "")
    if (config.spark.master or "").startswith("sc://"):
        remote = str(config.spark.master)
        builder = builder.remote(remote)
    elif not remote.startswith("sc://") and "DATABRICKS_RUNTIME_VERSION" not in os.environ:
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
        jars = jar_settings(config.spark.jars, delta, s3)
        local = not _submitted() and (config.spark.master or "local").startswith("local")
        at_start = AT_START | jars | (s3_settings(local) if s3 else {})
        if not _submitted():
            # A cluster's Spark may have credentials that this process lacks.
            check_buckets(locations)
        for key, setting in at_start.items():
            builder = builder.config(key, setting)
        if not remote and (config.spark.master or not _submitted()):
            master = config.spark.master or "local[*]"
            builder = builder.master(master)
            builder = builder.config("spark.driver.defaultJavaOptions", java_options(leave_classes))
            if master.startswith("local"):
                parts = PARTS_PER_CORE * (os.cpu_count() or 1)
                builder = builder.config("spark.sql.shuffle.partitions", str(parts))
        if not _submitted():
            builder = builder.config("spark.ui.enabled", "false")
    if remote.startswith("sc://"):
        _check_answers(remote)
    for key, setting in _settings(config).items():
        builder = builder.config(key, setting)
    with _redirected_output(log):
        try:
            return builder.getOrCreate()
        except Exception as error:
            where = f", see {log}" if log else ""
            if log and b"[unresolved dependency" in log.read_bytes():
                raise NoiseScopeError(f"{NO_JARS}{where}") from error
            raise NoiseScopeError(
                f"Spark could not be started ({first_line(error)}){where}"
            ) from error


def _check_answers(remote: str) -> None:
    """Save ten silent minutes: so long does a Connect client try again."""
    if getproxies().keys() & {"grpc", "http", "https"}:
        return
    try:
        place = urlsplit(remote)
        address = place.hostname, place.port or 15002
        socket.create_connection(address, timeout=10).close()
    except (OSError, ValueError) as error:
        # The rest of the URL may hold a token.
        server = remote.split("/;")[0]
        raise NoiseScopeError(f"no Spark Connect server answers at {server} ({error})") from error


def _settings(config: Config) -> dict[str, str]:
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in config.spark.conf.items()
    }


def _submitted() -> bool:
    return "PYSPARK_GATEWAY_PORT" in os.environ


@contextmanager
def _redirected_output(log: Path | None) -> Iterator[None]:
    # The JVM and its Python workers inherit the descriptors, so their noise stays in the file.
    if log is None:
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {number: os.dup(number) for number in (1, 2)}
    with log.open("ab") as file:
        for number in kept:
            os.dup2(file.fileno(), number)
        try:
            yield
        finally:
            for number, copy in kept.items():
                os.dup2(copy, number)
                os.close(copy)
