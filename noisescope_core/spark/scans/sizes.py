"""How many images wait, and which sizes a scan searches in place (`sizes`)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyspark.sql import functions as F

from noisescope_core.images import Size
from noisescope_core.methods import method_of
from noisescope_core.spark.scans.context import Scan
from noisescope_core.spark.scans.waiting import waiting
from noisescope_core.spark.tables.frames import frame
from noisescope_core.tables.rows import CalibrationRow, SizeRow
from noisescope_core.tables.schemas import LONG_LIVED


@dataclass(frozen=True)
class Waiting:
    """The images that wait for a claim.

    Attributes
    ----------
    of_sizes : number of them by size
    new : of these, came since the last search
    first_scan : number of the scan in which the first of them came; None if none wait
    sizes : of which enough wait to be searched in place, and enough of them are new
    """

    of_sizes: dict[Size, int]
    new: int
    first_scan: int | None
    sizes: list[Size]

    @property
    def images(self) -> int:
        """How many they are."""
        return sum(self.of_sizes.values())


def waiting_images(scan: Scan) -> Waiting:
    """Count the images that wait; a size that was never searched in place needs no new ones."""
    sizes = scan.store.read("sizes").where(F.col("searched_scan") < scan.number)
    searched = F.broadcast(sizes.select("width", "height", "searched_scan"))
    counts = (
        waiting(scan.store)
        .select("width", "height", "scan")
        .join(searched, ["width", "height"], "left")
        .groupBy("width", "height", "searched_scan")
        .agg(
            F.count("*").alias("images"),
            F.count_if(F.col("scan") > F.col("searched_scan")).alias("new"),
            F.count_if(F.col("scan") > scan.searched).alias("new_of_all"),
            F.min("scan").alias("first"),
        )
        .collect()
    )
    least, gather = method_of(scan.config).least_images(scan.config), scan.config.scan.gather
    return Waiting(
        {(row.width, row.height): row.images for row in counts},
        sum(row.new_of_all for row in counts),
        min((row.first for row in counts), default=None),
        sorted(
            (row.width, row.height)
            for row in counts
            if row.images >= least and (row.searched_scan is None or row.new >= gather)
        ),
    )


def update_sizes(scan: Scan, counted: Waiting) -> None:
    """Update `sizes`: of every size how many images wait, of those searched in place what came.

    Parameters
    ----------
    counted : what this scan has searched
    """
    store = scan.store
    stored = {
        (row.width, row.height): SizeRow(**row.asDict()) for row in store.read("sizes").collect()
    }
    calibrated = {}
    if counted.sizes:
        rows = [CalibrationRow(**row) for row in scan.run.rows("calibration")]
        calibrated = {(row.width, row.height): row for row in rows}
    least = method_of(scan.config).least_images(scan.config)
    sizes: dict[Size, SizeRow] = {}
    for size, images in counted.of_sizes.items():
        before = stored.get(size)
        if size in calibrated:
            sizes[size] = _searched(calibrated[size], images, scan.number)
        elif before and before.searched_scan is not None:
            sizes[size] = replace(before, waiting=images)
        else:
            sizes[size] = _unsearched(size, images, least)
    update = {name: f"new.{name}" for name in ("waiting", "reference", "searched_scan", "reason")}
    update["decided_scan"] = "coalesce(old.decided_scan, new.decided_scan)"
    if changed := [row for size, row in sorted(sizes.items()) if row != stored.get(size)]:
        store.merge("sizes", frame(store.spark, changed, LONG_LIVED["sizes"]), update)


def _searched(calibration: CalibrationRow, waiting: int, number: int) -> SizeRow:
    return SizeRow(
        width=calibration.width,
        height=calibration.height,
        waiting=waiting,
        reference=calibration.reference,
        decided_scan=number if calibration.reason is None else None,
        searched_scan=number,
        reason=calibration.reason,
    )


def _unsearched(size: Size, waiting: int, least_images: int) -> SizeRow:
    width, height = size
    reason = (
        f"too few images of {width} x {height} so far to be searched by themselves: {waiting:,}, "
        f"needed {least_images:,}"
    )
    return SizeRow(width=width, height=height, waiting=waiting, reason=reason)
