"""Stage 1: list the files that a run answers for, and read them, each to a row of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.errors import NoiseScopeError
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.sources.files import content_of
from noisescope_core.spark.sources.placed import content_of_each
from noisescope_core.spark.sources.source import Listing, list_source, read_listed
from noisescope_core.spark.tables.frames import frame
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.schemas import UNREADABLE

MOST_REASONS = 3
"""Reasons that an error names: chosen, to stay one line."""


@dataclass(frozen=True)
class Listed:
    """Files of one role that can be read.

    Attributes
    ----------
    content : rows of `CONTENT`
    files, bytes : numbers
    """

    content: DataFrame
    files: int
    bytes: int

    def __str__(self) -> str:
        """Say how many there are, and how large they are together."""
        return f"{self.files:,} files, {self.bytes / 1e6:,.1f} MB"


def list_files(
    run: Run, config: Config, progress: Progress, folders: Mapping[str, str]
) -> dict[str, Listed]:
    """List locations by role and write `files`."""
    with progress.stage("list") as stage:
        with ThreadPoolExecutor() as pool:
            of_role = pool.map(
                lambda role: list_source(run.spark, folders[role], role, config), folders
            )
            listings = dict(zip(folders, of_role, strict=True))
        if any(listing.others is not None for listing in listings.values()):
            frames = [listing.frame(run.spark) for listing in listings.values()]
            run.write("files", reduce(DataFrame.unionByName, frames))
        else:
            run.write_rows("files", [row for listing in listings.values() for row in listing.rows])
        listed = {role: _counted(run, config, role, listing) for role, listing in listings.items()}
        names = {"image": "files to test", "reference": "reference files"}
        counts = [f"{one.files:,} {names[role]}" for role, one in listed.items()]
        megabytes = sum(one.bytes for one in listed.values()) / 1e6
        stage.done(f"{', '.join(counts)}, {megabytes:,.1f} MB")
    return listed


def _counted(run: Run, config: Config, role: str, listing: Listing) -> Listed:
    files = size = 0
    for batch in run.batches("files", _is_readable(role), ["bytes"]):
        files += len(batch)
        size += pc.sum(batch["bytes"]).as_py() or 0
    if listing.files is not None and not any(row.place for row in listing.rows):
        content = content_of(listing.files, config)
    else:
        content = read_listed(run.spark, readable(run, role), config, listing.files)
    return Listed(content, files, listing.bytes or size)


def readable(run: Run, role: str) -> DataFrame:
    """Read the rows of `files` of one role that are to be read."""
    return run.read("files").where((F.col("role") == role) & F.col("reason").isNull())


def _is_readable(role: str) -> ds.Expression:
    """Tell the rows of `readable`, past Spark's JVM."""
    return (ds.field("role") == role) & ds.field("reason").is_null()


def read_again(run: Run, config: Config, paths: Sequence[str] | None = None) -> DataFrame:
    """Read the tested files again: rows of `CONTENT`.

    Parameters
    ----------
    paths : as in `files`, or None for all
    """
    listed = readable(run, "image")
    if paths is None:
        return read_listed(run.spark, listed, config)
    wanted = frame(run.spark, ({"path": path} for path in paths), "path string")
    chosen = listed.join(F.broadcast(wanted), "path", "left_semi")
    return read_listed(run.spark, chosen, config, whole=False)


def write_read(
    run: Run,
    config: Config,
    table: str,
    role: str,
    content: DataFrame,
    rows: Callable[[DataFrame], DataFrame],
    stored: DataFrame | None = None,
) -> None:
    """Write a table that has a row of every file that is read, and ask again for what is missing.

    Spark leaves out a file that it cannot read, whatever the reason. Such files are read once more
    by themselves, with `source.attempts`, and have a row that says why if that fails.

    Parameters
    ----------
    content : rows of `CONTENT`, of all readable files of the role
    rows : from these to the table's
    stored : rows of the table that are there already, whose files are not read; None if all are
    """
    readable_files = _readable_files(run, role)

    def missing() -> DataFrame:
        read = run.read(table).select("path")
        return readable(run, role).join(read, "path", "left_anti")

    run.write(table, rows(content) if stored is None else stored)
    if stored is not None and _files_in(run, table, role) < readable_files:
        run.append(table, rows(read_listed(run.spark, missing(), config, whole=False)))
    if _files_in(run, table, role) < readable_files:
        run.append(table, rows(content_of_each(missing(), config)))


def _readable_files(run: Run, role: str) -> int:
    return run.count("files", _is_readable(role))


def _files_in(run: Run, table: str, role: str) -> int:
    """Count the files of which a table has rows."""
    if role == "image":
        return run.count(table)
    # A reference image has a row in each size that it is brought to.
    paths = [batch["path"] for batch in run.batches(table, ds.field("path").is_valid(), ["path"])]
    return len(pc.unique(pa.chunked_array(paths, pa.string())))


def check_unreadable(run: Run, config: Config, table: str, role: str) -> None:
    """Raise NoiseScopeError if more than `source.unreadable` of the files could not be read.

    Parameters
    ----------
    table : from `write_read`
    """
    unreadable = run.count(table, ds.field("status") == UNREADABLE)
    files = _readable_files(run, role) if unreadable else 0
    if unreadable <= config.source.unreadable * files:
        return
    reasons = (
        run.read(table)
        .where(F.col("status") == UNREADABLE)
        .groupBy("reason")
        .count()
        .orderBy(F.desc("count"), "reason")
        .limit(MOST_REASONS)
        .collect()
    )
    said = "; ".join(f"{row['count']:,} {row.reason}" for row in reasons)
    raise NoiseScopeError(
        f"{unreadable:,} of {files:,} files are unreadable, more than the share "
        f"source.unreadable={config.source.unreadable:g} allows: {said}"
    )
