"""Rows of some sizes: the one place where Spark filters a table by size (`tables.sizes`: Arrow)."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from noisescope_core.images import Size


def of_size(size: Size) -> Column:
    """Rows of one size, (width, height)."""
    return (F.col("width") == size[0]) & (F.col("height") == size[1])


def of_sizes(table: DataFrame, sizes: Iterable[Size]) -> DataFrame:
    """Keep the rows of any of these sizes, however many they are; none if there are none."""
    kept = table.sparkSession.createDataFrame(sorted(sizes), "width int, height int")
    return table.join(F.broadcast(kept), ["width", "height"], "left_semi")
