"""Mean residuals of groups of images: fingerprints and merged clusters, made on the executors.

Each task adds up what it holds of a group and only the sums are shuffled. They are kept in
float64, so the order in which float32 residuals are added does not reach the float32 mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from noisescope_core.config import Config
from noisescope_core.methods import method_of
from noisescope_core.spark.session.workers import map_batches
from noisescope_core.spark.stages.sets import ImageSet
from noisescope_core.spark.tables.cells import cells_of
from noisescope_core.spark.tables.run import Run
from noisescope_core.texture import haralick_features

_SUMS = pa.schema([("group", pa.int64()), ("images", pa.int64()), ("total", pa.binary())])


def summed_residuals(
    run: Run, config: Config, images: ImageSet, groups: Mapping[int, Sequence[int]]
) -> DataFrame:
    """Add up the residuals of every group, task by task.

    Parameters
    ----------
    groups : group number to the numbers of its images; an image may be in several groups

    Returns
    -------
    DataFrame
        `group`, `images` (count) and `total`, one or more rows a group: float32 if the row
        stands for one image, float64 otherwise. `mean_of_sums` makes means of them.
    """
    groups_of: dict[int, list[int]] = {}
    for group, members in groups.items():
        for number in members:
            groups_of.setdefault(number, []).append(group)
    numbers = pa.table(
        {
            "number": pa.array(list(groups_of), pa.int64()),
            "groups": pa.array(list(groups_of.values()), pa.list_(pa.int64())),
        }
    )
    rows = images.residuals(run, numbers).select("groups", "residual")
    read = method_of(config).read
    return map_batches(
        rows, _partial_sums(config.spark.batch_bytes, read), "group long, images long, total binary"
    )


def mean_of_sums(
    table: pa.Table, shape: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Turn rows of `summed_residuals` into the mean residual of every group in them.

    Returns
    -------
    groups : (n,) int64, ascending
    means : (n, H, W) float32
    """
    numbers = table["group"].to_numpy()
    counts = table["images"].to_numpy()
    cells = cells_of(table["total"])
    groups, row_of = np.unique(numbers, return_inverse=True)
    images = np.bincount(row_of, counts)
    means = np.empty((len(groups), *shape), np.float32)
    rows = np.argsort(row_of, kind="stable")
    starts = np.searchsorted(row_of[rows], np.arange(len(groups) + 1))
    for group in range(len(groups)):
        total = np.zeros(shape)
        for row in rows[starts[group] : starts[group + 1]]:
            dtype = "float32" if counts[row] == 1 else "float64"
            total += cells[row].view(dtype).reshape(shape)
        means[group] = total / images[group]
    return groups, means


def fingerprints_of(sums: DataFrame, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Bring a bounded number of mean residuals to the driver, in the order of their groups.

    Returns
    -------
    (n, H, W) float32
    """

    def mean(table: pa.Table) -> pa.Table:
        groups, means = mean_of_sums(table, shape)
        return pa.table({"group": groups, "residual": pa.array([means[0].tobytes()], pa.binary())})

    rows = sums.groupBy("group").applyInArrow(mean, "group long, residual binary").collect()
    rows.sort(key=lambda row: row.group)
    return np.stack([np.frombuffer(row.residual, np.float32).reshape(shape) for row in rows])


def haralick_of(sums: DataFrame, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Compute the Haralick features of mean residuals, in the order of their groups.

    Returns
    -------
    (n, 13) float64
    """

    def features(table: pa.Table) -> pa.Table:
        groups, means = mean_of_sums(table, shape)
        return pa.table({"group": groups, "haralick": [haralick_features(means[0])]})

    schema = "group long, haralick array<double>"
    rows = sums.groupBy("group").applyInArrow(features, schema).collect()
    rows.sort(key=lambda row: row.group)
    return np.array([row.haralick for row in rows])


def _partial_sums(
    limit: int, read: Callable[[pa.Buffer], NDArray[np.float32]]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def partial_sums(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        totals: dict[int, NDArray[Any]] = {}
        counts: dict[int, int] = {}
        held = 0
        for batch in batches:
            for groups, cell in zip(*batch.columns, strict=True):
                residual = read(cell.as_buffer())
                for group in groups.as_py():
                    if group not in totals:
                        totals[group] = residual
                        held += residual.nbytes
                    elif counts[group] == 1:
                        totals[group] = np.add(totals[group], residual, dtype=np.float64)
                        held += residual.nbytes
                    else:
                        totals[group] += residual
                    counts[group] = counts.get(group, 0) + 1
                # Sums of sums are the same, so a task never holds more than it may.
                if held > limit:
                    yield from _flush(totals, counts, limit)
                    held = 0
        yield from _flush(totals, counts, limit)

    return partial_sums


def _flush(
    totals: dict[int, NDArray[Any]], counts: dict[int, int], limit: int
) -> Iterator[pa.RecordBatch]:
    while totals:
        rows: list[dict[str, Any]] = []
        held = 0
        while totals and held < limit:
            group, total = totals.popitem()
            rows.append({"group": group, "images": counts.pop(group), "total": total.tobytes()})
            held += total.nbytes
        yield pa.RecordBatch.from_pylist(rows, _SUMS)
