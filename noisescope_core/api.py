"""The Python interface: what the command line does, as functions.

The steps on arrays have the paper's names and need no Spark; the functions on folders join the
Spark session that is running, or start one. Results are tables, dataclasses and matplotlib figures.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from noisescope_core.app import evaluation
from noisescope_core.app.explanation import Explanation, Match
from noisescope_core.app.explanation import explain as explain_image
from noisescope_core.app.notebook import parameters, show
from noisescope_core.cli.command import log_elsewhere
from noisescope_core.config import Config, load_config
from noisescope_core.correlation.pairs import pce, pce_matrix
from noisescope_core.correlation.surface import correlation_surface
from noisescope_core.errors import NoiseScopeError, UsageError
from noisescope_core.paper.clustering import cluster_residuals
from noisescope_core.paper.detector import detection_threshold
from noisescope_core.report.plots import (
    plot_distributions,
    plot_explanation,
    plot_fingerprint,
    plot_residual,
    plot_residuals,
    plot_scores,
    plot_surface,
)
from noisescope_core.residual import noise_residual
from noisescope_core.simulate import write_dump as simulate
from noisescope_core.tables.results import Results, Scores, open_results
from noisescope_core.texture import haralick_features

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pyspark.sql import SparkSession

    from noisescope_core.spark.scans.store import Store

__all__ = [
    "Config", "Explanation", "Match", "NoiseScopeError", "Results", "Scores", "UsageError",
    "cluster_residuals", "configured", "correlation_surface", "detect", "detection_threshold",
    "evaluate", "experiment", "explain", "find_known", "haralick_features", "noise_residual",
    "open_results", "parameters", "pce", "pce_matrix", "plan", "plot_distributions",
    "plot_experiment", "plot_explanation", "plot_fingerprint", "plot_residual", "plot_residuals",
    "plot_scores", "plot_surface", "scan", "show", "simulate", "tables",
]  # fmt: skip

Settings = Config | Mapping[str, object] | None
"""A configuration, or some keys of it such as `{"discovery.images": 3000}`."""


def configured(settings: Settings = None, file: str | None = None) -> Config:
    """Make a configuration: the default, the keys of a YAML file, then single keys.

    Raises
    ------
    UsageError
        Naming all mistakes at once.

    Examples
    --------
    >>> configured({"method": "paper", "detection.percentile": 99}).detection.percentile
    99.0
    """
    if isinstance(settings, Config):
        return settings
    pairs = (settings or {}).items()
    return load_config(file, [f"{key}={'null' if v is None else v}" for key, v in pairs])


def detect(
    images: str | Path, reference: str | Path, out: str | Path, settings: Settings = None
) -> Results:
    """Find the generated images of a folder, blind, as `noisescope detect` does.

    Parameters
    ----------
    images : folder or URI to test
    reference : folder or URI of photographs known to be real, of the same kind
    out : folder or URI of the run; one that died there is continued
    settings : see `configured`

    Returns
    -------
    Results
        Its tables, such as `table("verdicts")`, and its summary.
    """
    from noisescope_core.spark.session.progress import Progress
    from noisescope_core.spark.stages.detect import detect as detect_all
    from noisescope_core.spark.tables.run import Run

    config, place = configured(settings), _place(out)
    spark = _session(config, _place(images), _place(reference), place)
    detect_all(Run(spark, place), config, Progress(spark), _place(images), _place(reference))
    return open_results(place)


def find_known(
    images: str | Path, fingerprints: str | Path, out: str | Path, settings: Settings = None
) -> pd.DataFrame:
    """Test a folder against the fingerprints of an earlier run, in one pass.

    Parameters
    ----------
    fingerprints : folder or URI of that run
    out : folder or URI of the new one

    Returns
    -------
    pandas.DataFrame
        The table `verdicts`.
    """
    from noisescope_core.spark.session.progress import Progress
    from noisescope_core.spark.stages import known
    from noisescope_core.spark.tables.run import Run

    config, place = configured(settings), _place(out)
    spark = _session(config, _place(images), _place(fingerprints), place)
    run = Run(spark, place)
    known.find_known(run, config, Progress(spark), _place(images), _place(fingerprints))
    return pd.DataFrame(run.rows("verdicts"))


def plan(
    images: str | Path, reference: str | Path | None = None, settings: Settings = None
) -> dict[str, Any]:
    """Say what `detect` would do and cost: images, route, pairs, bytes and seconds by stage."""
    from noisescope_core.spark.stages.plan import plan as plan_run

    config = configured(settings)
    other = None if reference is None else _place(reference)
    spark = _session(config, _place(images), other or "")
    return plan_run(spark, config, _place(images), other)


def scan(
    images: str | Path, reference: str | Path, location: str, settings: Settings = None
) -> dict[str, Any]:
    """Test what is new in a folder that grows, and keep what is found in Delta tables.

    Parameters
    ----------
    location : folder, URI or schema of the tables

    Returns
    -------
    dict
        Number of the scan, counts, and `alerts`, the sentences of thresholds exceeded.
    """
    from noisescope_core.spark.scans.scan import scan as scan_new
    from noisescope_core.spark.session.progress import Progress

    config = configured(settings)
    config.check_for_scans()
    with tables(location, config, _place(images), _place(reference)) as store:
        progress = Progress(store.spark, events=config.observe.events)
        return scan_new(store, config, progress, _place(images), _place(reference))


@contextmanager
def tables(location: str, settings: Settings = None, *others: str) -> Iterator[Store]:
    """Open the Delta tables of scans.

    What is done with them is in `noisescope_core.spark.scans`: `registry` (`list_fingerprints`,
    `describe_fingerprint`, `decide`) and `maintenance` (`maintain`, `erase`).

    Parameters
    ----------
    others : folders or URIs that will be read besides
    """
    from noisescope_core.spark.scans.store import Store, is_schema
    from noisescope_core.spark.session.start import start_session

    config = configured(settings)
    place = location if is_schema(location) else _place(location)
    places = (*others, place, config.scan.work or "")
    spark = start_session(config, log_elsewhere(), delta=True, locations=places)
    yield Store(spark, place, config.scan.work)


def explain(file: str | Path, run: Results | str | Path) -> Explanation:
    """Say why an image got its verdict, and what would change it; needs no Spark.

    Parameters
    ----------
    file : path or URI of an image; one that the run did not test is tested now
    run : a run, or its folder or URI
    """
    return explain_image(str(file), _opened(run))


def evaluate(run: Results | str | Path, labels: str | Path) -> dict[str, Any]:
    """Hold the verdicts of a run against labels: precision, recall, F1, confusion counts.

    Parameters
    ----------
    labels : CSV file with the columns `path` and `label`
    """
    rows = _opened(run).table("verdicts", ("path", "status", "is_fake")).to_pylist()
    return evaluation.evaluate(rows, evaluation.read_labels(Path(labels)))


def experiment(file: str | Path, data: str | Path, out: str | Path) -> pd.DataFrame:
    """Run an experiment file, or what is missing of it, on this machine (docs/experiments.md).

    Parameters
    ----------
    data : folder that holds those of the sets
    out : folder of the table of trials

    Returns
    -------
    pandas.DataFrame
        Means over the draws, a row per trial, condition and method.
    """
    from noisescope_core.experiments.definition import load_experiment
    from noisescope_core.experiments.pictures import listed
    from noisescope_core.experiments.run import run_experiment
    from noisescope_core.experiments.summary import summarised
    from noisescope_core.experiments.table import read

    asked = load_experiment(str(file))
    run_experiment(
        asked, listed(asked, Path(data)), Path(out), lambda line: print(line, flush=True)
    )
    return summarised(read(Path(out)))


def plot_experiment(out: str | Path) -> list[Figure]:
    """Draw what an experiment's table of trials holds, as its `summary.md` shows it.

    Parameters
    ----------
    out : folder of the table of trials
    """
    from noisescope_core.experiments.summary import plots
    from noisescope_core.experiments.table import read

    return [figure for _, figure in plots(read(Path(out)))]


def _opened(run: Results | str | Path) -> Results:
    return run if isinstance(run, Results) else open_results(_place(run))


def _session(config: Config, *locations: str) -> SparkSession:
    from noisescope_core.spark.session.start import start_session

    return start_session(config, log_elsewhere(), locations=locations)


def _place(location: str | Path) -> str:
    """Write a local path whole; a URI stays as it is."""
    text = str(location)
    return text if "://" in text else os.path.abspath(text)
