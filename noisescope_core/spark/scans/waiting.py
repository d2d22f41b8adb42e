"""Images that wait for a claim: rows of `arrivals` that have features, as many as are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import reduce

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.spark.scans.store import Store
from noisescope_core.tables.rows import RunRow
from noisescope_core.tables.schemas import CELLS


def waiting(store: Store) -> DataFrame:
    """Read the images that wait, each content once, as it came first: rows of `arrivals`."""
    first = Window.partitionBy("image_id").orderBy("scan", "path")
    rows = store.read("arrivals").where("features > 0")
    return rows.withColumn("time", F.row_number().over(first)).where("time = 1").drop("time")


def release(store: Store, config: Config, row: RunRow) -> None:
    """Take the features of images that are claimed by now, too old, or too many.

    Their number is looked at where they were searched: else no more than `scan.gather` came.

    Parameters
    ----------
    row : of `runs`, of the scan that ended last
    """
    wait = store.read("arrivals").where("features > 0")
    wait = wait.select("scan", "path", "image_id", "width", "height", "features")
    over = []
    if row.found or row.rejudged:
        now = (F.col("scan") == row.scan) & F.col("is_fake")
        claimed = store.read("current_verdicts").where(now).select("image_id")
        over.append(wait.join(claimed, "image_id", "left_semi"))
    if row.reference_images is not None:
        over += _too_many(store, config, wait)
    if over:
        rows = reduce(DataFrame.unionByName, (part.select("scan", "path") for part in over))
        gone = dict.fromkeys(CELLS, "null") | {"features": "0"}
        store.update("arrivals", rows.distinct(), gone, "old.features > 0")


def _too_many(store: Store, config: Config, wait: DataFrame) -> list[DataFrame]:
    groups = wait.groupBy("width", "height").agg(
        F.count("*").alias("images"), F.sum("features").alias("bytes"), F.min("scan").alias("first")
    )
    sizes = groups.collect()
    most = max((row.images for row in sizes), default=0)
    size = sum(row.bytes for row in sizes)
    first = min((row.first for row in sizes), default=0)
    over = []
    if most > config.scan.waiting:
        newest = Window.partitionBy("width", "height").orderBy(F.desc("scan"), "image_id", "path")
        placed = wait.withColumn("place", F.row_number().over(newest))
        over.append(placed.where(F.col("place") > config.scan.waiting))
    if size > config.scan.waiting_bytes:
        newest = Window.orderBy(F.desc("scan"), "image_id", "path")
        summed = wait.withColumn("so_far", F.sum("features").over(newest))
        over.append(summed.where(F.col("so_far") > config.scan.waiting_bytes))
    oldest = datetime.now(UTC) - timedelta(days=config.scan.waiting_days)
    past = store.read("runs").where(F.col("finished") < F.lit(oldest))
    if (last := past.agg(F.max("scan")).collect()[0][0] or 0) >= first > 0:
        over.append(wait.where(F.col("scan") <= last))
    return over
