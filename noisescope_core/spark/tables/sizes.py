"""Rows of some sizes: the one place where Spark filters a table by size (`tables.sizes`: Arrow)."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import Column
from pyspark.sql import functions as F

from noisescope_core.images import Size


def of_size(size: Size) -> Column:
    """Rows of one size, (width, height)."""
    return (F.col("width") == size[0]) & (F.col("height") == size[1])


def of_sizes(sizes: Iterable[Size]) -> Column:
    """Rows of any of these sizes; of none if there are none."""
    return F.struct("width", "height").isin(
        [F.struct(F.lit(width), F.lit(height)) for width, height in sizes]
    )
