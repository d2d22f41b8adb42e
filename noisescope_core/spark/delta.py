"""Delta Lake in a Spark session that the command starts: its extensions and its jars."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import pyspark

from noisescope_core.errors import UsageError

_SCALA = "2.13"


def delta_settings(jars: str | None) -> dict[str, str]:
    """Settings with which Spark reads and writes Delta tables; they hold from its start.

    Parameters
    ----------
    jars : folder with Delta's jars, or None to have Spark fetch them from Maven

    Raises
    ------
    UsageError
        If the folder holds no jar.
    """
    settings = {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        # By default 50 tasks look at a small table's log.
        "spark.databricks.delta.snapshotPartitions": str(os.cpu_count() or 1),
    }
    if jars is None:
        return settings | {"spark.jars.packages": delta_package()}
    found = sorted(Path(jars).glob("*.jar")) if os.path.isdir(jars) else []
    if not found:
        raise UsageError(f"spark.jars: {jars} is no folder with Delta's jars")
    return settings | {"spark.jars": ",".join(map(str, found))}


def delta_package() -> str:
    """Maven's name of Delta for the Spark and the Delta that are installed."""
    spark = ".".join(pyspark.__version__.split(".")[:2])
    return f"io.delta:delta-spark_{spark}_{_SCALA}:{version('delta-spark')}"
