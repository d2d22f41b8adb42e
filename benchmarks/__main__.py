"""Measure speed and memory, print tables, write results.md: `python -m benchmarks`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from benchmarks import (
    ablation,
    correlation,
    extraction,
    kills,
    memory,
    month,
    piles,
    pipeline,
    recipe,
    reliability,
    report,
    scale,
    trials,
)
from benchmarks.browser import installed
from benchmarks.machine import description
from noisescope_core.experiments.methods import whitened

HERE = Path(__file__).parent
ALL = ("extraction", "correlation", "pipeline", "memory", "report")
DEVELOPMENT = ("reliability", "recipe", "ablation")
"""Only by name: these need the development images."""

SCALE = ("scan", "discovery", "pairs", "month", "kills")
"""Only by name: these take an hour and more."""


@click.command()
@click.argument("what", nargs=-1, type=click.Choice((*ALL, *SCALE, *DEVELOPMENT)))
@click.option("--images", default=1000, show_default=True, help="Tested images.")
@click.option("--data", default=HERE / "data", type=Path, help="Where simulated images are kept.")
@click.option("--largest", default=50_000, show_default=True, help="Images of the largest pile.")
@click.option("--out", default=HERE / "results.md", type=Path, help="Page to write.")
def main(what: tuple[str, ...], images: int, data: Path, largest: int, out: Path) -> None:
    """Run the named benchmarks, or all of them."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    page = [
        "# Benchmarks",
        "",
        "Made by `make bench`; ratios are medians of runs taken in turn.",
        "",
    ]
    page += [f"- {line}" for line in [*description(), f"{datetime.now(UTC):%Y-%m-%d}"]]
    console.print("\n".join(page[4:]), highlight=False)

    def show(title: str, rows: list[dict[str, Any]], note: str = "") -> None:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        cells = [[_cell(row.get(name, "")) for name in columns] for row in rows]
        table = Table(*columns, title=title, caption=note)
        for row in cells:
            table.add_row(*row)
        console.print(table)
        page.extend(["", f"## {title}", "", *([note, ""] if note else [])])
        page.extend("| " + " | ".join(row) + " |" for row in [columns, ["---"] * len(columns)])
        page.extend("| " + " | ".join(row) + " |" for row in cells)

    chosen = what or ALL
    if "extraction" in chosen:
        if not find_spec("skimage"):
            console.print("scikit-image is left out: pip install 'noisescope[bench]'")
        show("Noise residual, one core", extraction.measure(), extraction.NOTE)
    if "correlation" in chosen:
        show(
            "PCE of all pairs",
            [*correlation.measure(images), *correlation.measure(images * 3 // 10, 1024)],
            f"T_merge {correlation.THRESHOLD:g}. The bare products are what all pairs need, "
            "of n x N pixels and of n half power spectra, in float32 and without the symmetry that "
            "halves ours. Transforms, energies and holes are in the time of all pairs.",
        )
    if "pipeline" in chosen:
        rows, f1 = pipeline.measure(data, images, 1000)
        by_method = ", ".join(f"{method} {value:.4f}" for method, value in f1.items())
        show(
            f"`noisescope detect`, {images:,} images and 1,000 reference images of 256 x 256",
            rows,
            f"F1 on simulated images: {by_method}. Peak resident memory by part; `workers` is "
            "the sum.",
        )
    if "memory" in chosen:
        show("Memory as the pile grows", memory.measure(data, images))
    if "report" in chosen:
        if installed() is None:
            console.print("the report is left out: no browser is installed")
        else:
            show("The report of 100,000 images", report.measure(), report.NOTE)
    if "scan" in what or "discovery" in what:
        piles.write_pile(data / "pile", largest)
    if "scan" in what:
        for key in pipeline.METHODS:
            rows = scale.scan(data, scale.up_to(largest), key)
            show(f"Scan in one pass, {key}", rows, scale.exponent(rows, "images", "scan, s"))
    if "discovery" in what:
        for route in ("spectral", "shards"):
            rows = scale.discovery(data, scale.up_to(largest), route)
            note = scale.exponent(rows, "images", "all, s")
            show(f"Discovery at linear cost, {route}", rows, note)
    if "pairs" in what:
        rows = scale.pairs((500, 1000, 2000, 4000, 8000))
        show("Exact pairs", rows, scale.exponent(rows, "residuals", "all pairs, s"))
    if "month" in what:
        rows, findings = month.month(data, 30)
        show("A month of scheduled scans", rows, ". ".join(findings) + ".")
    if "kills" in what:
        show("Scans killed at random points", kills.kills(data, 20))
    if "reliability" in what:
        answers = trials.results(whitened, draws=5, without=0)
        show(
            "Confidence against truth",
            reliability.reliability(one for _, found in answers for one in found),
            "All draws with generated images in which a generator's fingerprint was accepted.",
        )
    if "recipe" in what:
        tried = trials.results(recipe.load, draws=5, without=5)
        show("Accuracy of the recipe", [trials.row(*one) for one in tried])
    if "ablation" in what:
        show(
            "The default method with one ingredient removed",
            list(ablation.measure()),
            "Files saved again; patterns found that are not taken for a generator's are counted.",
        )
    out.write_text("\n".join(page) + "\n", encoding="utf-8")
    console.print(f"Written to {out}", highlight=False)


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
