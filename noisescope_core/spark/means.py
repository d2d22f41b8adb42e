"""Mean residuals of groups of images: fingerprints and merged clusters, made on the executors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from noisescope_core.config import Config
from noisescope_core.spark.sets import ImageSet
from noisescope_core.spark.tables import Run
from noisescope_core.texture import haralick_features

_SUMS = pa.schema([("group", pa.int64()), ("images", pa.int64()), ("total", pa.binary())])
_MEANS = "group long, images long, residual binary"


def mean_residuals(
    run: Run, config: Config, images: ImageSet, groups: Mapping[int, Sequence[int]]
) -> DataFrame:
    """Average the residuals of every group.

    Each task adds up what it holds of a group in float64 and only the sums are shuffled; in
    float64 the order in which float32 residuals are added does not reach the float32 mean.

    Parameters
    ----------
    groups : group number to the numbers of its images; an image may be in several groups

    Returns
    -------
    DataFrame
        `group`, `images` (count) and `residual` (float32).
    """
    member_of: dict[int, list[int]] = {}
    for group, members in groups.items():
        for number in members:
            member_of.setdefault(number, []).append(group)
    numbers = pa.table(
        {
            "number": pa.array(list(member_of), pa.int64()),
            "groups": pa.array(list(member_of.values()), pa.list_(pa.int64())),
        }
    )
    rows = images.residuals(run, numbers).select("groups", "residual")
    sums = rows.mapInArrow(_partial_sums(config.spark.batch_bytes), "group long, images long, total binary")
    return sums.groupBy("group").applyInArrow(_mean, _MEANS)


def collect_residuals(means: DataFrame, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Bring a bounded number of mean residuals to the driver, in the order of their groups."""
    rows = sorted(means.collect(), key=lambda row: row.group)
    return np.stack([np.frombuffer(row.residual, np.float32).reshape(shape) for row in rows])


def haralick_of(means: DataFrame, shape: tuple[int, int]) -> DataFrame:
    """Replace mean residuals by their Haralick features: `group`, `haralick`."""

    def features(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            values = [
                haralick_features(np.frombuffer(cell.as_buffer(), np.float32).reshape(shape))
                for cell in batch.column("residual")
            ]
            yield pa.RecordBatch.from_arrays(
                [batch.column("group"), pa.array(values, pa.list_(pa.float64()))],
                names=["group", "haralick"],
            )

    return means.mapInArrow(features, "group long, haralick array<double>")


def _partial_sums(
    limit: int,
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def partial_sums(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        totals: dict[int, NDArray[np.float64]] = {}
        counts: dict[int, int] = {}
        held = 0
        for batch in batches:
            for groups, cell in zip(*batch.columns, strict=True):
                residual = np.frombuffer(cell.as_buffer(), np.float32)
                for group in groups.as_py():
                    if group in totals:
                        totals[group] += residual
                        counts[group] += 1
                    else:
                        totals[group] = residual.astype(np.float64)
                        counts[group] = 1
                        held += totals[group].nbytes
                # Sums of sums are the same, so a task never holds more than it may.
                if held > 4 * limit:
                    yield from _flush(totals, counts, limit)
                    held = 0
        yield from _flush(totals, counts, limit)

    return partial_sums


def _flush(
    totals: dict[int, NDArray[np.float64]], counts: dict[int, int], limit: int
) -> Iterator[pa.RecordBatch]:
    while totals:
        rows: list[dict[str, Any]] = []
        held = 0
        while totals and held < limit:
            group, total = totals.popitem()
            rows.append({"group": group, "images": counts.pop(group), "total": total.tobytes()})
            held += total.nbytes
        yield pa.RecordBatch.from_pylist(rows, _SUMS)


def _mean(table: pa.Table) -> pa.Table:
    images = sum(table["images"].to_pylist())
    total = np.sum([np.frombuffer(cell.as_buffer(), np.float64) for cell in table["total"]], axis=0)
    return pa.table(
        {
            "group": table["group"][:1],
            "images": pa.array([images], pa.int64()),
            "residual": pa.array([(total / images).astype(np.float32).tobytes()], pa.binary()),
        }
    )
