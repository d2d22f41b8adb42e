"""`noisescope experiment`: run experiment files, and make a page of what they found."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from noisescope_core.app.places import check_file, make_folder, spark_log
from noisescope_core.cli.shared.commands import CommandGroup
from noisescope_core.cli.shared.inputs import check_exist, check_local, read_config
from noisescope_core.cli.shared.options import CONFIG, FILE, FOLDER, RESULT, with_options
from noisescope_core.cli.shared.output import print_line, print_result
from noisescope_core.cli.shared.session import start_spark
from noisescope_core.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from noisescope_core.experiments.definition import Experiment

PIPE_COLUMNS = 160
"""Columns of the tables of results in a pipe, in characters: chosen so that no cell wraps."""


@click.group(
    cls=CommandGroup,
    epilog="""\
noisescope experiment run conf/experiments/small.yaml --out my/experiment
noisescope experiment page my/experiment --out my/experiment.md""",
)
def experiment() -> None:
    """Compare methods on labelled images, under attacks, draw by draw."""


@experiment.command(
    epilog="""\
noisescope experiment run conf/experiments/small.yaml --out my/experiment
noisescope experiment run conf/experiments/main.yaml --data my/sets --out my/main \\
    --spark --set spark.driver_memory=8g"""
)
@click.argument("file", type=FILE)
@click.option(
    "--data", default=".", metavar="DIR", type=FOLDER, help="Folder that holds those of the sets."
)
@click.option(
    "--out", required=True, metavar="DIR", type=FOLDER, help="Folder of the table and its summary."
)
@click.option("--spark", "by_spark", is_flag=True, help="Work on Spark's executors.")
@with_options(*RESULT, *CONFIG)
def run(
    file: str,
    data: str,
    out: str,
    by_spark: bool,
    config_file: str | None,
    settings: tuple[str, ...],
) -> None:
    """Run an experiment FILE, such as conf/experiments/small.yaml, and sum it up.

    A run that was stopped goes on where it was. --config and --set hold for Spark alone; methods
    are set in the file.
    """
    from noisescope_core.experiments.definition import load_experiment
    from noisescope_core.experiments.pictures import find_files
    from noisescope_core.experiments.run import run_experiment
    from noisescope_core.experiments.summary import write_summary

    check_exist({"FILE": file, "--data": data})
    check_local({"--out": out})
    definition = load_experiment(file)
    files = find_files(definition, Path(data))
    config = read_config(config_file, settings)
    folder = Path(make_folder(out, "--out"))
    if by_spark:
        spark = start_spark(config, spark_log(str(folder)))
        from noisescope_core.spark.experiments import on_executors
        from noisescope_core.spark.session.start import stop_session

        answers = on_executors(spark, definition, files)
        run_experiment(definition, files, folder, print_line, answers)
        stop_session(spark)
    else:
        run_experiment(definition, files, folder, print_line)
    trials = _read_trials(definition, folder)
    summary, *_ = write_summary(trials, folder)
    result = {"summary": str(summary), "trials": trials.drop_columns("pictures").to_pylist()}
    print_result(result, lambda: _show_trials(trials, summary))


def _read_trials(definition: Experiment, folder: Path) -> pa.Table:
    """Read the trials that the experiment's file asks for.

    The table also keeps those that only an earlier version of the file asked for.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from noisescope_core.experiments.table import read

    keys = [definition.key(question) for question in definition.cases()]
    table = read(folder)
    return table.filter(pc.is_in(table["key"], pa.array(keys)))


def _show_trials(trials: pa.Table, summary: Path) -> None:
    from rich.console import Console
    from rich.markdown import Markdown

    from noisescope_core.experiments.summary import CELLS, markdown

    output = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    output.print(Markdown(markdown(trials)))
    click.echo(CELLS)
    click.echo(f"Summary: {summary}")


@experiment.command(
    epilog="""\
noisescope experiment page my/main my/attacks --out results.md"""
)
@click.argument("runs", nargs=-1, required=True, metavar="DIR...", type=FOLDER)
@click.option("--out", required=True, metavar="FILE", type=FILE, help="Markdown file to write.")
@with_options(*RESULT)
def page(runs: tuple[str, ...], out: str) -> None:
    """Write a page on finished experiments: what holds, what does not, what to do about it."""
    from noisescope_core.experiments.page import write_page
    from noisescope_core.experiments.table import read

    check_local({"--out": out})
    check_file(out, "--out")
    tables = [read(Path(folder)) for folder in runs]
    empty = [folder for folder, table in zip(runs, tables, strict=True) if not table.num_rows]
    if empty:
        raise UsageError(f"{', '.join(empty)}: holds no trials, see noisescope experiment run")
    command = shlex.join(["noisescope", *sys.argv[1:]])
    write_page(tables, Path(out), command)
    print_result({"page": out}, lambda: click.echo(f"Page: {out}"))
