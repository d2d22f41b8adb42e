"""Stage 3: the PCE of all pairs of images, as a blocked join."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.correlation import Pairs, above_threshold, spectra
from noisescope_core.spark.progress import Progress
from noisescope_core.spark.session import one_task
from noisescope_core.spark.sets import ImageSet, image_sets
from noisescope_core.spark.tables import Run

_PAIRS = """block_pair long, compared long, refined long, first array<long>, second array<long>,
    pce array<double>"""

LEAST_BLOCKS = 3
"""So many blocks at least, so that a small dump still feeds more than one task."""


def correlate(run: Run, config: Config, progress: Progress) -> None:
    """Read `residuals` and `calibration`, write `correlations`: one row per pair of blocks."""
    sets = image_sets(run, "image")
    sizes = run.read("calibration").where("reason is null").orderBy("width", "height").collect()
    work = sum(block_count(len(sets[s.width, s.height]), s.width * s.height, config) for s in sizes)
    pairs = sum(s.images * (s.images - 1) // 2 for s in sizes)
    with progress.stage("correlate", pairs, "pairs") as stage:
        stage.note(f"{pairs:,} pairs of {sum(s.images for s in sizes):,} images in {work} blocks")
        table = run.spark.createDataFrame([], f"width int, height int, {_PAIRS}")
        for size in sizes:
            images = sets[size.width, size.height]
            numbers = pa.table({"number": np.arange(len(images))})
            found = correlated_pairs(
                run, config, images.residuals(run, numbers), images, len(images), 0, size.t_merge
            )
            table = table.unionByName(
                found.select(
                    F.lit(size.width).alias("width"), F.lit(size.height).alias("height"), "*"
                )
            )
        run.write("correlations", table)


def block_count(images: int, pixels: int, config: Config) -> int:
    """Count the blocks for so many residuals; it depends on nothing but images and config."""
    by_bytes = -(-images * pixels * 4 // config.spark.block_bytes)
    return max(1, min(max(by_bytes, LEAST_BLOCKS), images))


def correlated_pairs(
    run: Run,
    config: Config,
    items: DataFrame,
    images: ImageSet,
    new: int,
    old: int,
    t_merge: float,
) -> DataFrame:
    """Find the pairs above T_merge in which a new item takes part.

    Items are cut in blocks, the new ones apart from the old. A pair of blocks gets all rows of
    both and is one task: two matrix products, and the hole where it can matter.

    Parameters
    ----------
    items : DataFrame
        `number` and `residual`; numbers 0..new-1 are new, new..new+old-1 are old.

    Returns
    -------
    DataFrame
        One row per pair of blocks: counts, and the pairs by number.
    """
    pixels = images.width * images.height
    new_blocks = block_count(new, pixels, config)
    old_blocks = block_count(old, pixels, config) if old else 0
    block_pairs = [
        (i, j) for i in range(new_blocks) for j in range(i, new_blocks + old_blocks)
    ]
    number = F.col("number")
    block = F.when(number < new, F.floor(number * new_blocks / new))
    if old:
        block = block.otherwise(new_blocks + F.floor((number - new) * old_blocks / old))
    partners = run.spark.createDataFrame(
        [
            (member, pair)
            for pair, blocks in enumerate(block_pairs)
            for member in sorted(set(blocks))
        ],
        "block long, block_pair long",
    )
    return (
        items.withColumn("block", block.cast("long"))
        .join(F.broadcast(partners), "block")
        .groupBy("block_pair")
        .applyInArrow(
            _correlator(block_pairs, (images.height, images.width), t_merge, config), _PAIRS
        )
    )


def _correlator(
    block_pairs: list[tuple[int, int]], shape: tuple[int, int], t_merge: float, config: Config
) -> Callable[[pa.Table], pa.Table]:
    exact = config.clustering.exact

    def stack(table: pa.Table, block: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        rows = table.filter(pc.equal(table["block"], block)).sort_by("number")
        residuals = np.empty((len(rows), *shape), np.float32)
        for row, cell in zip(residuals, rows["residual"], strict=True):
            row[:] = np.frombuffer(cell.as_buffer(), np.float32).reshape(shape)
        return rows["number"].to_numpy(), residuals

    def correlate_blocks(table: pa.Table) -> pa.Table:
        pair = table["block_pair"][0].as_py()
        left, right = block_pairs[pair]
        with one_task():
            first, residuals = stack(table, left)
            a, b, second = spectra(residuals), None, first
            if left != right:
                second, residuals = stack(table, right)
                b = spectra(residuals)
            found = above_threshold(a, b, t_merge, exact)
        return pa.table(
            {
                "block_pair": [pair],
                "compared": [found.compared],
                "refined": [found.refined],
                "first": [first[found.first]],
                "second": [second[found.second]],
                "pce": [found.pce],
            }
        )

    return correlate_blocks


def gather_pairs(rows: list[Any]) -> Pairs:
    """Put the rows of all pairs of blocks together, in the order of the pairs of blocks."""
    rows = sorted(rows, key=lambda row: row.block_pair)

    def column(name: str, dtype: type) -> NDArray[Any]:
        return np.concatenate([np.empty(0, dtype), *[np.asarray(row[name], dtype) for row in rows]])

    return Pairs(
        column("first", np.int64),
        column("second", np.int64),
        column("pce", np.float64),
        sum(row.compared for row in rows),
        sum(row.refined for row in rows),
    )
