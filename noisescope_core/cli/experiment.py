"""`noisescope experiment`: run experiment files, and make a page of what they found."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from noisescope_core.cli.command import (
    CONFIG,
    FILE,
    FOLDER,
    RESULT,
    Commands,
    check_exist,
    configured,
    console,
    made,
    start_spark,
    tell,
    with_options,
)
from noisescope_core.errors import UsageError


@click.group(
    cls=Commands,
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
    import pyarrow as pa
    import pyarrow.compute as pc

    from noisescope_core.experiments.definition import load_experiment
    from noisescope_core.experiments.pictures import find_files
    from noisescope_core.experiments.run import run_experiment
    from noisescope_core.experiments.summary import CELLS, markdown, write_summary
    from noisescope_core.experiments.table import read

    check_exist({"FILE": file, "--data": data})
    asked = load_experiment(file)
    files = find_files(asked, Path(data))
    config = configured(config_file, settings)
    out, log = made(out, "--out")
    meanwhile = console()

    def say(line: str) -> None:
        meanwhile.print(line, highlight=False, markup=False, soft_wrap=True)

    answers = spark = None
    if by_spark:
        spark = start_spark(config, log)
        from noisescope_core.spark.experiments import on_executors

        answers = on_executors(spark, asked, files)
    run_experiment(asked, files, Path(out), say, answers)
    if spark is not None:
        spark.stop()
    table = read(Path(out))
    keys = [asked.key(case) for case in asked.cases()]
    # What an earlier version of the file asked stays in the table, but is not what it asks now.
    table = table.filter(pc.is_in(table["key"], pa.array(keys)))
    summary, *_ = write_summary(table, Path(out))

    def show() -> None:
        from rich.console import Console
        from rich.markdown import Markdown

        Console(width=None if sys.stdout.isatty() else 160).print(Markdown(markdown(table)))
        click.echo(CELLS)
        click.echo(f"Summary: {summary}")

    tell({"summary": str(summary), "trials": table.drop_columns("pictures").to_pylist()}, show)


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

    tables = [read(Path(folder)) for folder in runs]
    empty = [folder for folder, table in zip(runs, tables, strict=True) if not table.num_rows]
    if empty:
        raise UsageError(f"{', '.join(empty)}: holds no trials, see noisescope experiment run")
    command = shlex.join(["noisescope", *sys.argv[1:]])
    write_page(tables, Path(out), command)
    tell({"page": out}, lambda: click.echo(f"Page: {out}"))
