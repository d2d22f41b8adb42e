"""Verdicts of a scheduled scan: of what arrived, and of earlier images that are judged anew."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.spark.scans.arrivals import Arrivals, queue_unreadable
from noisescope_core.spark.scans.context import Scan
from noisescope_core.spark.scans.retest import retested
from noisescope_core.spark.scans.search import Search
from noisescope_core.spark.scans.sizes import update_sizes
from noisescope_core.spark.scans.store import latest
from noisescope_core.spark.stages.verdicts import write_verdicts
from noisescope_core.spark.tables.frames import frame
from noisescope_core.spark.tables.run import Run, files_of
from noisescope_core.tables.rows import FileRow
from noisescope_core.tables.schemas import ANSWER, SCHEMAS, UNREADABLE, columns, names_in

_STATUSES = ("scored", "unscored", "quarantined", UNREADABLE)
"""What can become of a file; each is counted in a column of `runs`."""


@dataclass(frozen=True)
class Counts:
    """What a scan counts, under the names of columns of `runs` (docs/scheduled.md)."""

    scored: int = 0
    unscored: int = 0
    quarantined: int = 0
    unreadable: int = 0
    fake: int = 0
    real_score: float | None = None
    bytes: int = 0
    rejudged: int = 0


def judge(scan: Scan, arrivals: Arrivals, search: Search, version: int) -> Counts:
    """Write verdicts of what arrived, and of earlier images whose verdict has changed.

    Parameters
    ----------
    search : what this scan has searched
    version : of the registry, which the verdicts name
    """
    if not (arrivals.files or scan.registry.decisions):
        return Counts()
    store = scan.store
    update_sizes(scan, search.sizes or [])
    verdicts = of_arrivals = _verdicts_of_arrivals(scan, arrivals, search)
    changed = _changed_verdicts(scan, search)
    rejudged = 0
    if changed is not None:
        table = scan.part("rejudged")
        # A file that arrived in this scan is judged with what arrived.
        table.write("verdicts", _without(changed, of_arrivals))
        rejudged = table.count("verdicts")
        verdicts = of_arrivals.unionByName(table.read("verdicts"))
    marked = verdicts.withColumns({"registry_version": F.lit(version), "scan": F.lit(scan.number)})
    counts = _counts(of_arrivals)
    # Tables of their own, each of which is mostly waiting; a merge of nothing would take as long.
    with ThreadPoolExecutor() as pool:
        writes = [pool.submit(store.merge, "verdicts", marked, scan=scan.number)]
        if counts["quarantined"] or rejudged:
            quarantined = marked.where("status = 'quarantined'")
            writes.append(pool.submit(store.merge, "quarantine", quarantined, scan=scan.number))
        if counts[UNREADABLE] or arrivals.again:
            writes.append(pool.submit(queue_unreadable, scan, arrivals, of_arrivals))
        if counts["fake"]:
            seen = of_arrivals.where("is_fake").select("fingerprint_id").distinct()
            last_scan = {"last_scan": str(scan.number)}
            writes.append(pool.submit(store.update, "fingerprints", seen, last_scan))
        size_read = F.coalesce(F.sum("bytes"), F.lit(0)).alias("bytes")
        (read,) = arrivals.rows.agg(size_read).collect()
        for write in writes:
            write.result()
    return Counts(**counts, bytes=read.bytes, rejudged=rejudged)


def _counts(verdicts: DataFrame) -> dict[str, Any]:
    """Count verdicts by what they say; the middle score, root taken, of images not flagged."""
    signed = F.expr("percentile(sign(score) * sqrt(abs(score)), 0.5)")
    groups = verdicts.groupBy("status", "is_fake").agg(
        F.count("*").alias("files"), signed.alias("middle")
    )
    rows = groups.collect()
    counts: dict[str, Any] = {
        status: sum(row.files for row in rows if row.status == status) for status in _STATUSES
    }
    counts["fake"] = sum(row.files for row in rows if row.is_fake)
    counts["real_score"] = next((row.middle for row in rows if row.is_fake is False), None)
    return counts


def _verdicts_of_arrivals(scan: Scan, arrivals: Arrivals, search: Search) -> DataFrame:
    """Verdicts of the files that arrived in this scan."""
    if not arrivals.files:
        return frame(scan.store.spark, [], SCHEMAS["verdicts"])
    rows = arrivals.rows.drop("sketch", "residual", "tile", "false_alarm")
    if search.done:
        rows = _with_answers_of_search(scan.run, rows)
    answers = _with_other_names(rows, scan.registry.shown_as)
    return _verdicts(scan.part("arrived"), scan.config, arrivals.files, search, answers)


def _with_answers_of_search(run: Run, rows: DataFrame) -> DataFrame:
    """Take the search's answer for images that the registry did not claim when they arrived.

    The search knows fingerprints that the registry did not know then.
    """
    names = names_in(ANSWER)
    answers = run.read("scans").select(
        "image_id", *(F.col(name).alias(f"new_{name}") for name in names)
    )
    claimed = F.coalesce(F.col("score") > F.col("threshold"), F.lit(False))
    as_it_is = claimed | F.col("new_score").isNull()
    return rows.join(answers, "image_id", "left").withColumns(
        {name: F.when(as_it_is, F.col(name)).otherwise(F.col(f"new_{name}")) for name in names}
    )


def _changed_verdicts(scan: Scan, search: Search) -> DataFrame | None:
    """Verdicts of files of earlier scans that are others now, each once; None without a cause."""
    causes = []
    if retested(scan).finished("files"):
        causes.append(_verdicts_of_retested(scan, search))
    if scan.registry.renamed:
        causes.append(_renamed_verdicts(scan))
    if search.done:
        causes.append(_verdicts_of_search(scan, search))
    changed: DataFrame | None = None
    for verdicts in causes:
        changed = verdicts if changed is None else changed.unionByName(_without(verdicts, changed))
    return changed


def _verdicts_of_retested(scan: Scan, search: Search) -> DataFrame:
    """Verdicts of every path of the images that were tested again."""
    tables = retested(scan)
    rows = tables.read("arrivals").dropDuplicates(["image_id"])
    rows = rows.drop("path", "sketch", "residual", "false_alarm").join(_paths(scan), "image_id")
    answers = _with_other_names(rows, scan.registry.shown_as)
    return _verdicts(scan.part("retested/judged"), scan.config, files_of(tables), search, answers)


def _renamed_verdicts(scan: Scan) -> DataFrame:
    """Verdicts that hold of earlier files and name a fingerprint which has another name now."""
    renamed = scan.registry.renamed
    earlier = scan.store.read("verdicts").where(F.col("scan") < scan.number)
    of_these = F.col("is_fake") & F.col("fingerprint_id").isin(list(renamed))
    held = latest(earlier.join(earlier.where(of_these).select("path").distinct(), "path"))
    return _with_other_names(held.where(of_these), renamed).select(*columns("verdicts"))


def _verdicts_of_search(scan: Scan, search: Search) -> DataFrame:
    """Verdicts of images that waited, for each path: new claims, and what is scored by now."""
    verdicts = scan.run.read("verdicts").drop("path")
    changed = F.coalesce("is_fake", F.lit(False))
    if search.decides:
        earlier = scan.store.read("verdicts").where(
            (F.col("scan") < scan.number) & (F.col("status") == "unscored")
        )
        earlier = earlier.select("image_id", F.lit(True).alias("was_unscored")).distinct()
        verdicts = verdicts.join(earlier, "image_id", "left")
        changed |= F.col("was_unscored").isNotNull()
    verdicts = verdicts.where(changed)
    # Images wait under the scan that brought them: only its files of the table are looked at.
    scans = [row.scan for row in scan.store.read("waiting").select("scan").distinct().collect()]
    paths = _paths(scan, F.col("first_scan").isin(scans))
    return verdicts.join(paths, "image_id").select(*columns("verdicts"))


def _paths(scan: Scan, where: Column | None = None) -> DataFrame:
    """Every path of earlier images: `image_id` and `path`."""
    images = scan.store.read("images")
    images = images if where is None else images.where(where)
    return images.select("image_id", F.explode("paths").alias("path"))


def _with_other_names(rows: DataFrame, names: Mapping[str, str]) -> DataFrame:
    """Let rows name fingerprints otherwise."""
    others: dict[Any, Any] = {name: other for name, other in names.items() if name != other}
    return rows.replace(others, subset=["fingerprint_id"]) if others else rows


def _without(verdicts: DataFrame, others: DataFrame) -> DataFrame:
    """Verdicts of the files that others do not judge."""
    return verdicts.join(others.select("path"), "path", "left_anti")


def _verdicts(
    run: Run, config: Config, files: list[FileRow], search: Search, answers: DataFrame
) -> DataFrame:
    """Let the answers of tests become verdicts of files.

    Parameters
    ----------
    run : run directory in which they are written
    answers : rows of `scans`
    """
    run.write_rows("files", files)
    run.write_rows("calibration", [])
    run.write("scans", answers)
    no_scores = frame(run.spark, [], SCHEMAS["scores"])
    write_verdicts(run, config, run.read("scans"), no_scores, search.uncalibrated)
    return run.read("verdicts")
