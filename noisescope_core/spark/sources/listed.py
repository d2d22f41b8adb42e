"""Listing of a store of any size: by the executors, folder by folder, or by Spark.

Nothing of it passes through the driver where executors list. What they see is what they may read,
by the store's own credentials; where only Spark's reach the store, it lists (`scan.access`). Where
others keep a table of its files, that is read in place of a listing (`scan.listing`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import fs
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from noisescope_core.app.folders import COPYING, spelt, walk, why_unread
from noisescope_core.app.places import is_uri, is_volume, plain_path
from noisescope_core.archives import is_archive
from noisescope_core.config import Config
from noisescope_core.images.decode import refused_size
from noisescope_core.spark.sources.discovered import discovered_files
from noisescope_core.spark.sources.files import spark_files, without_scheme
from noisescope_core.spark.tables.frames import frame
from noisescope_core.tables.schemas import arrow_schema, names_in
from noisescope_core.tables.storage import file_system, with_retries

LISTED = "path string, bytes long, modified long, reason string"
"""What a listing says of a file: `modified` in microseconds since 1970, and why it is not read."""

LEVELS = 2
"""Levels of folders that are shared out among tasks before each task lists all that is below;
chosen: stores are kept by day or by user, and each of them is a task's work."""

ROWS = 10_000
"""Files that a task hands on at once; chosen: a megabyte."""

_ENTRIES = f"{LISTED}, folder boolean"

Batches = Iterator[pa.RecordBatch]


def listed_files(
    spark: SparkSession, location: str, config: Config, folders: Sequence[str] | None = None
) -> DataFrame:
    """List the files of a folder or a store: rows of `LISTED`.

    Where a table names them (`scan.listing`), nothing is listed.

    Hidden names are listed, too; what a copy has not finished is not. An error in a task names a
    location that is not there.

    Parameters
    ----------
    folders : of the location, from `top_folders`, to list these alone; None lists all. A table is
        not taken folder by folder
    """
    limit = config.decode.max_bytes
    listed = None
    if config.scan.listing is not None:
        listed = discovered_files(spark, config.scan.listing, location)
    elif config.scan.access == "spark":
        listed = _listed_by_spark(spark, *(folders or [location]))
    if listed is not None:
        return listed.mapInArrow(_with_reasons(limit), LISTED)
    names = [location] if folders is None else folders
    entries = frame(spark, [{"path": name, "folder": True} for name in names], _ENTRIES)
    if not (is_uri(location) or is_volume(location)):
        # One disk, whose links may lead anywhere in it.
        entries = entries.coalesce(1).mapInArrow(_walker(location, limit), _ENTRIES)
    else:
        for _ in range(LEVELS):
            entries = _listed_on(entries, location, config, below=False)
        entries = _listed_on(entries, location, config, below=True)
    return entries.where("not folder").select(*names_in(LISTED))


def top_folders(spark: SparkSession, location: str, config: Config) -> list[str]:
    """Name the folders in a location, and last itself: for what lies in none of them."""
    root = frame(spark, [{"path": location, "folder": True}], _ENTRIES)
    entries = root.coalesce(1).mapInArrow(
        _lister(location, config.decode.max_bytes, below=False), _ENTRIES
    )
    return [*sorted(row.path for row in entries.where("folder").select("path").collect()), location]


def _listed_by_spark(spark: SparkSession, *locations: str) -> DataFrame:
    """List by Spark: it asks for every file once more, and keeps the names on its driver."""
    files = spark_files(spark, *locations)
    listed = files.select(
        without_scheme("path").alias("path"),
        F.col("length").alias("bytes"),
        F.unix_micros("modificationTime").alias("modified"),
    )
    # Spark has no row of an empty file.
    names = ({"path": plain_path(unquote(uri)), "bytes": 0} for uri in files.inputFiles())
    empty = frame(spark, names, "path string, bytes long, modified long")
    return listed.unionByName(empty.join(listed, "path", "left_anti"))


def _with_reasons(limit: int) -> Callable[[Batches], Batches]:
    def add_reasons(batches: Batches) -> Batches:
        for batch in batches:
            rows = zip(batch["path"].to_pylist(), batch["bytes"].to_pylist(), strict=True)
            reasons = [_refused(path, size, limit) for path, size in rows]
            columns = [*batch.columns, pa.array(reasons, pa.string())]
            yield pa.RecordBatch.from_arrays(columns, schema=arrow_schema(LISTED))

    return add_reasons


