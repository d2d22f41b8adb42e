"""New files of a store: each is read once, tested against the registry, and its answer stored.

What a scan takes is listed in `listed`, `files` has the members of archives in place of these. They
are read batch by batch into the table `arrivals`, which is the only place where features are
written: of images that nothing claims, as many as the configuration says. A scan that died reads
what has no row there yet, so at most the files of one batch twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from noisescope_core.archives import MARK, TAR_ENDINGS
from noisescope_core.config import Config
from noisescope_core.spark.scans.context import Scan
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.session.workers import map_batches
from noisescope_core.spark.sources.placed import (
    GUESSED_BYTES,
    content_of_each,
    members_listed,
)
from noisescope_core.spark.sources.source import read_listed
from noisescope_core.spark.stages.score import one_pass
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.schemas import (
    CELLS,
    SCHEMAS,
    UNREADABLE,
    arrow_schema,
    columns,
    long_lived_columns,
    types_in,
)

_PLACE = ("place", "offset", "stored", "packing")
"""Columns that say where the bytes of a file are."""

AGAIN = "again"
"""Role of a file that an earlier scan has tried."""

_PART = "arrived"
"""Part of a scan's run directory that has what it takes."""

_TAKEN = "taken.json"
"""File of a scan that says what it takes: where that is listed, and in how many batches."""

_READ = "read.json"
"""File of a scan that says how many of its batches it has read, once it reads no more."""

_ARRIVALS = f"features long, {SCHEMAS['arrivals']}"

_ARCHIVES = rf"(?i)({'|'.join(end.replace('.', '[.]') for end in ('.zip', *TAR_ENDINGS))})$"
"""Pattern of `is_archive`."""

_DIGITS = 13
"""Hexadecimal digits that a double holds."""

Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True)
class Arrivals:
    """What arrived in a scan.

    Attributes
    ----------
    files, again, replaced : numbers of files, of those that earlier scans have tried, and of files
        and archives that took the place of others
    listed : rows of `listed`, of the files and archives that were taken
    rows : of `arrivals`, without cells, one per file that was read
    names : rows of `files`, one per file
    """

    files: int
    again: int
    replaced: int
    listed: DataFrame
    rows: DataFrame
    names: DataFrame

    def had_verdicts(self) -> DataFrame | None:
        """Paths of the files that had a verdict before; None if there are none."""
        if not (self.again or self.replaced):
            return None
        replaced = self.listed.where("replaced").select("path")
        retried = self.names.where(F.col("role") == AGAIN).select(_place().alias("path"))
        before = replaced.union(retried).distinct().withColumnRenamed("path", "at")
        return self.names.select("path", _place().alias("at")).join(before, "at").select("path")


