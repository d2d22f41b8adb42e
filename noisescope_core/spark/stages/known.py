"""Test any number of files against the fingerprints of an earlier run, in one pass."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.stages.listing import content_of, list_files
from noisescope_core.spark.stages.score import scanned, tests_of
from noisescope_core.spark.stages.verdicts import write_verdicts
from noisescope_core.spark.tables.run import Run


def find_known(
    run: Run, config: Config, progress: Progress, images: str, fingerprints: str
) -> None:
    """List a folder, test its files, write `files`, `scans`, `scores` and `verdicts`.

    Parameters
    ----------
    images : folder or URI
    fingerprints : run directory whose fingerprints, calibration and reference scores are taken over

    Raises
    ------
    NoiseScopeError
        If the folder cannot be listed, or the earlier run was not finished.
    """
    earlier = Run(run.spark, fingerprints)
    reference = earlier.read("scores").where("role = 'reference'")
    for table in ("fingerprints", "calibration"):
        run.write(table, earlier.read(table))
    sources, readable = list_files(run, config, progress, {"image": images})
    flagged = run.read("fingerprints").where("flagged").collect()
    tests = tests_of(run.spark, flagged, config, ())
    with progress.stage("scan", len(readable["image"]), "images") as stage:
        content = content_of(sources["image"], config)
        scores = scanned(run, config, tests, content).unionByName(reference)
        stage.finish("verdicts")
        with ThreadPoolExecutor() as pool:
            written = pool.submit(run.write, "scores", scores)
            write_verdicts(run, config, run.read("scans"), scores)
            written.result()
        fakes = run.read("verdicts").agg(F.count(F.when(F.col("is_fake"), 1))).collect()[0][0]
        stage.done(
            f"generators' fingerprints: {tests.fingerprints}, images that carry one: {fakes:,}"
        )
