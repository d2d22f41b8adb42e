"""Small tables for Spark out of rows that were made on the driver."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from noisescope_core.tables.rows import cells_by_name
from noisescope_core.tables.schemas import names_in


def frame(spark: SparkSession, rows: Iterable[Any], declared: str) -> DataFrame:
    """Make a table of rows; the schema decides the order of their cells, not who writes them.

    Parameters
    ----------
    rows : dataclasses of `noisescope_core.tables.rows`, or mappings; what they lack is null
    declared : columns, as in `noisescope_core.tables.schemas`

    Raises
    ------
    ValueError
        If a row has a cell that is no column.
    """
    names = names_in(declared)
    named = [cells_by_name(row) for row in rows]
    if unknown := set().union(*named).difference(names):
        raise ValueError(f"no columns of the table: {', '.join(sorted(unknown))}")
    return spark.createDataFrame([tuple(map(cells.get, names)) for cells in named], declared)
