"""The Python interface: what the command line does, as functions.

The steps on arrays have the paper's names and need no Spark; the functions on folders join the
Spark session that is running, or start one, and leave its settings as they were. Results are
tables, dataclasses and matplotlib figures.

Nothing is printed but by `show`. Progress goes to the logger `noisescope` at the level INFO, which
`logging.basicConfig()` and `logging.getLogger("noisescope").setLevel("INFO")` show.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from noisescope_core import in_memory
from noisescope_core.app import evaluation
from noisescope_core.app.explanation import Explanation, Match
from noisescope_core.app.explanation import explain as explain_image
from noisescope_core.app.export import Format
from noisescope_core.app.export import export as export_verdicts
from noisescope_core.app.notebook import parameters, show
from noisescope_core.app.packs import pack
from noisescope_core.app.places import absolute, spark_log
from noisescope_core.config import Config, Settings, configured
from noisescope_core.correlation.pairs import pce, pce_matrix
from noisescope_core.correlation.surface import correlation_surface
from noisescope_core.errors import NoiseScopeError, UsageError
from noisescope_core.in_memory import Judged
from noisescope_core.methods import check_for_scans
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
    "Config", "Explanation", "Judged", "Match", "NoiseScopeError", "Results", "Scores",
    "UsageError", "cluster_residuals", "configured", "correlation_surface", "detect",
    "detect_in_memory", "detection_threshold", "evaluate", "experiment", "explain", "export",
    "find_known", "haralick_features", "noise_residual", "open_results", "pack", "parameters",
    "pce", "pce_matrix", "plan", "plot_distributions", "plot_experiment", "plot_explanation",
    "plot_fingerprint", "plot_residual", "plot_residuals", "plot_scores", "plot_surface",
    "scan", "show", "simulate", "tables",
]  # fmt: skip

LOG = logging.getLogger("noisescope.experiments")


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

    Raises
    ------
    UsageError
        If the settings are wrong, or a location holds a password.
    NoiseScopeError
        If Spark cannot be started or the run cannot go on, with what to do about it.

    Examples
    --------
    >>> run = detect("dump/images", "dump/reference", "run")  # doctest: +SKIP
    >>> run.table("verdicts").to_pandas()  # doctest: +SKIP
    """
    from noisescope_core.spark.session.progress import Progress
    from noisescope_core.spark.stages.detect import detect as detect_all
    from noisescope_core.spark.tables.run import Run

    config = configured(settings)
    tested, real, folder = absolute(images), absolute(reference), absolute(out)
    with _session(config, tested, real, folder) as spark:
        detect_all(Run(spark, folder), config, Progress(spark), tested, real)
    return open_results(folder)


def detect_in_memory(
    images: Mapping[str, bytes], reference: Mapping[str, bytes], settings: Settings = None
) -> Judged:
    """Find the generated images among files in memory, by the same steps as `detect`.

    Parameters
    ----------
    images, reference : contents of tested and reference files, by path
    settings : see `configured`

    Returns
    -------
    Judged
        Verdicts, one a file, and all patterns found.

    Examples
    --------
    >>> judged = detect_in_memory({"a.png": b"no image"}, {})
    >>> judged.verdicts[0].status
    'quarantined'
    """
    return in_memory.detect(images, reference, configured(settings))


def find_known(
    images: str | Path, fingerprints: str | Path, out: str | Path, settings: Settings = None
) -> pd.DataFrame:
    """Test a folder against known fingerprints, in one pass and without a search.

    Parameters
    ----------
    images : folder or URI to test
    fingerprints : folder or URI of the earlier run, or file that `pack` wrote
    out : folder or URI of the new run
    settings : see `configured`; what fingerprints depend on must be as in the earlier run

    Returns
    -------
    pandas.DataFrame
        The table `verdicts`, a row per file.

    Raises
    ------
    UsageError, NoiseScopeError
        As `detect`, and if the earlier run is not finished, or there is no such file.

    Examples
    --------
    >>> verdicts = find_known("new/images", "run", "known")  # doctest: +SKIP
    """
    from noisescope_core.spark.session.progress import Progress
    from noisescope_core.spark.stages import known
    from noisescope_core.spark.tables.run import Run

    config = configured(settings)
    tested, earlier, folder = absolute(images), absolute(fingerprints), absolute(out)
    with _session(config, tested, earlier, folder) as spark:
        run = Run(spark, folder)
        known.find_known(run, config, Progress(spark), tested, earlier)
    return pd.DataFrame(run.rows("verdicts"))