def take(scan: Scan, listing: Run, retry_quarantined: bool) -> bool:
    """Note what a scan takes, `files` in its part `arrived`, unless one that died has: whether.

    Parameters
    ----------
    listing : run directory with the table `listed`
    retry_quarantined : whether files that were set aside are read again, too
    """
    tables = arrived(scan)
    if tables.text(_TAKEN) is not None:
        return True
    with scan.progress.stage("take") as stage:
        new = _files(scan, listing)
        again = _files_again(scan, retry_quarantined)
        if again is not None:
            new = new.unionByName(again.join(new.select("path"), "path", "left_anti"))
        tables.write("files", new)
        files = tables.count("files")
        readable = tables.count("files", ds.field("reason").is_null())
        retried = tables.count("files", ds.field("role") == AGAIN)
        batches = -(-files // scan.config.scan.batch_files)
        stored = sum(
            pc.sum(pc.coalesce(batch["stored"], batch["bytes"], GUESSED_BYTES)).as_py() or 0
            for batch in tables.batches("files", ds.field("reason").is_null(), ["stored", "bytes"])
        )
        taken = {
            "listing": listing.location, "files": files, "readable": readable, "again": retried,
            "replaced": listing.count("listed", ds.field("replaced")), "batches": batches,
            "bytes": stored,
        }  # fmt: skip
        tables.write_text(_TAKEN, json.dumps(taken))
        before = f", {retried:,} of them tried before" if retried else ""
        stage.done(f"{files:,} files in {batches:,} batches{before}")
    return False


def arrived(scan: Scan) -> Run:
    """Find the tables of what a scan takes."""
    return scan.part(_PART)


def listing_of(store: Store, run: Run) -> Run | None:
    """Find the listing that a scan has taken; None before it has.

    Parameters
    ----------
    run : run directory of the scan
    """
    text = run.text(f"{_PART}/{_TAKEN}")
    return None if text is None else Run(store.spark, json.loads(text)["listing"])


def _files(scan: Scan, listing: Run) -> DataFrame:
    """Put the members of archives in place of these: rows of `files`."""
    listed = listing.read("listed")
    about = {name: F.col(name) for name in ("bytes", "reason")}
    rows = _named(scan, listed, "image", about)
    packed = F.col("path").rlike(_ARCHIVES) & F.col("reason").isNull()
    archives = sum(
        pc.sum(pc.match_substring_regex(batch["path"], _ARCHIVES)).as_py() or 0
        for batch in listing.batches("listed", ds.field("reason").is_null(), ["path"])
    )
    if not archives:
        return rows
    members = members_listed(rows.where(packed), archives, scan.config)
    return rows.where(~packed).unionByName(members)


def _files_again(scan: Scan, retry_quarantined: bool) -> DataFrame | None:
    """List what earlier scans could not read, the longest untried first: rows of `files`."""
    store, again = scan.store, None
    if scan.queued:
        order = F.col("last_scan"), F.col("path")
        queue = store.read("unreadable").orderBy(*order).limit(scan.config.scan.batch_files)
        again = _named(scan, queue, AGAIN, {name: F.col(name) for name in _PLACE})
    if not retry_quarantined:
        return again
    aside = store.read("current_verdicts").where("status = 'quarantined'").select("path")
    # Members are read again where their archive is replaced.
    aside = aside.where(~F.contains("path", F.lit(MARK))).limit(scan.config.scan.files)
    named = _named(scan, aside, AGAIN, {})
    return named if again is None else again.unionByName(named.join(again, "path", "left_anti"))


def _named(scan: Scan, paths: DataFrame, role: str, cells: Mapping[str, Column]) -> DataFrame:
    """Make rows of `files` of paths; what no cell says is null."""
    said = {"role": F.lit(role), "folder": F.lit(scan.images), "path": F.col("path"), **cells}
    return paths.select(
        *(
            said.get(name, F.lit(None)).cast(kind).alias(name)
            for name, kind in types_in(SCHEMAS["files"]).items()
        )
    )


def read_arrivals(scan: Scan, begun: bool) -> Arrivals:
    """Read, test and store what a scan takes, batch by batch, as long as `scan.hours` lets it.

    Parameters
    ----------
    begun : whether a scan that died may have read a part, which is not read again
    """
    tables = arrived(scan)
    taken = json.loads(tables.text(_TAKEN) or "{}")
    batches, read = taken["batches"], tables.text(_READ)
    if read is None:
        done = _read_batches(scan, tables, taken, begun)
        tables.write_text(_READ, json.dumps({"batches": done}))
    else:
        done = json.loads(read)["batches"]
    listed = Run(scan.store.spark, taken["listing"]).read("listed")
    names = tables.read("files")
    files = taken["files"]
    if done < batches:
        listed = listed.where(_batch(F.col("path"), batches) < done)
        names = names.where(_batch(_place(), batches) < done)
        files = names.count()
    # The table is asked once: its deletion vectors take Spark jobs of their own.
    if not tables.finished("arrivals"):
        nothing = dict.fromkeys(CELLS, F.lit(None))
        tables.write("arrivals", _rows(scan).withColumns(nothing))
    rows = tables.read("arrivals").drop(*CELLS)
    return Arrivals(files, taken["again"], taken["replaced"], listed, rows, names)


def _rows(scan: Scan) -> DataFrame:
    return scan.store.read("arrivals").where(F.col("scan") == scan.number)


def _read_batches(scan: Scan, tables: Run, taken: dict[str, Any], begun: bool) -> int:
    """Read batch by batch: how many were read."""
    config, store, batches = scan.config, scan.store, int(taken["batches"])
    test_batches = _thinned(one_pass(config, scan.tests, "arrivals"), config, taken["readable"])
    until = None if config.scan.hours is None else time.monotonic() + 3600 * config.scan.hours
    if not taken["readable"]:
        return batches
    # One that an earlier version took does not say how large it is.
    size = max(1, taken.get("bytes", taken["readable"] * GUESSED_BYTES) // batches)
    with scan.progress.stage("arrivals", taken["readable"], "images") as stage:
        done = 0
        for batch in range(batches):
            if done and until is not None and time.monotonic() > until:
                break
            if batches > 1:
                stage.note(f"batch {batch + 1:,} of {batches:,}")
            files = tables.read("files").where("reason is null")
            if batches > 1:
                files = files.where(_batch(_place(), batches) == batch)
            if begun:
                files = files.join(_rows(scan).select("path"), "path", "left_anti")
            for content in _contents(scan, files, size):
                rows = map_batches(content, test_batches, _ARRIVALS)
                store.append("arrivals", rows.withColumn("scan", F.lit(scan.number)))
            done += 1
        left = f", {batches - done:,} batches are left for the next scan" if done < batches else ""
        stage.done(f"known fingerprints: {scan.tests.fingerprints}{left}")
    return done


def _contents(scan: Scan, files: DataFrame, size: int) -> Iterator[DataFrame]:
    """Give the content of files, rows of `CONTENT`; by Spark, then of what it left out.

    Parameters
    ----------
    size : of them all in bytes, about
    """
    if scan.config.scan.access == "spark":
        yield read_listed(scan.store.spark, files, scan.config, whole=False)
        files = files.join(_rows(scan).select("path"), "path", "left_anti")
        if files.isEmpty():
            return
    yield content_of_each(files, scan.config, size)


def _thinned(
    test_batches: Callable[[Batches], Batches], config: Config, images: int
) -> Callable[[Batches], Batches]:
    """Let tested images keep features where nothing claims them, and not too many of them.

    Which images keep them is drawn by their ids, so always the same ones.

    Parameters
    ----------
    images : that are tested
    """
    share = min(1.0, config.scan.keep / max(images, 1))
    residual = 3 * config.whitening.side**2
    residual_share = min(share, config.scan.keep_bytes / (residual * max(images, 1)))

    def thin(batches: Batches) -> Batches:
        for batch in test_batches(batches):
            cells = {name: batch[name] for name in CELLS}
            claimed = pc.fill_null(pc.greater(batch["score"], batch["threshold"]), False)
            waits = pc.and_(pc.equal(batch["status"], "scored"), pc.invert(claimed))
            waits = pc.and_(pc.fill_null(waits, False), pc.is_null(batch["false_alarm"]))
            draws = pa.array(map(_draw, batch["image_id"].to_pylist()), pa.float64())
            nothing = pa.scalar(None, pa.binary())
            # No report shows pictures of scans.
            shares = {"thumbnail": 0.0, "sketch": share, "tile": share, "residual": residual_share}
            for name, part in shares.items():
                kept = pc.fill_null(pc.and_(waits, pc.less(draws, part)), False)
                cells[name] = pc.if_else(kept, batch[name], nothing)
            lengths = [pc.fill_null(pc.binary_length(cell), 0) for cell in cells.values()]
            features = pc.cast(reduce(pc.add, lengths), "int64")
            names = columns("arrivals")
            arrays = [features, *(cells.get(name, batch[name]) for name in names)]
            yield pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(_ARRIVALS))

    return thin


def merge_images(scan: Scan, arrivals: Arrivals) -> None:
    """Add what arrived to `images`, each content once."""
    number = scan.number
    of_arrivals = set(columns("arrivals")) - {"image_id"}
    about = [name for name in long_lived_columns("images") if name in of_arrivals]
    images = arrivals.rows.where("image_id is not null").groupBy("image_id")
    arrived_images = images.agg(F.min_by(F.struct(*about), "path").alias("about"))
    known = scan.store.read("images").where(F.col("first_scan") < number).select("image_id")
    new = arrived_images.join(known, "image_id", "left_anti").select("image_id", "about.*")
    scan.store.append("images", new.withColumn("first_scan", F.lit(number)), number)


def queue_unreadable(scan: Scan, arrivals: Arrivals, verdicts: DataFrame) -> int:
    """Keep in `unreadable` what could not be read, and take out what was: how many are in it.

    Parameters
    ----------
    verdicts : of what arrived
    """
    store = scan.store
    if scan.queued:
        queued = store.read("unreadable").select("path")
        readable = verdicts.where(F.col("status") != UNREADABLE)
        store.delete("unreadable", queued.join(readable, "path", "left_semi"))
    failed = verdicts.where(F.col("status") == UNREADABLE).select("path", "reason")
    rows = arrivals.names.select("path", *_PLACE).join(failed, "path")
    scans = {name: F.lit(scan.number) for name in ("first_scan", "last_scan")}
    rows = rows.withColumns({"tries": F.lit(1), **scans})
    tries = "CASE WHEN old.last_scan < new.last_scan THEN old.tries + 1 ELSE old.tries END"
    changes = {"tries": tries, "last_scan": "new.last_scan", "reason": "new.reason"}
    store.merge("unreadable", rows, changes)
    return store.read("unreadable").count()


def _place() -> Column:
    return F.coalesce("place", "path")


def _batch(place: Column, batches: int) -> Column:
    """Say in which batch a file is read; an archive's members are read in one."""
    return F.pmod(F.xxhash64(place), F.lit(batches))


def _draw(image_id: str | None) -> float:
    """Draw a number of an image by its id, 0..1, always the same."""
    return int(image_id[:_DIGITS], 16) / 16**_DIGITS if image_id else 0.0
