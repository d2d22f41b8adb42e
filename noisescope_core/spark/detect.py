"""All stages in the data's order, then the summary and the report."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

from noisescope_core.config import Config
from noisescope_core.spark.calibrate import calibrate
from noisescope_core.spark.cluster import cluster
from noisescope_core.spark.correlate import correlate
from noisescope_core.spark.extract import extract
from noisescope_core.spark.progress import Progress
from noisescope_core.spark.sample import sample
from noisescope_core.spark.score import score
from noisescope_core.spark.summary import report, summarise
from noisescope_core.spark.tables import Run


def detect(
    run: Run, config: Config, progress: Progress, images: str, reference: str
) -> dict[str, Any]:
    """Find the generated images of a folder: run every stage, write the summary and the report.

    Returns
    -------
    dict
        What `summary.json` holds.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    extract(run, config, progress, images, reference)
    for stage in (calibrate, sample, correlate, cluster, score):
        stage(run, config, progress)
    summary = summarise(run, config) | {
        "images": images,
        "reference": reference,
        "started": started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "seconds": round(time.monotonic() - clock, 1),
        "stages": progress.stages,
    }
    run.write_text("summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    run.write_text("report.html", report(run, config, summary))
    return summary
