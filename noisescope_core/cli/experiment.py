"""`noisescope experiment`: run experiment files, and make a page of what they found."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.markdown import Markdown

from noisescope_core.cli.command import CONFIG, made, with_options
from noisescope_core.config import load_config
from noisescope_core.errors import UsageError


@click.group()
def experiment() -> None:
    """Compare methods on labelled images, under attacks, draw by draw."""


@experiment.command()
@click.argument("file")
@click.option("--data", default=".", metavar="DIR", help="Folder that holds those of the sets.")
@click.option("--out", required=True, metavar="DIR", help="Folder of the table and its summary.")
@click.option("--spark", "by_spark", is_flag=True, help="Work on Spark's executors.")
@with_options(*CONFIG)
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
    from noisescope_core.experiments.pictures import listed
    from noisescope_core.experiments.run import run_experiment
    from noisescope_core.experiments.summary import CELLS, markdown, write_summary
    from noisescope_core.experiments.table import read

    asked = load_experiment(file)
    files = listed(asked, Path(data))
    config = load_config(config_file, settings)
    out, log = made(out, "--out")
    console = Console(stderr=True)

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    answers = spark = None
    if by_spark:
        from noisescope_core.spark.experiments import on_executors
        from noisescope_core.spark.session import start_session

        spark = start_session(config, log)
        answers = on_executors(spark, asked, files)
    run_experiment(asked, files, Path(out), say, answers)
    if spark is not None:
        spark.stop()
    table = read(Path(out))
    keys = [asked.key(*one) for one in asked.asked()]
    # What an earlier version of the file asked stays in the table, but is not what it asks now.
    table = table.filter(pc.is_in(table["key"], pa.array(keys)))
    summary, *_ = write_summary(table, Path(out))
    Console(width=None if sys.stdout.isatty() else 160).print(Markdown(markdown(table)))
    click.echo(CELLS)
    click.echo(f"Summary: {summary}")


@experiment.command()
@click.argument("runs", nargs=-1, required=True, metavar="DIR...")
@click.option("--out", required=True, metavar="FILE", help="Markdown file to write.")
def page(runs: tuple[str, ...], out: str) -> None:
    """Write a page on finished experiments: what holds, what does not, what to do about it."""
    from noisescope_core.experiments.page import write_page
    from noisescope_core.experiments.table import read

    tables = [read(Path(folder)) for folder in runs]
    empty = [folder for folder, table in zip(runs, tables, strict=True) if not table.num_rows]
    if empty:
        raise UsageError(f"{', '.join(empty)}: holds no trials, see noisescope experiment run")
    command = shlex.join(["noisescope", *sys.argv[1:]])
    write_page(tables, Path(out), command)
    click.echo(f"Page: {out}")
