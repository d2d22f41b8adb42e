"""Verdicts of a scheduled scan: of what arrived, of what waited, and of what analysts decided."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.images import Size
from noisescope_core.methods import method_of
from noisescope_core.spark.scans.registry import Known
from noisescope_core.spark.scans.store import Store, latest
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.stages.listing import content_of, source
from noisescope_core.spark.stages.score import Tests, one_pass, scorer
from noisescope_core.spark.stages.verdicts import write_verdicts
from noisescope_core.spark.tables.run import Run, bytes_of
from noisescope_core.spark.tables.sizes import of_sizes
from noisescope_core.tables.rows import CalibrationRow, FileRow
from noisescope_core.tables.schemas import ANSWER, LONG_LIVED, SCHEMAS, columns, names_in

STATUSES = ("scored", "unscored", "quarantined")

GONE = "cannot be read any more to be tested again, and the fingerprint that it carried has changed"


def retest(
    store: Store, config: Config, run: Run, known: Known, tests: Tests, progress: Progress,
    number: int,
) -> None:  # fmt: skip
    """Test again what decisions of analysts concern: `arrivals` and `files` in the run's `again`.

    These are the images that carried a fingerprint whose meaning has changed, read once more, and
    those that wait, for fingerprints that have come in.
    """
    again = Run(store.spark, run.path("again"))
    if not (known.again or known.regained) or again.finished("files"):
        return
    with progress.stage("decisions") as stage:
        carried = F.col("is_fake") & F.col("fingerprint_id").isin(known.again)
        earlier = store.read("verdicts").where(carried & (F.col("scan") < number))
        concerned = store.read("images").join(
            F.broadcast(earlier.select("image_id").distinct().withColumn("carried", F.lit(True))),
            "image_id",
            "left",
        )
        passed_over = F.col("false_alarm").isin(known.again)
        concerned = concerned.where(
            (F.col("first_scan") < number) & (F.col("carried") | passed_over)
        )
        paths = [row.paths for row in concerned.select("paths").collect()]
        stage.note(f"{len(paths):,} images are read again")
        with ThreadPoolExecutor(16) as pool:
            readable = [one for one in pool.map(_readable, paths) if one]
        test_batches = one_pass(config, tests, "arrivals")
        answers = store.spark.createDataFrame([], SCHEMAS["arrivals"])
        if readable:
            content = content_of(source(store.spark, *sorted(readable)), config)
            answers = content.mapInArrow(test_batches, SCHEMAS["arrivals"])
        if known.regained:
            waited = store.read("waiting").where(F.col("scan") < number)
            named = waited.select(*columns("residuals"))
            tested = named.mapInArrow(scorer(tests, columns("arrivals")), SCHEMAS["arrivals"])
            answers = answers.unionByName(tested.where("score > threshold"))
        again.write("arrivals", answers.drop("thumbnail", "sketch", "residual").withColumns(
            {name: F.lit(None) for name in ("thumbnail", "sketch", "residual")}
        ))  # fmt: skip
        claimed = store.read("images").join(again.read("arrivals").select("image_id"), "image_id")
        all_paths = {path for paths_of in paths for path in paths_of}
        all_paths |= {p for row in claimed.select("paths").collect() for p in row.paths}
        again.write_rows(
            "files", [FileRow("image", "", path, reason=GONE) for path in sorted(all_paths)]
        )
        stage.done(f"taken in: {len(known.decisions):,}, tested again: {len(all_paths):,} files")


def _readable(paths: list[str]) -> str | None:
    return next((path for path in paths if bytes_of(path)), None)


def claimed_again(run: Run) -> DataFrame | None:
    """Ids of the images that a fingerprint claims now that decisions were taken in."""
    again = Run(run.spark, run.path("again"))
    if not again.finished("files"):
        return None
    return again.read("arrivals").where("score > threshold").select("image_id").distinct()


def judge(
    store: Store, config: Config, run: Run, known: Known, files: list[FileRow],
    arrived: DataFrame, searched: list[Size], version: int, number: int,
) -> dict[str, Any]:  # fmt: skip
    """Write verdicts of what arrived, and of earlier images whose verdict has changed.

    Returns
    -------
    dict
        Counts of `runs`.
    """
    if not (files or known.decisions):
        return dict.fromkeys((*STATUSES, "fake", "bytes", "rejudged"), 0) | {"real_score": None}
    decided = decided_sizes(store, config, run, searched, number)
    verdicts = arriving = _arriving(store, config, run, known, files, arrived, searched, decided)
    again = _judged_again(store, config, run, known, decided, searched, number)
    rejudged = 0
    if again is not None:
        table = Run(store.spark, run.path("rejudged"))
        # A file that arrived in this scan is judged with what arrived.
        table.write("verdicts", again.join(arriving.select("path"), "path", "left_anti"))
        rejudged = table.count("verdicts")
        verdicts = arriving.unionByName(table.read("verdicts"))
    marked = verdicts.withColumns({"registry_version": F.lit(version), "scan": F.lit(number)})
    aside = marked.where("status = 'quarantined'")
    # Tables of their own, each of which is mostly waiting.
    with ThreadPoolExecutor() as pool:
        written = [
            pool.submit(store.merge, "verdicts", marked, scan=number),
            pool.submit(store.merge, "quarantine", aside, scan=number),
        ]
        if known.shown_as or searched:
            seen = arriving.where("is_fake").select("fingerprint_id").distinct()
            last = {"last_scan": str(number)}
            written.append(pool.submit(store.update, "fingerprints", seen, last))
        counts = _counts(arriving)
        (read,) = arrived.agg(F.coalesce(F.sum("bytes"), F.lit(0)).alias("bytes")).collect()
        for one in written:
            one.result()
    return {**counts, "bytes": read.bytes, "rejudged": rejudged}


def _counts(verdicts: DataFrame) -> dict[str, Any]:
    """Count verdicts by what they say; the middle score, root taken, of images not flagged."""
    signed = F.expr("percentile(sign(score) * sqrt(abs(score)), 0.5)")
    groups = verdicts.groupBy("status", "is_fake").agg(
        F.count("*").alias("files"), signed.alias("middle")
    )
    rows = groups.collect()
    counts: dict[str, Any] = {
        status: sum(row.files for row in rows if row.status == status) for status in STATUSES
    }
    counts["fake"] = sum(row.files for row in rows if row.is_fake)
    counts["real_score"] = next((row.middle for row in rows if row.is_fake is False), None)
    return counts


def _arriving(
    store: Store, config: Config, run: Run, known: Known, files: list[FileRow],
    arrived: DataFrame, searched: list[Size], decided: list[CalibrationRow],
) -> DataFrame:  # fmt: skip
    """Verdicts of the files that arrived in this scan."""
    if not files:
        return store.spark.createDataFrame([], SCHEMAS["verdicts"])
    rows = arrived.drop("sketch", "residual", "false_alarm")
    if searched:
        # The search knows fingerprints that the registry did not when these were tested.
        answers = run.read("scores").where("role = 'image'")
        answers = answers.select(
            "image_id", *(F.col(n).alias(f"new_{n}") for n in names_in(ANSWER))
        )
        claimed = F.coalesce(F.col("score") > F.col("threshold"), F.lit(False))
        rows = rows.join(answers.dropDuplicates(["image_id"]), "image_id", "left").withColumns(
            {n: F.when(claimed | F.col("new_score").isNull(), F.col(n)).otherwise(F.col(f"new_{n}"))
             for n in names_in(ANSWER)}
        )  # fmt: skip
    told = Run(store.spark, run.path("told"))
    return _verdicts(told, config, files, decided, _renamed(rows, known))


def _verdicts(
    told: Run, config: Config, files: list[FileRow], decided: list[CalibrationRow],
    rows: DataFrame,
) -> DataFrame:  # fmt: skip
    """Let the answers in `rows` become verdicts of the files."""
    told.write_rows("files", files)
    told.write_rows("calibration", decided)
    told.write("scans", rows)
    write_verdicts(
        told, config, told.read("scans"), told.spark.createDataFrame([], SCHEMAS["scores"])
    )
    return told.read("verdicts")


def _renamed(rows: DataFrame, known: Known) -> DataFrame:
    other: dict[Any, Any] = {name: shown for name, shown in known.shown_as.items() if name != shown}
    return rows.replace(other, subset=["fingerprint_id"]) if other else rows


def _judged_again(
    store: Store, config: Config, run: Run, known: Known, decided: list[CalibrationRow],
    searched: list[Size], number: int,
) -> DataFrame | None:  # fmt: skip
    """Verdicts of files of earlier scans that are others now, each once."""
    changed = []
    again = Run(store.spark, run.path("again"))
    if again.finished("files"):
        files = [FileRow(**row) for row in again.rows("files")]
        images = store.read("images").select("image_id", F.explode("paths").alias("of"))
        rows = again.read("arrivals").dropDuplicates(["image_id"]).join(images, "image_id")
        rows = rows.withColumn("path", F.col("of")).drop("of", "sketch", "residual", "false_alarm")
        told = Run(store.spark, run.path("again/told"))
        changed.append(_verdicts(told, config, files, decided, _renamed(rows, known)))
    if known.renamed:
        earlier = store.read("verdicts").where(F.col("scan") < number)
        of_these = F.col("is_fake") & F.col("fingerprint_id").isin(list(known.renamed))
        held = latest(earlier.join(earlier.where(of_these).select("path").distinct(), "path"))
        other: dict[Any, Any] = dict(known.renamed)
        named = held.where(of_these).replace(other, subset=["fingerprint_id"])
        if changed:
            named = named.join(changed[0].select("path"), "path", "left_anti")
        changed.append(named.select(*columns("verdicts")))
    if searched:
        found = _found_in_search(store, run, searched, number)
        for others in changed:
            found = found.join(others.select("path"), "path", "left_anti")
        changed.append(found)
    if not changed:
        return None
    rows = changed[0]
    for others in changed[1:]:
        rows = rows.unionByName(others)
    return rows


def _found_in_search(store: Store, run: Run, searched: list[Size], number: int) -> DataFrame:
    """Verdicts of images that waited, for each path: new claims, all of a size's first search."""
    changed = F.coalesce("is_fake", F.lit(False))
    if first := first_decided(store, searched, number):
        changed |= of_sizes(first)
    verdicts = run.read("verdicts").where(changed)
    # Images wait under the scan that brought them: only its files of the table are looked at.
    scans = [row.scan for row in store.read("waiting").select("scan").distinct().collect()]
    images = store.read("images").where(F.col("first_scan").isin(scans))
    images = images.select("image_id", F.explode("paths").alias("of"))
    verdicts = verdicts.join(images, "image_id")
    return verdicts.withColumn("path", F.col("of")).select(*columns("verdicts"))


