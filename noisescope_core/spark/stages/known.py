"""Test any number of files against the fingerprints of an earlier run or a pack, in one pass."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame

from noisescope_core import __version__
from noisescope_core.app.known import Known, known_fingerprints
from noisescope_core.app.places import absolute
from noisescope_core.config import Config
from noisescope_core.errors import UsageError
from noisescope_core.methods import method_of
from noisescope_core.spark.records import records_of
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.stages.listing import list_files
from noisescope_core.spark.stages.score import Tests, scanned, tests_of
from noisescope_core.spark.stages.verdicts import write_verdicts
from noisescope_core.spark.summary import (
    count_verdicts,
    counts_of,
    reasons_of,
    unscored_in_words,
    write_summary,
)
from noisescope_core.spark.tables.frames import frame
from noisescope_core.spark.tables.run import UNFINISHED, Run
from noisescope_core.tables.schemas import SCHEMAS

SHOWN = ("fingerprint_id", "kind", "width", "height", "images", "maker", "flagged")
"""Columns by which the summary tells a fingerprint."""


def find_known(
    run: Run, config: Config, progress: Progress, images: str, fingerprints: str
) -> dict[str, Any]:
    """List a folder, test its files, write `files`, `scans`, `scores`, `verdicts`, the summary.

    Whatever the default method can read and is not too small is scored: each of its fingerprints
    has a bar of its own, so nothing of an image's size need be known.

    Parameters
    ----------
    images : folder or URI
    fingerprints : run directory whose fingerprints are looked for, or a pack (`app.packs`)
        By the paper's method a run, whose calibration and reference scores are taken over.

    Returns
    -------
    dict
        What `summary.json` holds.

    Raises
    ------
    UsageError
        If there is no such pack, or the fingerprints cannot be looked for with this configuration.
    NoiseScopeError
        If the folder cannot be listed, or the earlier run was not finished.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    if absolute(fingerprints).rstrip("/") == absolute(run.location).rstrip("/"):
        raise UsageError(f"{run.location}: is the run whose fingerprints are looked for")
    known = known_fingerprints(fingerprints, config)
    earlier = Run(run.spark, fingerprints) if known.of_run else None
    run.begin(_started_with(config, images, fingerprints), {})
    run.write_rows("fingerprints", known.rows)
    _take_over_calibration(run, config, earlier)
    tested = list_files(run, config, progress, {"image": images})["image"]
    tests = tests_of(run.spark, known.tested, config, known.false_alarms)
    with progress.stage("scan", tested.files, "images") as stage:
        _scan(run, config, tests, tested.content, earlier)
        summary = _summarise(run, config, known)
        stage.done(
            f"generators' fingerprints: {tests.fingerprints}, "
            f"images that carry one: {summary['counts']['fake']:,}"
        )
    summary |= {"images": images, "known": fingerprints}
    summary = write_summary(run, summary, progress, started, clock)
    run.remove(UNFINISHED)
    return summary


def _started_with(config: Config, images: str, fingerprints: str) -> str:
    """Tell this run from any that `detect` could go on with."""
    return json.dumps({"known": fingerprints, "images": images, "method": config.method})


def _take_over_calibration(run: Run, config: Config, earlier: Run | None) -> None:
    """Write `calibration`: what the earlier run knew of sizes, where their bars hang on that."""
    if method_of(config).threshold is not None and earlier is not None:
        run.write("calibration", earlier.read("calibration"))
    else:
        run.write_rows("calibration", [])


def _scan(run: Run, config: Config, tests: Tests, content: DataFrame, earlier: Run | None) -> None:
    """Test the files and write `scans`, `scores` and `verdicts`."""
    reference = frame(run.spark, [], SCHEMAS["scores"])
    if earlier is not None:
        reference = earlier.read("scores").where("role = 'reference'")
    scores = scanned(run, config, tests, content).unionByName(reference)
    with ThreadPoolExecutor() as pool:
        written = pool.submit(run.write, "scores", scores)
        write_verdicts(run, config, run.read("scans"), scores)
        written.result()


def _summarise(run: Run, config: Config, known: Known) -> dict[str, Any]:
    """Count verdicts by what they say, and files by the fingerprint that they carry."""
    verdicts = count_verdicts(run)
    counts = counts_of(verdicts)
    carrying = run.read("verdicts").where("is_fake").groupBy("fingerprint_id").count()
    carried = Counter({row.fingerprint_id: row["count"] for row in carrying.collect()})
    return {
        "version": __version__,
        "method": config.method,
        "counts": counts,
        "reasons": reasons_of(verdicts),
        "fingerprints": [
            {name: getattr(row, name) for name in SHOWN} | {"carried": carried[row.fingerprint_id]}
            for row in known.rows
        ],
        "records": records_of(run),
        "warnings": _warnings(counts, known),
        # Settings of Spark may be secrets: keys of a store.
        "config": config.model_dump(exclude={"spark": {"conf"}}),
    }


def _warnings(counts: Mapping[str, int], known: Known) -> list[str]:
    warnings = []
    if not known.tested:
        warnings.append("No fingerprint is taken for a generator's: nothing was looked for.")
    return warnings + unscored_in_words(counts)
