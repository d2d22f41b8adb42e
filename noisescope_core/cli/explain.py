"""`noisescope explain`: why one image got its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from noisescope_core.app.places import check_file
from noisescope_core.archives import MARK
from noisescope_core.cli.scans.store import open_store
from noisescope_core.cli.shared.commands import Command
from noisescope_core.cli.shared.inputs import check_exist, check_local, read_config
from noisescope_core.cli.shared.options import CONFIG, FILE, FOLDER, RESULT, with_options
from noisescope_core.cli.shared.output import print_line, print_result
from noisescope_core.errors import UsageError

if TYPE_CHECKING:
    from noisescope_core.app.explanation import Explanation
    from noisescope_core.config import Config

LEAST_WIDTH = 20
"""Least characters of the strip of scores, on however narrow a terminal: chosen, to be readable."""

MOST_COLUMNS = 100
"""Most characters of a line, on however wide a terminal: chosen, not to stretch the strip."""

BESIDE_STRIP = 45
"""Characters of a line that are left for what stands beside the strip."""

FIGURE_DPI = 110
"""Dots per inch of a figure that is pixels: chosen, so that its text is readable on a screen."""


@click.command(
    cls=Command,
    epilog="""\
noisescope explain my/folder/picture.jpg --run my/run
noisescope explain my/folder/picture.jpg --run my/run --html why.html --figure why.png
noisescope explain 'shards/00001.tar!/0042.jpg' --run my/run
noisescope explain s3a://bucket/uploads/1.jpg --run s3a://bucket/run --json
noisescope explain my/uploads/0001.jpg --tables my/tables""",
)
@click.argument("file", metavar="FILE", type=FILE)
@click.option("--run", "folder", metavar="DIR", type=FOLDER, help="Run that tested it.")
@click.option("--tables", metavar="LOCATION", type=FOLDER, help="Tables of the scans that did.")
@click.option("--html", metavar="FILE", type=FILE, help="Write a page with pictures too.")
@click.option("--figure", metavar="FILE", type=FILE, help="Write a figure too: PNG, SVG or PDF.")
@with_options(*RESULT, *CONFIG)
def explain(
    file: str, folder: str | None, tables: str | None, html: str | None, figure: str | None,
    config_file: str | None, settings: tuple[str, ...],
) -> None:  # fmt: skip
    """Say why the image FILE got its verdict, and what would change it.

    Of a run it needs no Spark. An image that was not tested is tested now. Of --tables it also
    says which verdicts the file had, and what was decided about their fingerprints; --config
    and --set are for these alone.
    """
    if (folder is None) == (tables is None):
        raise UsageError("explain: name a --run or --tables")
    check_exist({"--run": folder})
    pages = {"--html": html, "--figure": figure}
    check_local(pages)
    for option, target in pages.items():
        if target is not None:
            check_file(target, option)
    from noisescope_core.report.explanation import as_json, render_explanation
    from noisescope_core.report.plots import plot_explanation

    past: dict[str, Any] = {}
    if folder is not None:
        explanation = _of_run(file, folder)
    else:
        explanation, past = _of_tables(file, str(tables), read_config(config_file, settings))
    print_result(as_json(explanation) | past, lambda: _show(explanation, past))
    for option, target in pages.items():
        if target is None:
            continue
        try:
            if option == "--html":
                page = render_explanation(explanation, past)
                Path(target).write_text(page, encoding="utf-8")
            else:
                plot_explanation(explanation).savefig(target, dpi=FIGURE_DPI)
        except (OSError, ValueError) as error:
            raise UsageError(f"{option}: {target} cannot be written ({error})") from error
        print_line(f"Written: {target}")


def _of_run(file: str, folder: str) -> Explanation:
    from noisescope_core.app.explanation import explain as explain_image
    from noisescope_core.app.explanation import located
    from noisescope_core.app.original import listed_as
    from noisescope_core.tables.results import open_results

    run = open_results(folder)
    if MARK not in file and listed_as(run, located(file, run)) is None:
        check_exist({"FILE": file})
    return explain_image(file, run)


def _of_tables(file: str, tables: str, config: Config) -> tuple[Explanation, dict[str, Any]]:
    """Explain a file out of the tables of scans, and give its past: `history` and `decisions`."""
    from noisescope_core.app.explanation import explain as explain_image
    from noisescope_core.app.explanation import of_a_file_that_is_gone

    with open_store(tables, config) as store:
        from noisescope_core.spark.scans.explained import scanned_file

        scanned = scanned_file(store, config, file)
        past = {"history": scanned.history, "decisions": scanned.decisions}
        try:
            return explain_image(file, scanned), past
        except UsageError:
            if not scanned.history:
                raise
            return of_a_file_that_is_gone(scanned.history[-1]), past


def _show(explanation: Explanation, past: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from noisescope_core.report.explanation import (
        changes,
        decisions,
        facts,
        history,
        strips,
        verdict_of,
    )
    from noisescope_core.report.formats import visible

    output = Console(highlight=False)

    def show(line: str = "", style: str | None = None) -> None:
        output.print(line, style=style, markup=False, soft_wrap=True)

    headline, meaning = verdict_of(explanation)
    show(str(visible(explanation.path)))
    show(headline, "bold")
    show(meaning)
    show()
    for name, value in facts(explanation):
        show(f"{name:<12}{value}")
    if past:
        rows, decided = history(past["history"]), decisions(past["decisions"])
        table = Table("scan", "ended", "verdict", "fingerprint", "score", box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(str(visible(cell)) for cell in row))
        output.print(table if rows else "No scan has judged a file of this path.")
        for line in decided:
            show(str(visible(line)))
    if explanation.match is None:
        return
    show()
    width = max(LEAST_WIDTH, min(output.width, MOST_COLUMNS) - BESIDE_STRIP)
    for line in strips(explanation.match, width):
        show(line)
    show()
    table = Table("what would change the verdict", "score", "verdict", box=None, pad_edge=False)
    for row in changes(explanation.match):
        table.add_row(*row)
    output.print(table)
