"""Spark for a command: started under a live line, with a run directory where it has one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import click

from noisescope_core.app.places import make_folder, spark_log
from noisescope_core.cli.shared.output import console

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from noisescope_core.config import Config
    from noisescope_core.spark.session.progress import Progress
    from noisescope_core.spark.tables.run import Run


def start_spark(config: Config, log: Path, **options: Any) -> SparkSession:
    """Start Spark, on a terminal under a live line; the command's end leaves it as it was found.

    Parameters
    ----------
    log : file that takes what Spark's JVM prints
    **options : of `noisescope_core.spark.session.start.start_session`
    """
    spark = _started(config, log, **options)
    from noisescope_core.spark.session.start import session_settings

    click.get_current_context().with_resource(session_settings(spark, config))
    return spark


def _started(config: Config, log: Path, **options: Any) -> SparkSession:
    shown = console()
    if shown.quiet or not shown.is_interactive:
        from noisescope_core.spark.session.start import start_session

        return start_session(config, log, **options)
    from rich.console import Console

    from noisescope_core.app.progress import Stage

    # While Spark starts, standard error goes to the log: the line needs a descriptor of its own.
    with os.fdopen(os.dup(2), "w") as terminal, Stage(Console(file=terminal), "start") as stage:
        from noisescope_core.spark.session.start import start_session

        spark = start_session(config, log, **options)
        stage.done(f"Spark {spark.version}")
    return spark


def open_run(
    out: str, config: Config, whole: bool = False, locations: Sequence[str] = ()
) -> tuple[Run, Progress]:
    """Start Spark for a run directory, which is made if it is local.

    Parameters
    ----------
    whole : whether all stages of `detect` follow, and then `jvm.keep_classes`
    locations : what will be read besides
    """
    out = make_folder(out, "--out")
    if whole:
        # Not in the thread: this import reports it if pyspark is missing.
        import_module("noisescope_core.spark.session.start")
        # Importing the stages takes a second, in which the JVM can start.
        Thread(
            target=import_module, args=["noisescope_core.spark.stages.detect"], daemon=True
        ).start()
    spark = start_spark(config, spark_log(out), leave_classes=whole, locations=(*locations, out))
    from noisescope_core.spark.session.progress import Progress
    from noisescope_core.spark.tables.run import Run

    return Run(spark, out), Progress(spark, console())
