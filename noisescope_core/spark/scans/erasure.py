"""Erasure of images from the tables of scans, however many, with a row that says it was done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import pyarrow as pa
from pyarrow import fs
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from noisescope_core.errors import NoiseScopeError, UsageError
from noisescope_core.spark.scans.lease import leased
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.scans.upgrade import open_tables
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.tables.frames import frame
from noisescope_core.spark.tables.run import folders_in
from noisescope_core.tables.schemas import LONG_LIVED
from noisescope_core.tables.storage import file_system

ERASED = "erased"
"""In place of a member that was erased: how many made a fingerprint is part of its test."""

_ROWS_OF_IMAGES = {
    "images": ("image_id",),
    "verdicts": ("image_id", "path"),
    "current_verdicts": ("image_id", "path"),
    "quarantine": ("image_id", "path"),
    "arrivals": ("image_id", "path"),
    "seen": ("path",),
    "unreadable": ("path",),
}
"""Tables with rows of images, and the columns that name these."""

Batches = Iterator[pa.RecordBatch]


def erase(
    store: Store, minutes: float, progress: Progress, paths: Sequence[str], ids: Sequence[str],
    by: str, at_once: bool = False,
) -> dict[str, int]:  # fmt: skip
    """Erase images from all tables, and note it in `erasures`.

    Parameters
    ----------
    minutes : `scan.lease_minutes`
    paths : of files; every image that was seen there is erased under every path
    ids : of images
    by : who erases
    at_once : whether the files go at once that only earlier states of the tables need; else
        `maintain` deletes them. Whoever reads or writes the tables meanwhile may fail by it.

    Returns
    -------
    dict
        Rows erased by table.

    Raises
    ------
    UsageError
        If a file is still there, and would be scanned again, or nothing is known of the images.
    NoiseScopeError
        If a scan has begun and not ended.
    """
    open_tables(store)
    with leased(store, minutes) as held, progress.stage("erase") as stage:
        if any(folder.isdigit() for folder in folders_in(store.scans)):
            raise NoiseScopeError(f"{store.location}: a scan has not ended; scan, then erase")
        gone = _concerned(held, paths, ids)
        _check_gone(gone["path"])
        counts = {}
        for table, names in _ROWS_OF_IMAGES.items():
            counts[table] = sum(held.delete(table, gone[name], [name]) for name in names)
        counts["fingerprints"] = _erase_members(held, gone["image_id"])
        if not any(counts.values()):
            raise UsageError("erase: no table knows these images")
        changed = [table for table, rows in counts.items() if rows]
        # Rows that were deleted lie in the tables' files still.
        held.rewrite_without_deleted(changed)
        now = datetime.now(UTC)
        row = {"erased": now, "analyst": by, "images": gone["image_id"].count(),
               "paths": gone["path"].count(), "rows": sum(counts.values())}  # fmt: skip
        if at_once:
            held.vacuum(changed, 0)
            row["purged"] = now
        held.merge("erasures", frame(store.spark, [row], LONG_LIVED["erasures"]))
        stage.done(", ".join(f"{table} {count:,}" for table, count in counts.items() if count))
        return counts


def _concerned(store: Store, paths: Sequence[str], ids: Sequence[str]) -> dict[str, DataFrame]:
    """Name what is erased: ids of images under `image_id`, and under `path` all of their paths."""
    named_paths = frame(store.spark, [{"path": path} for path in paths], "path string")
    named_ids = frame(store.spark, [{"image_id": one} for one in ids], "image_id string")
    verdicts = store.read("verdicts").select("path", "image_id")
    at_paths = verdicts.join(named_paths, "path", "left_semi").select("image_id")
    images = at_paths.union(named_ids).where("image_id is not null").distinct()
    of_images = verdicts.join(images, "image_id", "left_semi").select("path")
    # As they are now: the tables that say so are about to lose these rows.
    return {
        "image_id": _local(images, "image_id"),
        "path": _local(of_images.union(named_paths).distinct(), "path"),
    }


def _local(rows: DataFrame, name: str) -> DataFrame:
    values = [{name: row[0]} for row in rows.collect()]
    return frame(rows.sparkSession, values, f"{name} string")


def _check_gone(paths: DataFrame) -> None:
    """Raise UsageError if a file is still there."""
    left = paths.mapInArrow(_those_there(), "path string")
    count, first = left.agg(F.count("*"), F.min("path")).collect()[0]
    if count:
        more = f" and {count - 1:,} more" if count > 1 else ""
        raise UsageError(f"{first}{more}: delete the file first, or it is scanned again")


def _those_there() -> Callable[[Batches], Batches]:
    def keep(batches: Batches) -> Batches:
        for batch in batches:
            there = []
            for path in batch["path"].to_pylist():
                system, place = file_system(path)
                there.append(system.get_file_info(place).type == fs.FileType.File)
            yield batch.filter(pa.array(there, pa.bool_()))

    return keep


def _erase_members(store: Store, ids: DataFrame) -> int:
    """Take images out of fingerprints' members: in how many fingerprints they were."""
    gone = ids.select(F.col("image_id").alias("member"), F.lit(True).alias("erased"))
    pixels = F.coalesce("member_pixels", F.array().cast("array<string>"))
    each = store.read("fingerprints").select(
        "fingerprint_id", F.posexplode(F.arrays_zip("members", pixels.alias("pixels")))
    )
    each = each.select("fingerprint_id", "pos", "col.members", "col.pixels")
    each = each.join(F.broadcast(gone), F.col("members") == F.col("member"), "left")
    erased = F.col("erased").isNotNull()
    member = F.struct(
        "pos",
        F.when(erased, ERASED).otherwise(F.col("members")).alias("member"),
        F.when(~erased, F.col("pixels")).alias("pixels"),
    )
    whole = each.groupBy("fingerprint_id").agg(
        F.array_sort(F.collect_list(member)).alias("all"), F.bool_or(erased).alias("concerned")
    )
    changed = whole.where("concerned").select(
        "fingerprint_id",
        F.col("all.member").alias("members"),
        F.col("all.pixels").alias("member_pixels"),
    )
    names = ("members", "member_pixels")
    return store.update("fingerprints", changed, {name: f"new.{name}" for name in names})
