"""The start of Spark, with the settings that every session needs."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from pyspark.sql import SparkSession

from noisescope_core.config import Config
from noisescope_core.errors import NoiseScopeError, first_line
from noisescope_core.spark.session.jars import NO_JARS, jar_settings
from noisescope_core.spark.session.jvm import java_options
from noisescope_core.spark.session.s3 import check_buckets, on_s3, refuse_credentials, s3_settings
from noisescope_core.tables.storage import is_delta

PARTS_PER_CORE = 8
"""Parts of a shuffle for each processor, on one machine. With Spark's default of 200 parts 3.7 s of
a run of 1,000 images were empty tasks (docs/decisions/0003-spark.md)."""

ROWS_PER_BATCH = 64
"""Most rows of a batch that Arrow hands to a worker: chosen, for a row may hold a whole
residual. `spark.batch_bytes` bounds batches of larger rows."""

ROWS_PER_READ = 16
"""Rows that Spark's Parquet reader holds at once: its default, 4096, is gigabytes of residuals."""

OPEN_COST = 1 << 20
"""Bytes that Spark adds to a file's size when it packs files into tasks: chosen, a quarter of its
default, so that folders of small images make fewer tasks."""

CONNECT_PORT = 15002
"""Port of Spark Connect where the URL names none: Spark's default."""

CONNECT_SECONDS = 10
"""Seconds for a Connect server to accept a connection: chosen. The client itself would try for ten
minutes."""

PATH_CHARACTERS = 256
"""Characters of paths that Delta's statistics have. Chosen: by default they have 32, in which all
paths of a store are alike, so that no file of a table is passed over."""

