"""What is new in a store: listed, and held against what scans have seen, file by file.

A file is known by its path, size and time of change, so that one replaced under its name is new
again; the time decides nothing else but the order in which files are taken, the newest first, where
a scan cannot take all.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.errors import NoiseScopeError, first_line
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.sources.listed import listed_files
from noisescope_core.spark.tables.run import Run, folders_in

_LISTINGS = "listed-"
"""How folders of listings are named; the time follows."""

_KEPT_DAYS = 2
"""Days that a listing is kept which no scan has taken; chosen: no scan waits so long."""


def list_new(
    store: Store, config: Config, progress: Progress, images: str, since: datetime | None,
    folders: Sequence[str] | None,
) -> Run:  # fmt: skip
    """List a store, and write what is new in it, as much as a scan takes: `listed`.

    No lease is needed for it, however long it takes.

    Parameters
    ----------
    since : files that were changed before are not looked at; None looks at all
    folders : of the store that are listed; None lists all

    Raises
    ------
    NoiseScopeError
        If the store cannot be listed.
    """
    name = f"{_LISTINGS}{datetime.now(UTC):%Y%m%d%H%M%S}-{uuid4().hex[:8]}"
    run = Run(store.spark, f"{store.scans}/{name}")
    with progress.stage("listing") as stage:
        found = listed_files(store.spark, images, config, folders)
        if since is not None:
            micros = int(since.timestamp() * 1e6)
            found = found.where(F.coalesce(F.col("modified") >= micros, F.lit(True)))
        try:
            run.write("listed", _at_most(unseen(store, found), config))
        except Exception as error:
            of_table = "/_delta_log/" in str(error)
            what = (
                f"{store.location}: table seen cannot be read"
                if of_table
                else (f"{images}: cannot be scanned")
            )
            raise NoiseScopeError(f"{what} ({first_line(error)})") from error
        in_folders = f" in {len(folders):,} folders" if folders else ""
        stage.done(f"{run.count('listed'):,} new files{in_folders}")
    return run


def unseen(store: Store, found: DataFrame) -> DataFrame:
    """Leave out what a scan has seen as it is now: rows of `listed`.

    Parameters
    ----------
    found : rows of `LISTED`
    """
    # Spark tells times by milliseconds, others by less: who lists may change.
    state = F.struct("bytes", F.expr("modified div 1000").alias("modified"))
    seen = store.read("seen").select("path", state.alias("before"), F.lit(True).alias("known"))
    # What an earlier version saw has no time.
    same = F.col("before.modified").isNull() | state.eqNullSafe(F.col("before"))
    known = F.col("known").isNotNull()
    return (
        found.join(seen, "path", "left")
        .groupBy("path", "bytes", "modified", "reason")
        .agg(F.bool_or(known & same).alias("as_it_was"), F.bool_or(known).alias("replaced"))
        .where("not as_it_was")
        .drop("as_it_was")
    )


def _at_most(new: DataFrame, config: Config) -> DataFrame:
    """Take the newest, up to `scan.files` and about `scan.bytes`."""
    order = F.desc_nulls_last("modified"), F.col("path")
    taken = new.orderBy(*order).limit(config.scan.files)
    before = F.sum("bytes").over(Window.orderBy(*order).rowsBetween(Window.unboundedPreceding, -1))
    sized = taken.withColumn("before", F.coalesce(before, F.lit(0)))
    return sized.where(F.col("before") < config.scan.bytes).drop("before")


def remove_old_listings(store: Store) -> None:
    """Remove listings that processes left which died before they took the lease."""
    oldest = f"{_LISTINGS}{datetime.now(UTC) - timedelta(days=_KEPT_DAYS):%Y%m%d%H%M%S}"
    for name in folders_in(store.scans):
        if name.startswith(_LISTINGS) and name < oldest:
            Run(store.spark, f"{store.scans}/{name}").remove_whole()
