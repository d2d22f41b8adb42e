"""`noisescope explain`: why one image got its verdict."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from noisescope_core.errors import UsageError


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--run", "run_folder", required=True, metavar="DIR", help="Run that tested it.")
@click.option("--html", metavar="FILE", help="Write a page with pictures too.")
@click.option("--figure", metavar="FILE", help="Write a figure too: PNG, SVG or PDF.")
def explain(file: str, run_folder: str, html: str | None, figure: str | None) -> None:
    """Say why the image FILE got its verdict, and what would change it. Needs no Spark."""
    from noisescope_core.explanation import explain as explained
    from noisescope_core.report.explanation import (
        changes,
        facts,
        render_explanation,
        strips,
        verdict_of,
    )
    from noisescope_core.report.plots import plot_explanation
    from noisescope_core.report.render import visible
    from noisescope_core.results import open_results

    told = explained(file, open_results(run_folder))
    console = Console(highlight=False)

    def say(line: str = "", style: str | None = None) -> None:
        console.print(line, style=style, markup=False, soft_wrap=True)

    headline, meaning = verdict_of(told)
    say(str(visible(told.path)))
    say(headline, "bold")
    say(meaning)
    say()
    for name, value in facts(told):
        say(f"{name:<12}{value}")
    if told.match is not None:
        say()
        for line in strips(told.match, max(20, min(console.width, 100) - 45)):
            say(line)
        say()
        table = Table("what would change the verdict", "score", "verdict", box=None, pad_edge=False)
        for row in changes(told.match):
            table.add_row(*row)
        console.print(table)
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
        say(f"Written: {target}")
