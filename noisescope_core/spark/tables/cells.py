"""Cells of binary columns where they lie, and small tables collected side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Row


def cells_of(column: pa.Array | pa.ChunkedArray) -> list[NDArray[np.uint8]]:
    """Find the bytes of every cell of a binary column without nulls, where they lie.

    A scalar of Arrow's is a copy.
    """
    cells: list[NDArray[np.uint8]] = []
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        wide = np.int64 if pa.types.is_large_binary(chunk.type) else np.int32
        _, ends, data = chunk.buffers()
        ends = np.frombuffer(ends, wide)[chunk.offset : chunk.offset + len(chunk) + 1]
        values = np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)
        cells += [values[start:end] for start, end in pairwise(ends.tolist())]
    return cells


def added(table: pa.Table) -> pa.Table:
    """Add up the cells of one key: a table of the columns key and total (float64 as bytes)."""
    total = np.sum([cell.view(np.float64) for cell in cells_of(table["total"])], axis=0)
    return table.slice(0, 1).set_column(1, "total", pa.array([total.tobytes()], pa.binary()))


def collected(*tables: DataFrame) -> list[list[Row]]:
    """Collect small tables side by side: each is mostly waiting."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda table: table.collect(), tables))
