"""Which sizes of image a scan searches, and which of them can be decided (`sizes`)."""

from __future__ import annotations

from dataclasses import replace

from pyspark.sql import functions as F

from noisescope_core.images import Size
from noisescope_core.methods import method_of
from noisescope_core.spark.scans.context import Scan
from noisescope_core.spark.tables.frames import frame
from noisescope_core.tables.rows import CalibrationRow, SizeRow
from noisescope_core.tables.schemas import LONG_LIVED


def sizes_to_search(scan: Scan) -> list[Size]:
    """Sizes of which enough images wait, and enough of them are new or none was searched yet."""
    store, config = scan.store, scan.config
    searched = {
        (row.width, row.height)
        for row in store.read("sizes").where(F.col("searched_scan") < scan.number).collect()
    }
    is_new = F.when(F.col("scan") == scan.number, 1)
    waiting = (
        store.read("waiting")
        .groupBy("width", "height")
        .agg(F.count("*").alias("images"), F.count(is_new).alias("new"))
        .collect()
    )
    return sorted(
        (row.width, row.height)
        for row in waiting
        if row.images >= method_of(config).least_images(config)
        and (row.new >= config.scan.gather or (row.width, row.height) not in searched)
        and row.new
    )


def first_decided(scan: Scan, searched: list[Size]) -> list[Size]:
    """Sizes of this scan's search that no search before could decide."""
    before = scan.store.read("sizes").where(F.col("decided_scan") < scan.number).collect()
    decided = {(row.width, row.height) for row in before}
    return [size for size in searched if size not in decided]


def decide_sizes(scan: Scan, searched: list[Size]) -> list[CalibrationRow]:
    """Update `sizes` after a search.

    Returns
    -------
    list of CalibrationRow
        Of every size that images wait for, or that was met in an earlier scan.
    """
    store = scan.store
    stored = {
        (row.width, row.height): SizeRow(**row.asDict()) for row in store.read("sizes").collect()
    }
    calibrated = {}
    if searched:
        rows = [CalibrationRow(**row) for row in scan.run.rows("calibration")]
        calibrated = {(row.width, row.height): row for row in rows}
    counts = store.read("waiting").groupBy("width", "height").agg(F.count("*").alias("images"))
    sizes: dict[Size, SizeRow] = {}
    for row in sorted(counts.collect(), key=lambda row: (row.width, row.height)):
        size, before = (row.width, row.height), stored.get((row.width, row.height))
        if size in calibrated:
            sizes[size] = _searched(calibrated[size], row.images, scan.number)
        elif before and before.searched_scan is not None:
            sizes[size] = replace(before, waiting=row.images)
        else:
            sizes[size] = _unsearched(
                size, row.images, method_of(scan.config).least_images(scan.config)
            )
    update = {name: f"new.{name}" for name in ("waiting", "reference", "searched_scan", "reason")}
    update["decided_scan"] = "coalesce(old.decided_scan, new.decided_scan)"
    if changed := [row for size, row in sizes.items() if row != stored.get(size)]:
        store.merge("sizes", frame(store.spark, changed, LONG_LIVED["sizes"]), update)
    emptied = {size: replace(row, waiting=0) for size, row in stored.items() if size not in sizes}
    return [
        CalibrationRow(
            row.width,
            row.height,
            row.waiting,
            row.reference,
            reason=row.reason,
            unscored=row.reason,
        )
        for row in (sizes | emptied).values()
    ]


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
        f"too few images of {width} x {height} so far to decide: {waiting:,}, "
        f"needed {least_images:,}"
    )
    return SizeRow(width=width, height=height, waiting=waiting, reason=reason)
