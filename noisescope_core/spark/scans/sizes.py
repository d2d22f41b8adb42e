"""How many images wait, and which sizes a scan searches in place (`sizes`)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyspark.sql import functions as F

from noisescope_core.images import Size
from noisescope_core.methods import method_of
from noisescope_core.spark.scans.context import Scan
from noisescope_core.spark.scans.waiting import Kept, came
from noisescope_core.spark.tables.frames import frame
from noisescope_core.tables.rows import CalibrationRow, SizeRow
from noisescope_core.tables.schemas import LONG_LIVED, long_lived_columns


@dataclass(frozen=True)
class Waiting:
    """The images that wait for a claim.

    Attributes
    ----------
    of_sizes : number of them by size
    known : what earlier scans noted of these sizes
    new : of the images, came since the last search
    kept : what is stored for them
    sizes : of which enough wait to be searched in place, and enough of them are new
    """

    of_sizes: dict[Size, int]
    known: dict[Size, SizeRow]
    new: int
    kept: Kept
    sizes: list[Size]

    @property
    def images(self) -> int:
        """How many they are."""
        return sum(self.of_sizes.values())


def waiting_images(scan: Scan) -> Waiting:
    """Count the images that wait; a size that was never searched in place needs no new ones."""
    # A scan that died may have noted itself.
    before = F.when(F.col("searched_scan") < scan.number, F.col("searched_scan"))
    known = F.struct(*long_lived_columns("sizes")).alias("known")
    sizes = scan.store.read("sizes").select("width", "height", known, before.alias("searched"))
    once = F.col("time") == 1
    counts = (
        came(scan.store)
        .select("width", "height", "scan", "features", "time")
        .join(F.broadcast(sizes), ["width", "height"], "left")
        .groupBy("width", "height", "known", "searched")
        .agg(
            *Kept.asked(),
            F.count_if(once).alias("images"),
            F.count_if(once & (F.col("scan") > F.col("searched"))).alias("new"),
            F.count_if(once & (F.col("scan") > scan.searched)).alias("new_of_all"),
        )
        .collect()
    )
    least, gather = method_of(scan.config).least_images(scan.config), scan.config.scan.gather
    return Waiting(
        {(row.width, row.height): row.images for row in counts},
        {(row.width, row.height): SizeRow(**row.known.asDict()) for row in counts if row.known},
        sum(row.new_of_all for row in counts),
        Kept.of(counts),
        sorted(
            (row.width, row.height)
            for row in counts
            if row.images >= least and (row.searched is None or row.new >= gather)
        ),
    )


def update_sizes(scan: Scan, counted: Waiting) -> None:
    """Update `sizes`: of every size how many images wait, of those searched in place what came.

    Parameters
    ----------
    counted : what this scan has searched
    """
    store = scan.store
    calibrated = {}
    if counted.sizes:
        rows = [CalibrationRow(**row) for row in scan.run.rows("calibration")]
        calibrated = {(row.width, row.height): row for row in rows}
    least = method_of(scan.config).least_images(scan.config)
    sizes: dict[Size, SizeRow] = {}
    for size, images in counted.of_sizes.items():
        before = counted.known.get(size)
        if size in calibrated:
            sizes[size] = _searched(calibrated[size], images, scan.number)
        elif before and before.searched_scan is not None:
            sizes[size] = replace(before, waiting=images)
        else:
            sizes[size] = _unsearched(size, images, least)
    update = {name: f"new.{name}" for name in ("waiting", "reference", "searched_scan", "reason")}
    update["decided_scan"] = "coalesce(old.decided_scan, new.decided_scan)"
    if changed := [row for size, row in sorted(sizes.items()) if row != counted.known.get(size)]:
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