def first_decided(store: Store, searched: list[Size], number: int) -> list[Size]:
    """Sizes that no search could decide before this scan."""
    before = store.read("sizes").where(F.col("decided_scan") < number).collect()
    known = {(row.width, row.height) for row in before}
    return [size for size in searched if size not in known]


def decided_sizes(
    store: Store, config: Config, run: Run, searched: list[Size], number: int
) -> list[CalibrationRow]:
    """Update `sizes`; rows of `calibration` for all sizes that images wait for or were met in."""
    known = {(row.width, row.height): row for row in store.read("sizes").collect()}
    new = {(r["width"], r["height"]): r for r in run.rows("calibration")} if searched else {}
    waiting = store.read("waiting").groupBy("width", "height").count().collect()
    rows: list[tuple[Any, ...]] = []
    for width, height, count in sorted(waiting):
        size, old = (width, height), known.get((width, height))
        if found := new.get(size):
            decided = number if found["reason"] is None else None
            rows.append((*size, count, found["reference"], decided, number, found["reason"]))
        elif old and old.searched_scan is not None:
            rows.append(
                (*size, count, old.reference, old.decided_scan, old.searched_scan, old.reason)
            )
        else:
            reason = (
                f"too few images of {width} x {height} so far to decide: {count:,}, "
                f"needed {method_of(config).least_images(config):,}"
            )
            rows.append((*size, count, None, None, None, reason))
    table = store.spark.createDataFrame(rows, LONG_LIVED["sizes"])
    update = {name: f"new.{name}" for name in ("waiting", "reference", "searched_scan", "reason")}
    update["decided_scan"] = "coalesce(old.decided_scan, new.decided_scan)"
    store.merge("sizes", table, update)
    told = {row[:2]: (row[2], row[3], None, row[6]) for row in rows}
    left = {s: (0, row.reference, None, row.reason) for s, row in known.items() if s not in told}
    return [CalibrationRow(*size, *rest) for size, rest in (told | left).items()]
