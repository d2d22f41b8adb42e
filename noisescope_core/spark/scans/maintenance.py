"""Care for the long-lived tables: compaction and retention."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.spark.scans.lease import leased
from noisescope_core.spark.scans.listing import remove_old_listings
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.scans.upgrade import open_tables
from noisescope_core.spark.session.progress import Progress
from noisescope_core.tables.schemas import KEYS, LONG_LIVED


def maintain(
    store: Store, config: Config, progress: Progress, keep_days: int, history_days: int | None
) -> None:
    """Compact the tables and take away what is out of date.

    Parameters
    ----------
    keep_days : for which the tables' earlier states can be read
    history_days : after which verdicts that later ones replaced are deleted; None keeps them
    """
    open_tables(store)
    with leased(store, config.scan.lease_minutes) as held:
        remove_old_listings(held)
        if history_days is not None:
            with progress.stage("history") as stage:
                stage.done(f"replaced verdicts deleted: {_forget(held, history_days):,}")
        # What a scan has not ended with still needs its rows.
        last = held.read("runs").agg(F.max("scan")).collect()[0][0] or 0
        held.remove_rows("arrivals", f"features = 0 AND scan <= {last}")
        tables = list(LONG_LIVED)
        with progress.stage("compact") as stage:
            files = held.compact(tables)
            told = (f"{table} {before:,} to {after:,}" for table, (before, after) in files.items()
                    if before)  # fmt: skip
            stage.done(f"files: {', '.join(told) or 'none'}")
        with progress.stage("vacuum") as stage:
            held.vacuum(tables, 24 * keep_days)
            stage.done(f"states older than {keep_days:,} days are gone")
        before = datetime.now(UTC) - timedelta(days=keep_days)
        purged = (
            held.read("erasures").where("purged is null").where(F.col("erased") < F.lit(before))
        )
        done = purged.select("erased", "analyst", F.current_timestamp().alias("purged"))
        held.update("erasures", done, {"purged": "new.purged"})


def _forget(store: Store, days: int) -> int:
    """Delete verdicts that a later one replaced and whose scan is so long ago: how many."""
    before = datetime.now(UTC) - timedelta(days=days)
    scans = store.read("runs").where(F.col("finished") < F.lit(before)).select("scan")
    verdicts = store.read("verdicts")
    keys = list(KEYS["verdicts"])
    old = verdicts.join(F.broadcast(scans), "scan").select(*keys)
    replaced = old.join(store.read("current_verdicts").select(*keys), keys, "left_anti")
    return store.delete("verdicts", replaced)
