"""Images that wait for a claim: rows of `arrivals` that have features, as many as are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.spark.scans.store import Store
from noisescope_core.tables.rows import RunRow
from noisescope_core.tables.schemas import CELLS


@dataclass(frozen=True)
class Kept:
    """What is stored of the images that wait.

    Attributes
    ----------
    most : rows of the size that has most
    bytes : of all features
    first_scan : number of the scan in which the first of them came; None if none wait
    """

    most: int
    bytes: int
    first_scan: int | None

    @staticmethod
    def asked() -> list[Column]:
        """What is asked of the rows of each size."""
        features = F.sum("features").alias("bytes")
        return [F.count("*").alias("rows"), features, F.min("scan").alias("first")]

    @staticmethod
    def of(sizes: Sequence[Any]) -> Kept:
        """Take together what the rows of each size answered."""
        return Kept(
            max((row.rows for row in sizes), default=0),
            sum(row.bytes for row in sizes),
            min((row.first for row in sizes), default=None),
        )


def waiting(store: Store) -> DataFrame:
    """Read the images that wait, each content once, as it came first: rows of `arrivals`."""
    return came(store).where("time = 1").drop("time")


def came(store: Store) -> DataFrame:
    """Read the rows of `arrivals` that have features, and the `time`, from 1 on, that each came."""
    first = Window.partitionBy("image_id").orderBy("scan", "path")
    rows = store.read("arrivals").where("features > 0")
    return rows.withColumn("time", F.row_number().over(first))


def release(store: Store, config: Config, row: RunRow, kept: Kept | None = None) -> None:
    """Take the features of images that are claimed by now, too old, or too many.

    Their number is looked at where they were searched: else no more than `scan.gather` came.

    Parameters
    ----------
    row : of `runs`, of the scan that ended last
    kept : as that scan counted it; None counts
    """
    wait = store.read("arrivals").where("features > 0")
    wait = wait.select("scan", "path", "image_id", "width", "height", "features")
    over = []
    if row.found or row.rejudged:
        now = (F.col("scan") == row.scan) & F.col("is_fake")
        claimed = store.read("current_verdicts").where(now).select("image_id")
        over.append(wait.join(claimed, "image_id", "left_semi"))
    if row.reference_images is not None:
        kept = kept or Kept.of(wait.groupBy("width", "height").agg(*Kept.asked()).collect())
        over += _too_many(store, config, wait, kept)
    if over:
        rows = reduce(DataFrame.unionByName, (part.select("scan", "path") for part in over))
        gone = dict.fromkeys(CELLS, "null") | {"features": "0"}
        store.update("arrivals", rows.distinct(), gone, "old.features > 0")


def _too_many(store: Store, config: Config, wait: DataFrame, kept: Kept) -> list[DataFrame]:
    over = []
    if kept.most > config.scan.waiting:
        newest = Window.partitionBy("width", "height").orderBy(F.desc("scan"), "image_id", "path")
        placed = wait.withColumn("place", F.row_number().over(newest))
        over.append(placed.where(F.col("place") > config.scan.waiting))
    if kept.bytes > config.scan.waiting_bytes:
        newest = Window.orderBy(F.desc("scan"), "image_id", "path")
        summed = wait.withColumn("so_far", F.sum("features").over(newest))
        over.append(summed.where(F.col("so_far") > config.scan.waiting_bytes))
    oldest = datetime.now(UTC) - timedelta(days=config.scan.waiting_days)
    past = store.read("runs").where(F.col("finished") < F.lit(oldest))
    if (last := past.agg(F.max("scan")).collect()[0][0] or 0) >= (kept.first_scan or 0) > 0:
        over.append(wait.where(F.col("scan") <= last))
    return over