def plan(
    images: str | Path, reference: str | Path | None = None, settings: Settings = None
) -> dict[str, Any]:
    """Say what `detect` would do and cost, without doing it, as `noisescope plan` does.

    Parameters
    ----------
    images : folder or URI to test
    reference : folder or URI of photographs known to be real; None assumes that there are enough
    settings : see `configured`

    Returns
    -------
    dict
        `files`, `bytes`, `looked_at` (headers read), `method`, `route`, `seconds` in all, `rates`
        as measured just now, and `sizes`, the largest first: of each the number of images, the
        route with the reason for it, pairs, blocks, and bytes and seconds by stage.

    Raises
    ------
    UsageError, NoiseScopeError
        As `detect`.

    Examples
    --------
    >>> plan("dump/images", "dump/reference")["seconds"]  # doctest: +SKIP
    """
    from noisescope_core.spark.plan import plan as plan_run

    config, tested = configured(settings), absolute(images)
    real = None if reference is None else absolute(reference)
    with _session(config, tested, real or "") as spark:
        return plan_run(spark, config, tested, real)


def scan(
    images: str | Path, reference: str | Path, location: str, settings: Settings = None
) -> dict[str, Any]:
    """Test what is new in a folder that grows, and keep what is found in Delta tables.

    Parameters
    ----------
    images : folder or URI that grows
    reference : folder or URI of photographs known to be real, of the same kind
    location : folder, URI or schema of the tables, which the first scan makes
    settings : see `configured`; of the methods, a scan knows `whitened` alone

    Returns
    -------
    dict
        Row of the table `runs`: number of the scan, counts of files, seconds, and `alerts`, a
        sentence for every threshold of `alerts` that is exceeded.

    Raises
    ------
    UsageError, NoiseScopeError
        As `detect`, and if the settings are not for scans, or another scan is at work.

    Examples
    --------
    >>> row = scan("uploads", "photographs", "tables", {"alerts.flagged": 0.2})  # doctest: +SKIP
    """
    from noisescope_core.spark.scans.scan import scan as scan_new
    from noisescope_core.spark.session.progress import Progress

    config = configured(settings)
    check_for_scans(config)
    tested, real = absolute(images), absolute(reference)
    with tables(location, config, tested, real) as store:
        progress = Progress(store.spark, events=config.observe.events)
        return scan_new(store, config, progress, tested, real)


@contextmanager
def tables(location: str, settings: Settings = None, *others: str) -> Iterator[Store]:
    """Open the Delta tables of scans.

    What is done with them is in `noisescope_core.spark.scans`: `registry` (`list_fingerprints`,
    `describe_fingerprint`, `decide`), `maintenance` (`maintain`) and `erasure` (`erase`).

    Parameters
    ----------
    location : folder, URI or schema of the tables
    settings : see `configured`
    others : folders or URIs that will be read besides

    Yields
    ------
    Store
        The tables; the Spark session goes on after the block.

    Raises
    ------
    UsageError, NoiseScopeError
        As `scan`.

    Examples
    --------
    >>> from noisescope_core.spark.scans.registry import decide, list_fingerprints  # doctest: +SKIP
    >>> with tables("tables") as store:  # doctest: +SKIP
    ...     found = list_fingerprints(store)
    ...     decide(store, [found[0]["fingerprint_id"]], "confirmed", "seen before", "Ada")
    """
    from noisescope_core.spark.scans.store import Store, is_schema

    config = configured(settings)
    place = location if is_schema(location) else absolute(location)
    places = (*others, place, config.scan.work or "")
    with _session(config, *places, delta=True) as spark:
        yield Store(spark, place, config.scan.work)


