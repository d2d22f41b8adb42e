"""The search of a scan among the images that wait: in place of some sizes, lattices of all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pyarrow.dataset as ds
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.images import Size
from noisescope_core.methods import method_of, uncalibrated
from noisescope_core.spark.scans.context import Scan
from noisescope_core.spark.scans.reference import KEPT_FROM, keep, kept_reference, stored_rows
from noisescope_core.spark.scans.retest import claimed_by_retest
from noisescope_core.spark.scans.sizes import Waiting, waiting_images
from noisescope_core.spark.scans.waiting import waiting
from noisescope_core.spark.session.workers import map_batches
from noisescope_core.spark.stages.calibrate import calibrate
from noisescope_core.spark.stages.cluster import cluster
from noisescope_core.spark.stages.extract import extract_reference, reference_headers
from noisescope_core.spark.stages.listing import list_files
from noisescope_core.spark.stages.methods import correlate
from noisescope_core.spark.stages.score import found_in, scorer, tests_of
from noisescope_core.spark.stages.verdicts import write_verdicts
from noisescope_core.spark.stages.whitened.sample import sample
from noisescope_core.spark.tables.frames import frame
from noisescope_core.spark.tables.run import Run, files_of
from noisescope_core.tables.rows import FileRow, RouteRow
from noisescope_core.tables.schemas import ANSWER, SCHEMAS, WAITING, columns, names_in


@dataclass(frozen=True)
class Search:
    """What a scan searched among the images that wait.

    Attributes
    ----------
    waiting : the images that were searched; None if the scan searched nothing
    reference_images : distinct reference images of all sizes, as it counted them; None likewise
    uncalibrated : why images are not scored by this reference; None if they are
    decides : whether images of earlier scans that could not be scored are by now
    """

    waiting: Waiting | None
    reference_images: int | None
    uncalibrated: str | None
    decides: bool

    @property
    def done(self) -> bool:
        """Whether the scan searched."""
        return self.waiting is not None


def search_waiting(scan: Scan) -> Search:
    """Search the images that wait if enough came since the last search.

    Until a search has counted enough reference images, any image that came starts one: their
    number decides whether images are scored.
    """
    unsearched = without_search(scan)
    decided = scan.reference_images is not None and unsearched.uncalibrated is None
    counted = waiting_images(scan)
    due = bool(counted.sizes) or _enough(scan, counted) if decided else counted.new > 0
    if not due:
        return unsearched
    _search(scan, counted.sizes)
    ids = scan.run.batches("reference_residuals", ds.field("status") == "scored", ["image_id"])
    reference = len(set[str]().union(*(batch["image_id"].to_pylist() for batch in ids)))
    reason = uncalibrated(scan.config, reference)
    decides = reason is None and not decided and scan.number > 1
    return Search(counted, reference, reason, decides)


def without_search(scan: Scan) -> Search:
    """Say what holds where nothing is searched: the reference is as the last search counted it."""
    known = scan.reference_images
    # Before any search, what is judged carries a known pattern, whose bars came with it.
    return Search(None, None, None if known is None else uncalibrated(scan.config, known), False)


def _enough(scan: Scan, counted: Waiting) -> bool:
    """Whether enough images of all sizes wait, and enough of them are new."""
    lattice = method_of(scan.config).lattice
    return (
        lattice is not None
        and counted.images >= lattice.least_images
        and counted.new >= scan.config.scan.gather
    )


def _search(scan: Scan, sizes: list[Size]) -> None:
    """Run the stages of `detect` on the images that wait, but for their extraction.

    `residuals` has all that wait, with a residual and scored those of the sizes searched in place.
    """
    run, config, progress = scan.run, scan.config, scan.progress
    # An earlier version wrote no `scans`.
    if run.finished("scans") and run.finished("verdicts"):
        return
    reference = list_files(run, config, progress, {"reference": scan.reference})["reference"]
    wait = waiting(scan.store)
    if (claimed := claimed_by_retest(scan)) is not None:
        wait = wait.join(claimed, "image_id", "left_anti")
    # The answers that they had when they came are not the search's.
    wait = wait.select(*columns("residuals"))
    with ThreadPoolExecutor() as pool:
        # What the reference files say of themselves is read while that is written.
        headers = pool.submit(reference_headers, reference.content, config)
        images = _write_waiting(run, config, wait, sizes)
        kept = kept_reference(scan) if reference.bytes >= KEPT_FROM else None
        stored = partial(stored_rows, kept) if kept else None
        extract_reference(run, config, progress, reference, headers.result(), stored)
    if kept:
        keep(kept, run)
    for stage in (calibrate, sample, correlate, cluster):
        stage(run, config, progress)
    with progress.stage("score", images, "images") as told:
        run.write("scans", _tested(scan, wait))
        no_scores = frame(run.spark, [], SCHEMAS["scores"])
        write_verdicts(run, config, run.read("scans"), no_scores)
        told.done(f"{images:,} images that waited")


def _write_waiting(run: Run, config: Config, wait: DataFrame, sizes: list[Size]) -> int:
    """Write `files`, `route` and `residuals` of images that wait: how many these are."""
    kept = F.lit(False)
    if sizes:
        searched = run.spark.createDataFrame(sizes, "width int, height int")
        searched = F.broadcast(searched.withColumn("searched", F.lit(True)))
        wait = wait.join(searched, ["width", "height"], "left")
        kept = F.col("searched") & F.col("residual").isNotNull()
    status = F.when(kept, F.col("status")).otherwise(WAITING)
    residual = F.when(kept, F.col("residual"))
    run.write("residuals", wait.withColumns({"status": status, "residual": residual}))
    listed = run.rows("residuals", "path", "width", "height")
    # A file that was replaced under its name may wait with both contents.
    files = [FileRow("image", "", path) for path in sorted({row["path"] for row in listed})]
    run.write_rows("files", [*files, *files_of(run)])
    in_place = len([row for row in listed if (row["width"], row["height"]) in set(sizes)])
    route = method_of(config).route(in_place, config)
    # Features of images that wait are stored, however many they are.
    route = "spectral" if route == "shards" else route
    run.write_rows("route", [RouteRow(route, in_place)])
    return len(listed)


def _tested(scan: Scan, wait: DataFrame) -> DataFrame:
    """Test the images that wait against what was found: rows of `scans`."""
    run, found = scan.run, found_in(scan.run)
    tests = tests_of(run.spark, found, scan.config, ())
    if not all(row.kind == "lattice" for row in found):
        return map_batches(wait, scorer(tests, columns("scans")), SCHEMAS["scans"])
    # The tile says it; the residual is a hundred times as large.
    nothing = F.lit(None).cast("binary")
    cells = {"status": F.lit("scored"), "thumbnail": nothing, "residual": nothing}
    rows = run.read("residuals").withColumns(cells)
    if not tests.fingerprints:
        return rows.withColumns({name: F.lit(None) for name in names_in(ANSWER)})
    return map_batches(rows, scorer(tests, columns("scans")), SCHEMAS["scans"])
