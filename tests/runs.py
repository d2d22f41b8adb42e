"""Runs of `detect` in the session of the tests, and what they wrote."""

import io
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
from rich.console import Console

from noisescope_core.config import Config


def run_detect(
    spark: Any, config: Config, images: Path, reference: Path, out: Path
) -> dict[str, Any]:
    """Detect, and tell nobody; the summary."""
    from noisescope_core.spark.session.progress import Progress
    from noisescope_core.spark.stages.detect import detect
    from noisescope_core.spark.tables.run import Run

    progress = Progress(spark, Console(file=io.StringIO()))
    return detect(Run(spark, str(out)), config, progress, str(images), str(reference))


def verdict_rows(out: Path) -> list[dict[str, Any]]:
    """Verdicts of a run by their paths."""
    rows = ds.dataset(out / "verdicts").to_table().to_pylist()
    return sorted(rows, key=lambda row: row["path"])


def verdicts_of(out: Path) -> dict[str, dict[str, Any]]:
    """Verdicts of a run under the names of their files."""
    return {row["path"].rsplit("/", 1)[-1]: row for row in verdict_rows(out)}