def _refused(path: str, size: int, limit: int) -> str | None:
    """Say why a file is not read, by its size; an archive may be of any."""
    return None if size and is_archive(path) else refused_size(size, limit)


def _listed_on(entries: DataFrame, location: str, config: Config, below: bool) -> DataFrame:
    """Put in place of each folder what it holds, or all that lies `below` it."""
    shared_out = entries.repartition(config.scan.list_tasks, "path")
    return shared_out.mapInArrow(_lister(location, config.decode.max_bytes, below), _ENTRIES)


def _walker(location: str, limit: int) -> Callable[[Batches], Batches]:
    def list_disk(batches: Batches) -> Batches:
        for batch in batches:
            for folder in batch["path"].to_pylist():
                yield from _in_batches(_on_disk(folder, limit, must_be=folder == location))

    return list_disk


def _on_disk(location: str, limit: int, must_be: bool) -> Iterator[dict[str, Any]]:
    if os.path.isfile(location):
        files, closed = [location], dict[str, str]()
    else:
        walked = walk(location)
        files, closed = walked.files, walked.closed
        if must_be and os.path.abspath(location) in closed:
            raise FileNotFoundError(f"{location}: {closed[os.path.abspath(location)]}")
    for path, reason in closed.items():
        yield {"path": spelt(path), "bytes": 0, "reason": reason}
    for path in files:
        if path.endswith(COPYING):
            continue
        unread = why_unread(path)
        try:
            known = os.stat(path)
        except OSError:
            yield {"path": spelt(path), "bytes": 0, "reason": unread}
            continue
        size = 0 if unread else known.st_size
        yield {
            "path": spelt(path),
            "bytes": size,
            "modified": known.st_mtime_ns // 1000,
            "reason": unread or _refused(path, size, limit),
        }


def _lister(location: str, limit: int, below: bool) -> Callable[[Batches], Batches]:
    def list_folders(batches: Batches) -> Batches:
        system, root = file_system(location)
        for batch in batches:
            is_folder = batch["folder"]
            yield batch.filter(pa.compute.invert(is_folder))
            for folder in batch.filter(is_folder)["path"].to_pylist():
                yield from _in_batches(_in_store(system, root, location, folder, limit, below))

    return list_folders


def _in_store(
    system: fs.FileSystem, root: str, location: str, folder: str, limit: int, below: bool
) -> Iterator[dict[str, Any]]:
    folders = [folder]
    while folders:
        name = folders.pop()
        place = root.rstrip("/") + name[len(location) :] if name != location else root
        try:
            found = _entries(system, place)
        except OSError as error:
            if name == location:
                raise
            reason = f"folder that cannot be listed ({type(error).__name__}): nothing in it is read"
            yield {"path": name, "bytes": 0, "reason": reason, "folder": False}
            continue
        for entry in found:
            path = location.rstrip("/") + entry.path.rstrip("/")[len(root.rstrip("/")) :]
            if entry.type == fs.FileType.Directory:
                if below:
                    folders.append(path)
                else:
                    yield {"path": path, "folder": True}
            elif not path.endswith(COPYING):
                yield {
                    "path": path,
                    "bytes": entry.size,
                    "modified": None if entry.mtime_ns is None else entry.mtime_ns // 1000,
                    "reason": _refused(path, entry.size, limit),
                }


def _entries(system: fs.FileSystem, place: str) -> list[fs.FileInfo]:
    def ask() -> list[fs.FileInfo]:
        info = system.get_file_info(place)
        if info.type == fs.FileType.File:
            return [info]
        return list(system.get_file_info(fs.FileSelector(place)))

    return with_retries(ask)


def _in_batches(rows: Iterator[dict[str, Any]]) -> Batches:
    held: list[dict[str, Any]] = []
    for row in rows:
        held.append({"folder": False, **row})
        if len(held) >= ROWS:
            yield pa.RecordBatch.from_pylist(held, arrow_schema(_ENTRIES))
            held = []
    yield pa.RecordBatch.from_pylist(held, arrow_schema(_ENTRIES))
