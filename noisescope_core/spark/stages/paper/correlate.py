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
from noisescope_core.correlation.pairs import Pairs, above_threshold
from noisescope_core.correlation.spectra import spectra
from noisescope_core.paper.clustering import Clusters
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.session.workers import one_task
from noisescope_core.spark.stages.means import mean_of_sums, summed_residuals
from noisescope_core.spark.stages.sets import ImageSet, image_sets
from noisescope_core.spark.tables.run import Run

_PAIRS = """block_pair long, compared long, refined long, first array<long>, second array<long>,
    pce array<double>"""

SCAN_BYTES = 134_217_728
"""What Spark reads of a table in one task, by its default."""

SPLIT_FROM = 192
"""Clusters from which a block is split even if memory does not ask for it, to feed more tasks."""


def correlate(run: Run, config: Config, progress: Progress) -> None:
    """Read `residuals` and `calibration`, write `correlations`."""
    sizes = decidable_sizes(run)
    pairs = sum(len(images) * (len(images) - 1) // 2 for images, _ in sizes)
    with progress.stage("correlate", pairs, "pairs", shuffled=True) as stage:
        count = sum(len(images) for images, _ in sizes)
        stage.note(f"{pairs:,} pairs of {count:,} images of {len(sizes):,} sizes")
        table = run.spark.createDataFrame([], f"width int, height int, {_PAIRS}")
        for images, t_merge in sizes:
            alone = {number: (number,) for number in range(len(images))}
            pairs_of_size = correlated_pairs(run, config, images, alone, {}, t_merge).select(
                F.lit(images.width).alias("width"), F.lit(images.height).alias("height"), "*"
            )
            table = table.unionByName(pairs_of_size)
        run.write("correlations", table)
        refined = run.read("correlations").agg(F.sum("refined")).collect()[0][0] or 0
        stage.done(f"{pairs:,} pairs, {refined:,} refined")


def decidable_sizes(run: Run) -> list[tuple[ImageSet, float]]:
    """List the images of every size that was calibrated, each with its T_merge."""
    sets = image_sets(run, "residuals")
    rows = run.read("calibration").where("reason is null").collect()
    return [(sets[size], t) for size, t in sorted(((r.width, r.height), r.t_merge) for r in rows)]


def block_count(clusters: Clusters, images: ImageSet, config: Config) -> int:
    """Count the blocks that clusters are cut in; it depends on nothing but them and the config.

    A cluster of several images comes as one float64 sum from every task that holds some of them.
    """
    cell = images.width * images.height * 4
    tasks = 1 + len(images) * cell // SCAN_BYTES
    sums = sum(1 if len(m) == 1 else 2 * min(len(m), tasks) for m in clusters.values())
    by_bytes = -(-sums * cell // config.spark.block_bytes)
    return max(1, min(by_bytes, len(clusters)), min(3, -(-len(clusters) // SPLIT_FROM)))


def correlated_pairs(
    run: Run,
    config: Config,
    images: ImageSet,
    new: Clusters,
    old: Clusters,
    t_merge: float,
) -> DataFrame:
    """Find the pairs of clusters above T_merge in which a new one takes part.

    The clusters are cut in blocks, the new ones apart from the old. A pair of blocks gets all
    rows of both and is one task: a matrix product, and energy and hole where they can matter.

    Parameters
    ----------
    new, old : cluster number to the numbers of its images

    Returns
    -------
    DataFrame
        One row per pair of blocks: counts, and the pairs by cluster number.
    """
    new_blocks = block_count(new, images, config)
    old_blocks = block_count(old, images, config) if old else 0
    block_of = {key: k * new_blocks // len(new) for k, key in enumerate(new)} | {
        key: new_blocks + k * old_blocks // len(old) for k, key in enumerate(old)
    }
    block_pairs = [(i, j) for i in range(new_blocks) for j in range(i, new_blocks + old_blocks)]
    pairs_of: dict[int, list[int]] = {}
    for pair, blocks in enumerate(block_pairs):
        for block in set(blocks):
            pairs_of.setdefault(block, []).append(pair)
    partners = run.spark.createDataFrame(
        pa.table(
            {
                "group": pa.array(list(block_of), pa.int64()),
                "block": pa.array(list(block_of.values()), pa.int64()),
                "block_pairs": pa.array(
                    [pairs_of[block] for block in block_of.values()], pa.list_(pa.int64())
                ),
            }
        )
    )
    return (
        summed_residuals(run, config, images, {**new, **old})
        .join(F.broadcast(partners), "group")
        .withColumn("block_pair", F.explode("block_pairs"))
        .select("block_pair", "block", "group", "images", "total")
        .groupBy("block_pair")
        .applyInArrow(
            _correlator(block_pairs, (images.height, images.width), t_merge, config), _PAIRS
        )
    )


def _correlator(
    block_pairs: list[tuple[int, int]], shape: tuple[int, int], t_merge: float, config: Config
) -> Callable[[pa.Table], pa.Table]:
    exact = config.clustering.exact

    def correlate_blocks(table: pa.Table) -> pa.Table:
        pair = table["block_pair"][0].as_py()
        left, right = block_pairs[pair]
        with one_task():
            first, means = mean_of_sums(table.filter(pc.equal(table["block"], left)), shape)
            a, b, second = spectra(means, overwrite=True), None, first
            if left != right:
                second, means = mean_of_sums(table.filter(pc.equal(table["block"], right)), shape)
                b = spectra(means, overwrite=True)
            above = above_threshold(a, b, t_merge, exact)
        return pa.table(
            {
                "block_pair": [pair],
                "compared": [above.compared],
                "refined": [above.refined],
                "first": [first[above.first]],
                "second": [second[above.second]],
                "pce": [above.pce],
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
