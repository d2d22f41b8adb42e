"""All stages in the data's order, then the summary and the report."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from functools import partial
from typing import Any

from noisescope_core import __version__
from noisescope_core.config import Config, Route
from noisescope_core.spark.report import report
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.stages.calibrate import calibrate
from noisescope_core.spark.stages.cluster import cluster
from noisescope_core.spark.stages.extract import extract
from noisescope_core.spark.stages.methods import Stage, correlate, stages_of
from noisescope_core.spark.stages.score import score
from noisescope_core.spark.stages.sets import route_of
from noisescope_core.spark.stages.whitened.sample import sample
from noisescope_core.spark.summary import summarise, write_summary
from noisescope_core.spark.tables.run import UNFINISHED, Run


def stages(
    config: Config, chosen: Route, images: str, reference: str
) -> dict[str, tuple[Stage, tuple[str, ...]]]:
    """List the stages in the data's order, each with the tables that it writes."""
    of_method, by_shards = stages_of(config), chosen == "shards"
    drawn: dict[Route, tuple[str, ...]] = {
        "pairs": (),
        "spectral": ("sample",),
        "shards": ("candidates", "sample", "residuals"),
    }
    stored = "headers" if by_shards else "residuals"
    merging = ("merging",) if of_method.merges else ()
    searched = ("searched",) if of_method.whole else ()
    return {
        "extract": (
            partial(extract, images=images, reference=reference),
            ("files", "route", stored, "reference_residuals"),
        ),
        "calibrate": (calibrate, ("reference_fingerprints", "calibration")),
        "sample": (sample, drawn[chosen]),
        "correlate": (correlate, (of_method.correlations,)),
        "cluster": (cluster, (*searched, "clusters", *merging, "fingerprints")),
        "score": (score, (*(("scans",) if by_shards else ()), "scores", "verdicts")),
    }


def detect(
    run: Run, config: Config, progress: Progress, images: str, reference: str
) -> dict[str, Any]:
    """Find the generated images of a folder: run every stage, write the summary and the report.

    A run that died in the same place is continued after its last finished stage, if it was begun
    with the same folders, version and configuration but for `spark` and `report`.

    Returns
    -------
    dict
        What `summary.json` holds.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    # Listing the files decides the route; without it there is nothing to continue.
    chosen: Route = route_of(run) if run.finished("route") else "pairs"
    todo = stages(config, chosen, images, reference)
    kept = run.begin(
        started_with(config, images, reference),
        {name: tables for name, (_, tables) in todo.items()},
    )
    for name, (stage, _) in todo.items():
        if name in kept:
            progress.kept(name, kept[name])
        else:
            stage(run, config, progress)
    summary = summarise(run, config) | {"images": images, "reference": reference}
    summary = write_summary(run, summary, progress, started, clock)
    run.write_text("report.html", report(run, config, summary))
    run.remove(UNFINISHED)
    return summary


def started_with(config: Config, images: str, reference: str) -> str:
    """All that the tables depend on; settings of Spark, which may be secret, are not part of it."""
    folders = {"images": images, "reference": reference}
    return json.dumps(
        {
            "version": __version__,
            **{
                name: location if "://" in location else os.path.abspath(location)
                for name, location in folders.items()
            },
            "config": config.model_dump(exclude={"spark", "report"}),
        },
        indent=2,
    )
