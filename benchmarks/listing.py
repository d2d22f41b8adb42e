"""Scans of a store of many files: to list it, and to see that nothing or little is new.

The files are entries alone, without bytes; those that are new are images.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from noisescope_core.config import Config, configured
from noisescope_core.simulate import write_dump
from noisescope_core.spark.scans.listing import unseen
from noisescope_core.spark.scans.scan import scan
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.scans.upgrade import open_tables
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.session.start import session_settings, start_session
from noisescope_core.spark.sources.listed import listed_files
from noisescope_core.spark.tables.frames import frame
from noisescope_core.tables.schemas import LONG_LIVED

Row = dict[str, Any]

IN_A_FOLDER = 1000

NEW = 100
"""Images that arrive."""


def listing(data: Path, sizes: tuple[int, ...] = (10_000, 100_000, 1_000_000)) -> list[Row]:
    """Scan stores of so many entries: a row for each."""
    folder = data / "listing"
    shutil.rmtree(folder, ignore_errors=True)
    write_dump(folder / "dump", photographs=2 * NEW, generated=0, reference=80, size=96, seed=3,
               broken=False)  # fmt: skip
    counting = {"spark.conf.spark.ui.enabled": True, "spark.conf.spark.ui.retainedJobs": 1_000_000}
    config = configured(dict[str, Any](counting))
    spark = start_session(config, folder / "spark.log", delta=True)
    with session_settings(spark, config):
        rows = [_measured(spark, config, folder, size) for size in sizes]
    spark.stop()
    return rows


def _measured(spark: SparkSession, config: Config, folder: Path, size: int) -> Row:
    images = folder / f"{size}"
    for number in range(size // IN_A_FOLDER):
        (images / f"{number:04d}").mkdir(parents=True)
        for entry in range(IN_A_FOLDER):
            os.close(os.open(images / f"{number:04d}/{entry:04d}.jpg", os.O_CREAT | os.O_WRONLY))
    store = Store(spark, str(folder / f"tables-{size}"))
    open_tables(store)
    found = listed_files(spark, str(images), config)
    last = {"scan": 1, "registry_version": 0, "queued": 0, "finished": datetime.now(UTC)}
    store.append("seen", found.withColumn("scan", F.lit(1)), 1)
    store.append("runs", frame(spark, [last], LONG_LIVED["runs"]))
    row: Row = {"entries": size}
    row["listed, s"], row["entries listed"] = _timed(found.count)
    row["held against seen, s"], row["new"] = _timed(unseen(store, found).count)

    def scanned() -> Row:
        places = str(images), str(folder / "dump/reference")
        return scan(store, config, Progress(spark), *places)

    jobs = _jobs(spark)
    row["scan of nothing new, s"], _ = _timed(scanned)
    row["its jobs"] = _jobs(spark) - jobs
    for name in ("first", "second"):
        _deliver(folder, images, name)
        jobs = _jobs(spark)
        row[f"{name} {NEW} images, s"], done = _timed(scanned)
        row[f"{name}, jobs"] = _jobs(spark) - jobs
        row[f"{name}, listing and reading, s"] = done["arrivals_seconds"]
    row["Python of the driver, MiB"] = psutil.Process().memory_info().rss >> 20
    print(row, flush=True)
    return row


def _deliver(folder: Path, images: Path, name: str) -> None:
    files = sorted((folder / "dump/images").iterdir())
    half = files[:NEW] if name == "first" else files[NEW:]
    (images / name).mkdir()
    for file in half:
        shutil.copy(file, images / name)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.monotonic()
    done = work()
    return round(time.monotonic() - started, 1), done


def _jobs(spark: SparkSession) -> int:
    time.sleep(0.3)
    return int(spark.sparkContext._jsc.sc().statusStore().jobsList(None).size())