def explain(file: str | Path, run: Results | str | Path) -> Explanation:
    """Say why an image got its verdict, and what would change it; needs no Spark.

    Parameters
    ----------
    file : path or URI of an image; one that the run did not test is tested now
    run : a run, or its folder or URI

    Returns
    -------
    Explanation
        The verdict, and the fingerprint that the image fits best with the scores of other images;
        `plot_explanation` draws it.

    Raises
    ------
    UsageError
        If the folder holds no finished run, or the image cannot be read.

    Examples
    --------
    >>> explanation = explain("dump/images/0001.png", "run")  # doctest: +SKIP
    >>> explanation.match.score, explanation.match.threshold  # doctest: +SKIP
    """
    return explain_image(str(file), _opened(run))


def evaluate(run: Results | str | Path, labels: str | Path) -> dict[str, Any]:
    """Hold the verdicts of a run against labels: precision, recall, F1, confusion counts.

    Parameters
    ----------
    run : a run, or its folder or URI
    labels : CSV file with the columns `path` and `label`, see `app.evaluation.read_labels`

    Returns
    -------
    dict
        `tp`, `fp`, `fn`, `tn`, `precision`, `recall`, `f1` (0..1) and what was left out, see
        `app.evaluation.evaluate`.

    Raises
    ------
    UsageError
        If the folder holds no finished run, or the labels cannot be read or belong to no verdict
        or to two.

    Examples
    --------
    >>> evaluate("run", "dump/labels.csv")["f1"]  # doctest: +SKIP
    """
    streams = _opened(run).streams("verdicts", ("path", "status", "is_fake"))
    label_of = evaluation.read_labels(Path(labels))
    return evaluation.evaluate(evaluation.rows_of(streams), label_of)


def export(run: Results | str | Path, out: str | Path, kind: Format = "csv") -> int:
    """Write the verdicts of a run as CSV or lines of JSON, as `noisescope export` does.

    Parameters
    ----------
    run : a run, or its folder or URI
    out : local file to write
    kind : `csv` or `jsonl`

    Returns
    -------
    Number of rows, one a file.

    Raises
    ------
    UsageError
        If the folder holds no finished run, or the file cannot be written.

    Examples
    --------
    >>> export("run", "verdicts.csv")  # doctest: +SKIP
    """
    return export_verdicts(_opened(run), out, kind)[0]


def experiment(file: str | Path, data: str | Path, out: str | Path) -> pd.DataFrame:
    """Run an experiment file, or what is missing of it, on this machine (docs/experiments.md).

    Each batch that is done is a line of the logger `noisescope.experiments` at the level INFO.

    Parameters
    ----------
    file : path of the experiment's YAML file
    data : folder that holds those of the sets
    out : folder of the table of trials

    Returns
    -------
    pandas.DataFrame
        Means over the draws, a row per trial, condition and method.

    Raises
    ------
    UsageError
        If the file is wrong, or images of a set are missing.
    NoiseScopeError
        If a batch failed, after all others are done.

    Examples
    --------
    >>> means = experiment("conf/experiments/small.yaml", ".", "small")  # doctest: +SKIP
    """
    from noisescope_core.experiments.definition import load_experiment
    from noisescope_core.experiments.pictures import find_files
    from noisescope_core.experiments.run import run_experiment
    from noisescope_core.experiments.summary import summarised
    from noisescope_core.experiments.table import read

    definition = load_experiment(str(file))
    files = find_files(definition, Path(data))
    run_experiment(definition, files, Path(out), lambda line: LOG.info("%s", line))
    return summarised(read(Path(out)))


def plot_experiment(out: str | Path) -> list[Figure]:
    """Draw what an experiment's table of trials holds, as its `summary.md` shows it.

    Parameters
    ----------
    out : folder of the table of trials

    Returns
    -------
    list of matplotlib.figure.Figure
        Empty where the table holds nothing to draw; `show(*figures)` shows them.
    """
    from noisescope_core.experiments.summary import plots
    from noisescope_core.experiments.table import read

    return [figure for _, figure in plots(read(Path(out)))]


def _opened(run: Results | str | Path) -> Results:
    return run if isinstance(run, Results) else open_results(absolute(run))


@contextmanager
def _session(config: Config, *locations: str, delta: bool = False) -> Iterator[SparkSession]:
    """Join or start a session, which goes on after the block with the settings it had."""
    from noisescope_core.spark.session.start import session_settings, start_session

    spark = start_session(config, spark_log(), delta=delta, locations=locations)
    with session_settings(spark, config):
        yield spark
