"""Verdicts of a scheduled scan: of what arrived, and of earlier images that are judged anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from noisescope_core.spark.scans.arrivals import (
    Arrivals,
    arrived,
    merge_images,
    queue_unreadable,
)
from noisescope_core.spark.scans.context import Scan
from noisescope_core.spark.scans.retest import held, retested
from noisescope_core.spark.scans.search import Search
from noisescope_core.spark.scans.sizes import update_sizes
from noisescope_core.spark.stages.verdicts import verdicts_of
from noisescope_core.spark.tables.frames import frame
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.schemas import (
    ANSWER,
    SCHEMAS,
    UNREADABLE,
    columns,
    long_lived_columns,
    names_in,
)

MET_NOTED = 20
"""Times that a fingerprint which images meet again and again is noted as met before it would age;
chosen."""

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
    queued: int = 0


def judge(scan: Scan, arrivals: Arrivals, search: Search, version: int) -> Counts:
    """Write verdicts of what arrived, and of earlier images whose verdict has changed.

    Parameters
    ----------
    search : what this scan has searched
    version : of the registry, which the verdicts name
    """
    if not (arrivals.files or scan.registry.decisions):
        return Counts(queued=scan.queued)
    store = scan.store
    verdicts = of_arrivals = _verdicts_of_arrivals(scan, arrivals, search)
    changed = _changed_verdicts(scan, search)
    rejudged = set_aside = 0
    if changed is not None:
        table = scan.part("rejudged")
        # Once written they stay: a scan that is done again finds its own verdicts to be held.
        if not table.finished("verdicts"):
            # A file that arrived in this scan is judged with what arrived.
            table.write("verdicts", _without(changed, of_arrivals))
        rejudged = table.count("verdicts")
        set_aside = table.count("verdicts", ds.field("status") == "quarantined")
        if rejudged:
            verdicts = of_arrivals.unionByName(table.read("verdicts"))
    counts, met = _counts(of_arrivals)
    # Tables of their own, each of which is mostly waiting.
    with ThreadPoolExecutor() as pool:
        marked = _marked(scan, verdicts, version)
        writes: list[Future[Any]] = [
            pool.submit(store.append, "verdicts", marked, scan.number),
            pool.submit(_write_current, scan, arrivals, marked, bool(rejudged)),
        ]
        if arrivals.files:
            seen = arrivals.listed.withColumn("scan", F.lit(scan.number))
            writes.append(pool.submit(store.append, "seen", seen, scan.number))
            writes.append(pool.submit(merge_images, scan, arrivals))
        if search.waiting is not None:
            writes.append(pool.submit(update_sizes, scan, search.waiting))
        if counts["quarantined"] or set_aside:
            quarantined = marked.where("status = 'quarantined'")
            writes.append(pool.submit(store.append, "quarantine", quarantined, scan.number))
        queued = None
        if counts[UNREADABLE] or scan.queued:
            queued = pool.submit(queue_unreadable, scan, arrivals, of_arrivals)
        if noted := _long_not_noted(scan, met):
            writes.append(pool.submit(_note_met, scan, noted))
        for write in writes:
            write.result()
    left = queued.result() if queued else 0
    return Counts(**counts, bytes=_bytes_read(scan), rejudged=rejudged, queued=left)


def _long_not_noted(scan: Scan, names: Sequence[str]) -> list[str]:
    """Name the fingerprints whose meeting was not noted lately.

    A row is written again with its pictures, for a number that candidates age and are ordered by.
    Those that this scan found have its number.
    """
    ago = max(1, scan.config.scan.candidate_scans // MET_NOTED)
    noted = scan.registry.met
    return [name for name in names if name in noted and noted[name] <= scan.number - ago]


def _note_met(scan: Scan, names: Sequence[str]) -> None:
    """Note that images met fingerprints."""
    ids = ", ".join(f"'{name}'" for name in names)
    where = f"fingerprint_id IN ({ids}) AND coalesce(last_scan, 0) < {scan.number}"
    scan.store.change("fingerprints", f"last_scan = {scan.number}", where)


def _marked(scan: Scan, verdicts: DataFrame, version: int) -> DataFrame:
    return verdicts.withColumns({"registry_version": F.lit(version), "scan": F.lit(scan.number)})


def _write_current(scan: Scan, arrivals: Arrivals, verdicts: DataFrame, rejudged: bool) -> None:
    """Write the verdicts that hold from now on; files that are new are added without a search."""
    earlier = arrivals.had_verdicts()
    if rejudged:
        judged = scan.part("rejudged").read("verdicts").select("path")
        earlier = judged if earlier is None else earlier.union(judged)
    new = verdicts if earlier is None else verdicts.join(earlier, "path", "left_anti")
    scan.store.append("current_verdicts", new, scan.number)
    if earlier is None:
        return
    again = verdicts.join(earlier, "path", "left_semi")
    # Delta passes over the files of the table that hold no path between these.
    ends = again.agg(F.min("path").alias("first"), F.max("path").alias("last")).collect()[0]
    if ends.first is None:
        return
    between = f"old.path >= {_literal(ends.first)} AND old.path <= {_literal(ends.last)}"
    names = [name for name in long_lived_columns("current_verdicts") if name != "path"]
    scan.store.merge("current_verdicts", again, {name: f"new.{name}" for name in names}, between)


def _literal(text: str) -> str:
    """Write a text as a literal of SQL, whatever is in it."""
    return f"decode(X'{text.encode().hex()}', 'UTF-8')"


def _counts(verdicts: DataFrame) -> tuple[dict[str, Any], list[str]]:
    """Count verdicts by what they say, and name the fingerprints that images carry.

    Of the images not flagged the middle score is told, its root with the sign kept.
    """
    signed = F.expr("percentile(sign(score) * sqrt(abs(score)), 0.5)")
    groups = verdicts.groupBy("status", "is_fake").agg(
        F.count("*").alias("files"),
        signed.alias("middle"),
        F.array_sort(F.collect_set("fingerprint_id")).alias("met"),
    )
    rows = groups.collect()
    counts: dict[str, Any] = {
        status: sum(row.files for row in rows if row.status == status) for status in _STATUSES
    }
    counts["fake"] = sum(row.files for row in rows if row.is_fake)
    counts["real_score"] = next((row.middle for row in rows if row.is_fake is False), None)
    return counts, [name for row in rows if row.is_fake for name in row.met]


def _bytes_read(scan: Scan) -> int:
    """Add up the bytes of the files that were read."""
    batches = arrived(scan).batches("arrivals", ds.field("bytes").is_valid(), ["bytes"])
    return sum(pc.sum(batch["bytes"]).as_py() or 0 for batch in batches)


def _verdicts_of_arrivals(scan: Scan, arrivals: Arrivals, search: Search) -> DataFrame:
    """Verdicts of the files that arrived in this scan."""
    if not arrivals.files:
        return frame(scan.store.spark, [], SCHEMAS["verdicts"])
    rows = arrivals.rows
    if search.done:
        rows = _with_answers_of_search(scan.run, rows)
    answers = _with_other_names(rows, scan.registry.shown_as)
    tables = arrived(scan)
    if not tables.finished("verdicts"):
        tables.write("verdicts", verdicts_of(arrivals.names, answers, [], search.uncalibrated))
    return tables.read("verdicts")


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
    rows = rows.drop("path", "sketch", "residual", "false_alarm").join(held(scan), "image_id")
    answers = _with_other_names(rows, scan.registry.shown_as)
    return verdicts_of(tables.read("files"), answers, [], search.uncalibrated)


def _renamed_verdicts(scan: Scan) -> DataFrame:
    """Verdicts that hold of earlier files and name a fingerprint which has another name now."""
    renamed = scan.registry.renamed
    names = frame(scan.store.spark, [{"name": name} for name in renamed], "name string")
    of_these = F.col("fingerprint_id") == F.col("name")
    current = (
        scan.store.read("current_verdicts").where("is_fake").where(F.col("scan") < scan.number)
    )
    rows = current.join(F.broadcast(names), of_these, "left_semi")
    return _with_other_names(rows, renamed).select(*columns("verdicts"))


def _verdicts_of_search(scan: Scan, search: Search) -> DataFrame:
    """Verdicts of images that waited, for each path: new claims, and what is scored by now."""
    verdicts = scan.run.read("verdicts").drop("path")
    # An image's verdicts are no older than its row among those that wait.
    first = search.waiting.kept.first_scan if search.waiting else None
    paths = held(scan).where(F.col("scan") >= (first or scan.number))
    rows = verdicts.join(paths, "image_id")
    changed = F.coalesce("is_fake", F.lit(False))
    if search.decides:
        changed |= F.col("held_status") == "unscored"
    return rows.where(changed).select(*columns("verdicts"))


def _with_other_names(rows: DataFrame, names: Mapping[str, str]) -> DataFrame:
    """Let rows name fingerprints otherwise."""
    others: dict[Any, Any] = {name: other for name, other in names.items() if name != other}
    return rows.replace(others, subset=["fingerprint_id"]) if others else rows


def _without(verdicts: DataFrame, others: DataFrame) -> DataFrame:
    """Verdicts of the files that others do not judge."""
    return verdicts.join(others.select("path"), "path", "left_anti")
