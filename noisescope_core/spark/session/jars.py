"""Jars that Spark lacks, Delta's and those of S3, and the settings that go with them."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import pyspark
from pyspark.sql import SparkSession

from noisescope_core.errors import NoiseScopeError, UsageError

_SCALA = "2.13"
"""Version of Scala in the names of Delta's jars: the only one of Spark 4."""

_SDK = {"3.4.1": "2.24.6", "3.4.2": "2.29.52", "3.5.0": "2.35.4"}
"""Version of Hadoop to the version of the AWS SDK that it was built with."""

_SDK_MODULES = ("s3", "s3-transfer-manager", "sts", "sso")
"""Modules of the SDK that reading, writing and signing in take: 20 MB."""

_BUNDLE = "software.amazon.awssdk:bundle"
"""The whole SDK, 690 MB, which Hadoop asks Maven for."""

_ALREADY_IN_SPARK = (
    "org.apache.hadoop:hadoop-client-api",
    "org.apache.hadoop:hadoop-client-runtime",
)
"""Jars that Delta asks Maven for in an older version. Spark has its own, which come first, so those
would be fetched and never loaded."""

NO_JARS = (
    "Spark lacks jars: let it reach Maven, or fill a folder where Maven can be reached "
    "(noisescope doctor --fetch-jars DIR) and set spark.jars=DIR"
)


def jar_settings(jars: str | None, delta: bool = False, s3: bool = False) -> dict[str, str]:
    """Make the settings with which Spark finds the jars it lacks and knows Delta.

    They have an effect only when Spark starts.

    Parameters
    ----------
    jars : folder with the jars, or None to have Spark fetch them from Maven
    delta : whether Delta tables will be read and written
    s3 : whether anything on S3 will be

    Raises
    ------
    UsageError
        If the folder lacks one of them.
    """
    if not (delta or s3):
        return {}
    settings = delta_settings() if delta else {}
    if jars is None:
        return settings | package_settings(delta, s3)
    present = sorted(Path(jars).glob("*.jar")) if os.path.isdir(jars) else []
    for needed, part_of_name, whose in ((delta, "delta", "Delta's"), (s3, "hadoop-aws", "S3's")):
        if needed and not any(part_of_name in jar.name for jar in present):
            raise UsageError(
                f"spark.jars: {jars} is no folder with {whose} jars, "
                "noisescope doctor --fetch-jars DIR makes one"
            )
    return settings | {"spark.jars": ",".join(map(str, present))}


def delta_settings() -> dict[str, str]:
    """Make the settings with which Spark knows Delta tables."""
    return {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        # Tasks that read a table's log: Delta's default of 50 is too many for small tables.
        "spark.databricks.delta.snapshotPartitions": str(os.cpu_count() or 1),
    }


def package_settings(delta: bool, s3: bool) -> dict[str, str]:
    """Make the settings with which Spark fetches jars from Maven, unless it has them already."""
    packages, left_out = [], list(_ALREADY_IN_SPARK)
    if delta:
        packages.append(delta_package())
    if s3:
        hadoop = hadoop_version()
        packages.append(f"org.apache.hadoop:hadoop-aws:{hadoop}")
        # For another Hadoop let Maven find the version of the SDK, which is the whole bundle.
        if hadoop in _SDK:
            left_out.append(_BUNDLE)
            packages += [f"software.amazon.awssdk:{name}:{_SDK[hadoop]}" for name in _SDK_MODULES]
    return {
        "spark.jars.packages": ",".join(packages),
        "spark.jars.excludes": ",".join(left_out),
    }


def delta_package() -> str:
    """Make Maven's name of Delta for the Spark and the Delta that are installed."""
    spark = ".".join(pyspark.__version__.split(".")[:2])
    return f"io.delta:delta-spark_{spark}_{_SCALA}:{version('delta-spark')}"


def hadoop_version() -> str:
    """Read the version of Spark's Hadoop from the name of its jar.

    Raises
    ------
    NoiseScopeError
        If Spark comes without Hadoop.
    """
    from pyspark.find_spark_home import _find_spark_home  # Which a client without a JVM lacks.

    folder = Path(_find_spark_home(), "jars")
    for jar in folder.glob("hadoop-client-api-*.jar"):
        return jar.stem.removeprefix("hadoop-client-api-")
    raise NoiseScopeError(f"{folder}: Spark without Hadoop, which reads no s3a://")


def copy_jars(spark: SparkSession, folder: str) -> list[str]:
    """Copy the jars that a session was started with, and all that they need, to a folder.

    Returns
    -------
    list of str
        Paths of the copies.

    Raises
    ------
    UsageError
        If the folder cannot be written to.
    """
    jars = (spark.sparkContext.getConf().get("spark.jars") or "").split(",")
    try:
        return [shutil.copy(urlsplit(jar).path, folder) for jar in jars if jar]
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written to ({error.strerror})") from error
