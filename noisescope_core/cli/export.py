"""`noisescope export`: the verdicts of a run as a text file."""

from __future__ import annotations

import os
import sys
from typing import Literal

import click

from noisescope_core.app.places import check_file
from noisescope_core.cli.shared.commands import Command
from noisescope_core.cli.shared.inputs import check_exist, check_local
from noisescope_core.cli.shared.options import FILE, FOLDER, RESULT, with_options
from noisescope_core.cli.shared.output import print_line, print_result


@click.command(
    cls=Command,
    epilog="""\
noisescope export --run my/run --format csv --out verdicts.csv
noisescope export --run s3a://bucket/run --format jsonl --out verdicts.jsonl
noisescope export --run my/run --format jsonl --out - > verdicts.jsonl""",
)
@click.option("--run", required=True, metavar="DIR", type=FOLDER, help="A finished run.")
@click.option(
    "--format", "kind", required=True, type=click.Choice(["csv", "jsonl"]),
    help="CSV, or a line of JSON a file.",
)  # fmt: skip
@click.option(
    "--out", required=True, metavar="FILE", type=FILE,
    help="Local file to write, replaced if it is there; - is standard output.",
)  # fmt: skip
@with_options(*RESULT)
def export(run: str, kind: Literal["csv", "jsonl"], out: str) -> None:
    """Write the verdicts of a run as CSV or JSON: a row per tested file, in the order of paths.

    Needs no Spark; verdicts of any number pass through little memory. Columns are those of the
    table. Each path is written as it came. Other texts of CSV that a spreadsheet would take for
    formulas begin with an apostrophe.
    """
    check_exist({"--run": run})
    check_local({"--out": out})
    if out != "-":
        check_file(out, "--out")
    from noisescope_core.app.export import export as export_verdicts
    from noisescope_core.tables.results import open_results

    results = open_results(run)
    try:
        rows, formulas = export_verdicts(results, sys.stdout.buffer if out == "-" else out, kind)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads has seen enough. What Python flushes at its end must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if formulas and kind == "csv":
        print_line(
            f"Warning: {formulas:,} paths begin with =, +, - or @; have a spreadsheet import the "
            "column path as text, or it takes them for formulas"
        )
    if out != "-":
        print_result({"rows": rows, "file": out}, lambda: click.echo(f"{rows:,} verdicts in {out}"))
