"""A store that was there before, scanned a part at a time, into a schema of a catalog."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from noisescope_core.config import Config, load_config
from noisescope_core.simulate import write_dump
from noisescope_core.spark.scans.scan import backfill, scan
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.session.progress import Progress

SCHEMA = "spark_catalog.old_scans"

TABLES = ("verdicts", "current_verdicts", "seen", "images")


def run_days(spark: Any, config: Config, folder: Path) -> dict[str, Any]:
    """Run the scans: by the name of each its rows of `runs`, and what tables hold in the end."""
    write_dump(
        folder / "dump", photographs=30, generated=1, reference=120, size=96, seed=5, broken=False
    )
    files = sorted((folder / "dump/images").iterdir())
    images = folder / "images"
    spark.sql("CREATE SCHEMA old_scans")
    store = Store(spark, SCHEMA, str(folder / "work"))
    places = str(images), str(folder / "dump/reference")
    told: dict[str, Any] = {}

    def put(names: Sequence[str]) -> None:
        for name in names:
            (images / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(files.pop(), images / name)

    def scanned(name: str, *settings: str, **more: Any) -> None:
        # One search counts the reference, after which too few images come for another.
        limits = load_config(None, ("scan.gather=1000", *settings)).scan
        decode = load_config(None, settings).decode
        now = config.model_copy(update={"scan": limits, "decode": decode})
        progress = Progress(spark)
        rows = (
            backfill(store, now, progress, *places)
            if name == "backfill"
            else [scan(store, now, progress, *places, **more)]
        )
        told[name] = [{key: row[key] for key in ("scan", "files", "quarantined")} for row in rows]

    put(["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg", "lies in no folder.jpg"])
    with zipfile.ZipFile(images / "b/packed.zip", "w") as archive:
        for member in ("1.jpg", "2.jpg"):
            archive.write(files.pop(), member)
    scanned("backfill", "scan.list_tasks=1")
    told["taken in the order"] = [
        sorted(str(Path(row.path).relative_to(images)) for row in rows)
        for rows in (
            store.read("seen").where(f"scan = {row['scan']}").collect()
            for row in told["backfill"] if row["files"]
        )
    ]  # fmt: skip
    put(["d/1.jpg", "d/2.jpg", "d/3.jpg"])
    for number in (1, 2):
        scanned(f"two files {number}", "scan.files=2")
    put(_names_of_batches(spark, images))
    for number in (1, 2):
        # Time is up as soon as one batch is read.
        scanned(f"no time {number}", "scan.hours=1e-9", "scan.batch_files=2")
    put(["f/old.jpg", "f/new.jpg"])
    long_ago = datetime.now(UTC) - timedelta(days=3)
    os.utime(images / "f/old.jpg", times=(long_ago.timestamp(),) * 2)
    scanned("since", since=datetime.now(UTC) - timedelta(days=1))
    scanned("since no time")
    put(["g/large.jpg", "g/as large.jpg"])
    scanned("too large", "decode.max_pixels=5000")
    put(["a/1.jpg"])
    scanned("replaced")
    scanned("not retried")
    scanned("retried", retry_quarantined=True)
    put(["h/by Spark.jpg"])
    scanned("by Spark", "scan.access=spark")
    put(["i/discovered.jpg", "i/not yet.jpg"])
    table = folder / "discovered"
    _discover(spark, table, [images / name for name in ("i/discovered.jpg", "a/1.jpg")])
    scanned("discovered", f"scan.listing={table}")
    told["tables"] = {
        table: [row.asDict() for row in store.read(table).collect()] for table in TABLES
    }
    told["path"] = str(images / "a/1.jpg")
    current = store.read("current_verdicts")
    told["files of the table"] = [
        len(rows.inputFiles()) for rows in (current, current.where(f"path = '{told['path']}'"))
    ]
    return told


def _names_of_batches(spark: Any, images: Path) -> list[str]:
    """Name two files that the first of two batches takes, and one that the other does."""
    names = [f"e/{number}.jpg" for number in range(40)]
    paths = spark.createDataFrame([(f"{images}/{name}",) for name in names], "path string")
    rows = paths.selectExpr("pmod(xxhash64(path), 2) AS batch").collect()
    of = [[name for name, row in zip(names, rows, strict=True) if row.batch == k] for k in (0, 1)]
    return [*of[0][:2], of[1][0]]


def _discover(spark: Any, table: Path, files: Sequence[Path]) -> None:
    """Write a table of files as Auto Loader does, the first of them twice."""
    rows = [
        (f"file:{file}", file.stat().st_size, datetime.fromtimestamp(file.stat().st_mtime, UTC))
        for file in files
    ]
    rows += [(rows[0][0], 1, datetime(2020, 1, 1, tzinfo=UTC)), ("s3://elsewhere/1.jpg", 1, None)]
    names = "path string, length long, modificationTime timestamp"
    spark.createDataFrame(rows, names).write.format("delta").save(str(table))
