"""Files of a store as a table names them that others keep: Auto Loader's, an inventory's."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from noisescope_core.app.places import absolute
from noisescope_core.errors import NoiseScopeError, UsageError, first_line
from noisescope_core.spark.sources.files import without_scheme
from noisescope_core.spark.sources.tables import format_of, table_rows

COLUMNS = ("path", "length", "modificationTime")
"""Columns that such a table has, as Spark names them where it reads binary files."""

_S3 = "^s3[an]?://"
"""How addresses of one object begin, by who wrote them."""


def discovered_files(spark: SparkSession, table: str, location: str) -> DataFrame:
    """Take from a table what lies in a folder or a store: `path`, `bytes`, `modified`.

    Of a file that is named several times the latest counts.

    Parameters
    ----------
    table : name in a catalog; with a slash in it a folder or URI, of Delta or Parquet
    location : folder or store whose files are asked for

    Raises
    ------
    UsageError
        If the table lacks a column.
    NoiseScopeError
        If it cannot be read, or names no file there.
    """
    try:
        if "/" in table:
            rows = table_rows(spark, table, format_of(spark, table))
        else:
            rows = spark.table(table)
        missing = set(COLUMNS).difference(rows.columns)
    except Exception as error:
        raise NoiseScopeError(
            f"scan.listing={table}: cannot be read ({first_line(error)})"
        ) from error
    if missing:
        raise UsageError(
            f"scan.listing={table}: has no column {', '.join(sorted(missing))}; it needs "
            f"{', '.join(COLUMNS)}, as Auto Loader writes them for the format binaryFile"
        )
    root = absolute(location).rstrip("/")
    path = without_scheme("path")
    if location.startswith("s3"):
        path = F.regexp_replace(path, _S3, f"{location.partition('://')[0]}://")
    files = rows.select(
        path.alias("path"),
        F.struct(
            F.unix_micros("modificationTime").alias("modified"),
            F.col("length").cast("long").alias("bytes"),
        ).alias("state"),
    ).where(F.startswith("path", F.lit(f"{root}/")))
    if files.isEmpty():
        raise NoiseScopeError(f"scan.listing={table}: names no file in {root}")
    latest = files.groupBy("path").agg(F.max("state").alias("state"))
    return latest.select("path", "state.bytes", "state.modified")
