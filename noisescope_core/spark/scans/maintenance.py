"""Care for the long-lived tables: compaction, retention, erasure of an image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

from pyspark.sql import Column
from pyspark.sql import functions as F

from noisescope_core.app.places import plain_path
from noisescope_core.config import Config
from noisescope_core.errors import NoiseScopeError, UsageError
from noisescope_core.spark.scans.lease import leased
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.tables.frames import frame
from noisescope_core.spark.tables.run import bytes_of, folders_in, rewrite_lines
from noisescope_core.tables.schemas import KEYS, LONG_LIVED

ERASED = "erased"
"""In place of a member that was erased: how many made a fingerprint is part of its test."""

_FOR_VACUUM = {
    # By default 10,000 tasks list a table's folder.
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "64",
    # `erase` keeps no earlier state at all, which Delta refuses by default.
    "spark.databricks.delta.retentionDurationCheck.enabled": "false",
}
"""Settings under which a table's old files are deleted."""

_IMAGES_IN = (
    "images", "verdicts", "current_verdicts", "quarantine", "unreadable", "seen", "arrivals",
)  # fmt: skip
"""Tables with rows of images."""


def maintain(
    store: Store, config: Config, progress: Progress, keep_days: int, history_days: int | None
) -> None:
    """Compact the tables and take away what is out of date.

    Parameters
    ----------
    keep_days : for which the tables' earlier states can be read
    history_days : after which verdicts that later ones replaced are deleted; None keeps them
    """
    store.create()
    with leased(store, config.scan.lease_minutes):
        if history_days is not None:
            with progress.stage("history") as stage:
                stage.done(f"replaced verdicts deleted: {_forget(store, history_days):,}")
        for table in LONG_LIVED:
            with progress.stage(table) as stage:
                (done,) = store.spark.sql(f"OPTIMIZE {store.name(table)}").collect()
                _vacuum(store, table, 24 * keep_days)
                files = done.metrics
                stage.done(f"files compacted: {files.numFilesRemoved:,} to {files.numFilesAdded:,}")


def _forget(store: Store, days: int) -> int:
    """Delete verdicts that a later one replaced and whose scan is so long ago: how many."""
    before = datetime.now(UTC) - timedelta(days=days)
    scans = store.read("runs").where(F.col("finished") < F.lit(before)).select("scan")
    verdicts = store.read("verdicts")
    keys = list(KEYS["verdicts"])
    old = verdicts.join(F.broadcast(scans), "scan").select(*keys)
    replaced = old.join(store.read("current_verdicts").select(*keys), keys, "left_anti")
    count = replaced.count()
    if count:
        store.delete("verdicts", replaced)
    return count


def erase(
    store: Store, config: Config, progress: Progress, paths: Sequence[str], ids: Sequence[str]
) -> dict[str, int]:
    """Erase images from all tables, from what the stream remembers, and from earlier states.

    Parameters
    ----------
    paths : of files; the image is erased under every path that it was seen under
    ids : of images

    Returns
    -------
    dict
        Rows erased by table, and under ``stream`` the paths that it forgot.

    Raises
    ------
    UsageError
        If a file is still there, and would be scanned again, or nothing is known of the images.
    NoiseScopeError
        If a scan has begun and not ended.
    """
    store.create()
    with leased(store, config.scan.lease_minutes), progress.stage("erase") as stage:
        begun = [folder for folder in folders_in(store.scans) if folder.isdigit()]
        if begun or folders_in(f"{store.scans}/arrived"):
            raise NoiseScopeError(f"{store.location}: a scan has not ended; scan, then erase")
        wanted = F.col("image_id").isin(list(ids))
        wanted |= F.arrays_overlap("paths", _array(paths))
        images = store.read("images").where(wanted).select("image_id", "paths").collect()
        of_images = {path for row in images for path in row.paths} | set(paths)
        if left := sorted(path for path in of_images if bytes_of(path) is not None):
            more = f" and {len(left) - 1:,} more" if left[1:] else ""
            raise UsageError(f"{left[0]}{more}: delete the file first, or it is scanned again")
        named = sorted({row.image_id for row in images} | set(ids))
        counts = _erase_rows(store, named, sorted(of_images))
        if not any(counts.values()):
            raise UsageError("erase: no table knows these images")
        counts["stream"] = _redact(store, of_images)
        # Rows that scans have deleted lie in the tables' files still.
        for table in (*_IMAGES_IN, "fingerprints"):
            _purge(store, table)
        stage.done(", ".join(f"{table} {count:,}" for table, count in counts.items() if count))
        return counts


def _erase_rows(store: Store, ids: list[str], paths: list[str]) -> dict[str, int]:
    """Delete the rows of images, and take them out of fingerprints' members: rows by table."""
    erased = {
        column: frame(store.spark, [{column: value} for value in values], f"{column} string")
        for column, values in (("image_id", ids), ("path", paths))
    }
    counts = {}
    for table in _IMAGES_IN:
        before = store.read(table).count()
        for column in ("image_id", "path") if table != "images" else ("image_id",):
            store.delete(table, erased[column], [column])
        counts[table] = before - store.read(table).count()
    gone = _array(ids)
    members = F.transform(
        "members", lambda member: F.when(F.array_contains(gone, member), ERASED).otherwise(member)
    )
    pixels = F.zip_with(
        "members",
        F.coalesce("member_pixels", F.array().cast("array<string>")),
        lambda member, its_pixels: F.when(~F.array_contains(gone, member), its_pixels),
    )
    concerned = store.read("fingerprints").where(F.arrays_overlap("members", gone))
    changed = concerned.select(
        "fingerprint_id", members.alias("members"), pixels.alias("member_pixels")
    )
    counts["fingerprints"] = changed.count()
    if counts["fingerprints"]:
        store.update(
            "fingerprints", changed, {name: f"new.{name}" for name in ("members", "member_pixels")}
        )
    return counts


def _array(values: Sequence[str]) -> Column:
    return F.array(*map(F.lit, values)).cast("array<string>")


def _purge(store: Store, table: str) -> None:
    """Write the table's files without deleted rows, and delete all that earlier states need."""
    store.spark.sql(f"REORG TABLE {store.name(table)} APPLY (PURGE)")
    _vacuum(store, table, 0)


def _vacuum(store: Store, table: str, hours: int) -> None:
    for key, value in _FOR_VACUUM.items():
        store.spark.conf.set(key, value)
    try:
        store.spark.sql(f"VACUUM {store.name(table)} RETAIN {hours} HOURS")
    finally:
        for key in _FOR_VACUUM:
            store.spark.conf.unset(key)


def _redact(store: Store, paths: set[str]) -> int:
    """Put a digest in the place of paths in the stream's list: how many were replaced."""
    redacted = 0

    def line(text: str) -> str:
        nonlocal redacted
        if not text.startswith("{"):
            return text
        entry = json.loads(text)
        if plain_path(unquote(entry["path"])) not in paths:
            return text
        redacted += 1
        digest = hashlib.sha256(entry["path"].encode()).hexdigest()
        return json.dumps(entry | {"path": f"erased:/{digest}"}, separators=(",", ":"))

    rewrite_lines(f"{store.scans}/stream/sources/0", line)
    return redacted
