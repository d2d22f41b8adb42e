"""Images that decisions of analysts concern are tested again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from noisescope_core.archives import split_member
from noisescope_core.spark.scans.context import Scan
from noisescope_core.spark.scans.waiting import waiting
from noisescope_core.spark.session.workers import map_batches
from noisescope_core.spark.sources.source import files_named, read_listed
from noisescope_core.spark.stages.score import one_pass, scorer
from noisescope_core.spark.tables.frames import frame
from noisescope_core.spark.tables.run import Run, bytes_of
from noisescope_core.tables.rows import FileRow
from noisescope_core.tables.schemas import CELLS, SCHEMAS, columns

GONE = "cannot be read any more to be tested again, and the fingerprint that it carried has changed"
"""Reason for which a file that is gone is quarantined."""

_ASKING = 16
"""Threads that ask which files are there still; chosen: each mostly waits for its store."""


def retest(scan: Scan) -> None:
    """Test again what decisions concern: `arrivals` and `files` of the scan's part `retested`.

    These are the images that carried a fingerprint whose meaning has changed, read once more, and
    those that wait, for fingerprints that have come in.
    """
    registry, tables = scan.registry, retested(scan)
    if not (registry.retested or registry.regained) or tables.finished("files"):
        return
    with scan.progress.stage("decisions") as stage:
        images = _paths_concerned(scan)
        stage.note(f"{len(images):,} images are read again")
        answers = _answers(scan, images)
        tables.write("arrivals", answers.withColumns({name: F.lit(None) for name in CELLS}))
        answered = tables.read("arrivals").select("image_id")
        named = held(scan).join(answered, "image_id", "left_semi").select("path").collect()
        paths = {path for image in images for path in image} | {row.path for row in named}
        tables.write_rows(
            "files", [FileRow("image", "", path, reason=GONE) for path in sorted(paths)]
        )
        stage.done(f"taken in: {len(registry.decisions):,}, tested again: {len(paths):,} files")


def retested(scan: Scan) -> Run:
    """Find the tables that `retest` writes; none is finished where it had nothing to do."""
    return scan.part("retested")


def claimed_by_retest(scan: Scan) -> DataFrame | None:
    """Ids of the images that a fingerprint claims now that decisions were taken in."""
    tables = retested(scan)
    if not tables.finished("files"):
        return None
    return tables.read("arrivals").where("score > threshold").select("image_id").distinct()


def _paths_concerned(scan: Scan) -> list[list[str]]:
    """Paths of each earlier image that carried such a fingerprint or was passed over for it."""
    store = scan.store
    names = frame(store.spark, [{"name": n} for n in scan.registry.retested], "name string")
    names = F.broadcast(names)
    earlier = store.read("verdicts").where(F.col("is_fake") & (F.col("scan") < scan.number))
    carried = earlier.join(names, F.col("fingerprint_id") == F.col("name"), "left_semi")
    images = store.read("images").where(F.col("first_scan") < scan.number)
    passed = images.join(names, F.col("false_alarm") == F.col("name"), "left_semi")
    concerned = carried.select("image_id").union(passed.select("image_id")).distinct()
    files = held(scan).join(concerned, "image_id", "left_semi")
    rows = files.groupBy("image_id").agg(F.array_sort(F.collect_set("path")).alias("paths"))
    return [row.paths for row in rows.collect()]


def held(scan: Scan) -> DataFrame:
    """Every path of earlier images by the verdict that holds: `image_id`, `path`, `scan`."""
    current = scan.store.read("current_verdicts").where(F.col("scan") < scan.number)
    return current.select("image_id", "path", "scan", F.col("status").alias("held_status"))


def _answers(scan: Scan, images: list[list[str]]) -> DataFrame:
    """Test images that are read once more, and those that wait: rows of `arrivals`.

    Parameters
    ----------
    images : paths of each
    """
    spark = scan.store.spark
    with ThreadPoolExecutor(_ASKING) as pool:
        readable = [path for path in pool.map(_readable, images) if path]
    answers = frame(spark, [], SCHEMAS["arrivals"])
    if readable:
        named = files_named(spark, sorted(readable), scan.config)
        content = read_listed(spark, named, scan.config, whole=False)
        test_batches = one_pass(scan.config, scan.tests, "arrivals")
        answers = map_batches(content, test_batches, SCHEMAS["arrivals"])
    if scan.registry.regained:
        wait = waiting(scan.store).where(F.col("scan") < scan.number)
        test_residuals = scorer(scan.tests, columns("arrivals"))
        tested = map_batches(
            wait.select(*columns("residuals")), test_residuals, SCHEMAS["arrivals"]
        )
        answers = answers.unionByName(tested.where("score > threshold"))
    return answers


def _readable(paths: list[str]) -> str | None:
    """Name the first of an image's files that is there, or whose archive is."""
    places = {path: member[0] if (member := split_member(path)) else path for path in paths}
    return next((path for path, place in places.items() if bytes_of(place)), None)