AT_START = {
    # Noise does not compress.
    "spark.shuffle.compress": "false",
    # Thresholds of glibc in bytes. Extraction frees the planes of an image and allocates those of
    # the next: memory that is kept rather than returned saves a fifth of its processor time.
    "spark.executorEnv.MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "spark.executorEnv.MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
"""Settings that hold only if they are given when Spark starts."""


def start_session(
    config: Config,
    log: Path | None = None,
    leave_classes: bool = False,
    delta: bool = False,
    locations: Sequence[str] = (),
) -> SparkSession:
    """Start Spark or connect to it, or join the session that is already there.

    What our work needs of its settings is `session_settings`'.

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
    return SparkSession.getActiveSession() or _start(config, log, leave_classes, delta, locations)


def stop_session(spark: SparkSession) -> None:
    """Stop a session, unless it is the platform's, which may be shared."""
    if "DATABRICKS_RUNTIME_VERSION" not in os.environ:
        spark.stop()


def session_settings(spark: SparkSession, config: Config) -> AbstractContextManager[dict[str, str]]:
    """Give a session the settings that our work needs, and leave it as it was found.

    What a platform refuses costs time and memory, not verdicts: `workers.map_batches` bounds what a
    worker computes at once. For the rest see `settings_for`.
    """
    return settings_for(spark, _session_settings(config))


@contextmanager
def settings_for(spark: SparkSession, settings: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Give a session settings for a while, as far as it takes them.

    Yields
    ------
    dict of str to str
        Settings that the session refuses, and why. Static ones are not told.
    """
    given: dict[str, str] | None = None
    with suppress(Exception):  # What is set; a platform that lists nothing is asked key by key.
        given = spark.conf.getAll
    found: dict[str, str | None] = {}
    refused = {}
    for key, setting in settings.items():
        try:
            before = spark.conf.get(key, None) if given is None else given.get(key)
            spark.conf.set(key, setting)
            found[key] = before
        except Exception as error:  # Fixed by the platform, or settable at the start alone.
            if "CANNOT_MODIFY" not in str(error):
                refused[key] = first_line(error)
    try:
        yield refused
    finally:
        if SparkSession.getActiveSession() is not None:
            for key, before in found.items():
                # A session that has ended meanwhile has no settings.
                with suppress(Exception):
                    spark.conf.unset(key) if before is None else spark.conf.set(key, before)


def _session_settings(config: Config) -> dict[str, str]:
    return {
        # Cells are large: batches are bounded by bytes as well as by rows.
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(ROWS_PER_BATCH),
        "spark.sql.execution.arrow.maxBytesPerBatch": str(config.spark.batch_bytes),
        "spark.sql.files.openCostInBytes": str(OPEN_COST),
        "spark.sql.parquet.columnarReaderBatchSize": str(ROWS_PER_READ),
        "spark.sql.session.timeZone": "UTC",
        "spark.databricks.io.skipping.stringPrefixLength": str(PATH_CHARACTERS),
        **_configured_settings(config),
    }


def _start(
    config: Config, log: Path | None, leave_classes: bool, delta: bool, locations: Sequence[str]
) -> SparkSession:
    builder = SparkSession.builder.appName("NoiseScope")
    remote = os.environ.get("SPARK_REMOTE", "")
    if (config.spark.master or "").startswith("sc://"):
        remote = str(config.spark.master)
        builder = builder.remote(remote)
    if remote.startswith("sc://"):
        _check_answers(remote)
    elif "DATABRICKS_RUNTIME_VERSION" not in os.environ:
        _prepare_environment()
        settings = _classic_settings(config, delta, locations)
        if not remote and (config.spark.master or not _submitted()):
            settings |= _own_jvm_settings(config.spark.master or "local[*]", leave_classes)
        for key, setting in settings.items():
            builder = builder.config(key, setting)
    for key, setting in _configured_settings(config).items():
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


def _prepare_environment() -> None:
    """Give the JVM and the workers this interpreter and UTF-8, and check that there is a Java."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    locale = os.environ.get("LC_ALL", os.environ.get("LANG", ""))
    if not locale.lower().endswith(("utf-8", "utf8")):
        # Names of files are UTF-8 whatever the locale.
        os.environ["LC_ALL"] = "C.UTF-8"
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        raise NoiseScopeError(
            "Java 17 or newer was not found: apt-get install openjdk-17-jre-headless"
        )


def _classic_settings(config: Config, delta: bool, locations: Sequence[str]) -> dict[str, str]:
    """Make the settings of a session that is not Connect's, on one machine or on a cluster."""
    submitted = _submitted()
    delta = delta or any(map(is_delta, locations))
    jars = jar_settings(config.spark.jars, delta, bool(on_s3(locations)))
    if not submitted:
        # A cluster's Spark may have credentials that this process lacks.
        check_buckets(locations)
    local = not submitted and (config.spark.master or "local").startswith("local")
    return {
        "spark.driver.memory": config.spark.driver_memory,
        "spark.ui.showConsoleProgress": "false",
        **AT_START,
        **jars,
        **(s3_settings(local) if on_s3(locations) else {}),
        **({} if submitted else {"spark.ui.enabled": "false"}),
    }


def _own_jvm_settings(master: str, leave_classes: bool) -> dict[str, str]:
    """Make the settings of a JVM that this process starts itself."""
    settings = {
        "spark.master": master,
        "spark.driver.defaultJavaOptions": java_options(leave_classes),
    }
    if master.startswith("local"):
        parts = PARTS_PER_CORE * (os.cpu_count() or 1)
        settings["spark.sql.shuffle.partitions"] = str(parts)
        # Adaptive execution makes a job of every shuffle, to fit parts that are few and alike here.
        settings["spark.sql.adaptive.enabled"] = "false"
    return settings


def _check_answers(remote: str) -> None:
    """Check that a Connect server accepts connections: the client would try for ten minutes.

    Behind a proxy nothing is checked, for the client may reach what this process cannot.
    """
    if getproxies().keys() & {"grpc", "http", "https"}:
        return
    try:
        place = urlsplit(remote)
        address = place.hostname, place.port or CONNECT_PORT
        socket.create_connection(address, timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        # What follows in the URL may hold a token.
        server = remote.split("/;")[0]
        raise NoiseScopeError(f"no Spark Connect server answers at {server} ({error})") from error


def _configured_settings(config: Config) -> dict[str, str]:
    """Write the settings of `spark.conf` as Spark takes them."""
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in config.spark.conf.items()
    }


def _submitted() -> bool:
    """Whether spark-submit has started this process, beside a JVM that is running already."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


@contextmanager
def _redirected_output(log: Path | None) -> Iterator[None]:
    """Send standard output and error to a file; None leaves them.

    The JVM and its workers inherit the descriptors, and so write to the file for as long as they
    live.
    """
    if log is None:
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    copies = {number: os.dup(number) for number in (1, 2)}
    with log.open("ab") as file:
        for number in copies:
            os.dup2(file.fileno(), number)
        try:
            yield
        finally:
            for number, copy in copies.items():
                os.dup2(copy, number)
                os.close(copy)
