"""`noisescope explain`: why one image got its verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from noisescope_core.cli.command import (
    FILE,
    FOLDER,
    RESULT,
    OneLineErrors,
    check_exist,
    console,
    tell,
    with_options,
)
from noisescope_core.errors import UsageError

if TYPE_CHECKING:
    from noisescope_core.app.explanation import Explanation


@click.command(
    cls=OneLineErrors,
    epilog="""\
noisescope explain my/folder/picture.jpg --run my/run
noisescope explain my/folder/picture.jpg --run my/run --html why.html --figure why.png
noisescope explain s3a://bucket/uploads/1.jpg --run s3a://bucket/run --json""",
)
@click.argument("file", metavar="FILE", type=FILE)
@click.option(
    "--run", "folder", required=True, metavar="DIR", type=FOLDER, help="Run that tested it."
)
@click.option("--html", metavar="FILE", type=FILE, help="Write a page with pictures too.")
@click.option("--figure", metavar="FILE", type=FILE, help="Write a figure too: PNG, SVG or PDF.")
@with_options(*RESULT)
def explain(file: str, folder: str, html: str | None, figure: str | None) -> None:
    """Say why the image FILE got its verdict, and what would change it.

    Needs no Spark. An image that the run did not test is tested now.
    """
    check_exist({"FILE": file, "--run": folder})
    from noisescope_core.app.explanation import explain as explained
    from noisescope_core.report.explanation import as_json, render_explanation
    from noisescope_core.report.plots import plot_explanation
    from noisescope_core.tables.results import open_results

    told = explained(file, open_results(folder))
    tell(as_json(told), lambda: _show(told))
    for option, target in (("--html", html), ("--figure", figure)):
        if target is None:
            continue
        try:
            if option == "--html":
                Path(target).write_text(render_explanation(told), encoding="utf-8")
            else:
                plot_explanation(told).savefig(target, dpi=110)
        except (OSError, ValueError) as error:
            raise UsageError(f"{option}: {target} cannot be written ({error})") from error
        console().print(f"Written: {target}", markup=False, highlight=False, soft_wrap=True)


def _show(told: Explanation) -> None:
    from rich.console import Console
    from rich.table import Table

    from noisescope_core.report.explanation import changes, facts, strips, verdict_of
    from noisescope_core.report.formats import visible

    out = Console(highlight=False)

    def say(line: str = "", style: str | None = None) -> None:
        out.print(line, style=style, markup=False, soft_wrap=True)

    headline, meaning = verdict_of(told)
    say(str(visible(told.path)))
    say(headline, "bold")
    say(meaning)
    say()
    for name, value in facts(told):
        say(f"{name:<12}{value}")
    if told.match is None:
        return
    say()
    for line in strips(told.match, max(20, min(out.width, 100) - 45)):
        say(line)
    say()
    table = Table("what would change the verdict", "score", "verdict", box=None, pad_edge=False)
    for row in changes(told.match):
        table.add_row(*row)
    out.print(table)
