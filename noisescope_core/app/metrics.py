"""The figures of scans for other programs: JSON lines, a Prometheus textfile, MLflow."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from noisescope_core.config import Observe
from noisescope_core.errors import UsageError

GAUGES = {
    "scan": "Number of the scan",
    "files": "Files that arrived",
    "bytes": "Bytes that were read of them",
    "scored": "Files that were scored",
    "unscored": "Sound files that could not be decided",
    "quarantined": "Files that were set aside",
    "fake": "Files that carry a generator's fingerprint",
    "rejudged": "Further verdicts of files of earlier scans",
    "found": "New fingerprints",
    "registry_version": "Version of the registry after the scan",
    "arrivals_seconds": "Seconds of reading and testing what arrived",
    "search_seconds": "Seconds of searching what waits",
    "tables_seconds": "Seconds of writing tables",
}
"""Columns of `runs` that are numbers, and what they count, in words for Prometheus."""


def check(observe: Observe) -> None:
    """Raise UsageError for all places that cannot be written to, before anything runs."""
    problems = []
    for key, file in (("events", observe.events), ("prometheus", observe.prometheus)):
        if file is not None and not os.access(Path(file).absolute().parent, os.W_OK):
            problems.append(f"observe.{key}: {file} is in no folder that can be written to")
    if observe.mlflow is not None and find_spec("mlflow") is None:
        problems.append("observe.mlflow: MLflow is not installed (pip install mlflow)")
    if problems:
        raise UsageError("; ".join(problems))


def write_event(file: str | None, run_id: str, **fields: Any) -> None:
    """Add a line of JSON to a file: time in UTC, run, and the fields; None writes nothing."""
    if file is None:
        return
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "run": run_id} | fields
    with Path(file).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line, default=str) + "\n")


def publish(run: Mapping[str, Any], observe: Observe) -> None:
    """Write what a scan has counted to every place that the configuration names.

    Parameters
    ----------
    run : row of `runs`
    observe : files for JSON lines and for Prometheus, and MLflow's experiment; None where not
    """
    fields = {name: value for name, value in run.items() if name != "run_id"}
    write_event(observe.events, run["run_id"], event="scan", **fields)
    if observe.prometheus is not None:
        _write_textfile(Path(observe.prometheus), run)
    if observe.mlflow is not None:
        _log_run(observe.mlflow, run)


def _write_textfile(file: Path, run: Mapping[str, Any]) -> None:
    """Write the format that Prometheus' node exporter collects, whole or not at all."""
    gauges = {name: (text, float(run[name])) for name, text in GAUGES.items()}
    gauges["finished_timestamp_seconds"] = ("When the scan ended", run["finished"].timestamp())
    gauges["alerts"] = ("Thresholds exceeded", float(len(run["alerts"])))
    lines = []
    for name, (text, value) in gauges.items():
        lines += [
            f"# HELP noisescope_{name} {text}.", f"# TYPE noisescope_{name} gauge",
            f"noisescope_{name} {value:.17g}",
        ]  # fmt: skip
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
    draft.replace(file)


def _log_run(experiment: str, run: Mapping[str, Any]) -> None:
    import mlflow

    mlflow.set_experiment(experiment)
    with mlflow.start_run(run_name=f"scan {run['scan']}"):
        mlflow.log_params({name: run[name] for name in ("run_id", "version", "config_hash")})
        mlflow.log_metrics({name: float(run[name]) for name in GAUGES}, step=run["scan"])
