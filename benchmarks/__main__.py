"""Measure speed and memory, print tables, write results.md: `python -m benchmarks`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from benchmarks import (
    ablation,
    any_size,
    correlation,
    cropped,
    crowds,
    extraction,
    failing,
    half_year,
    kills,
    listing,
    many_sizes,
    memory,
    month,
    piles,
    pipeline,
    recipe,
    registry,
    reliability,
    report,
    rescaled,
    scale,
    sensors,
    sizes,
    sources,
    trials,
)
from benchmarks.browser import installed
from benchmarks.machine import description
from noisescope_core.experiments.methods import whitened

HERE = Path(__file__).parent
Row = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """How large what is measured is, and where it is kept.

    Attributes
    ----------
    images : tested images
    data : folder of simulated images
    largest : images of the largest pile
    """

    images: int
    data: Path
    largest: int


@dataclass(frozen=True)
class Measured:
    """A table of the page.

    Attributes
    ----------
    title : its heading
    rows : column to value
    note : what a reader has to know of it
    """

    title: str
    rows: Sequence[Row]
    note: str = ""


def extraction_tables(_: Options) -> Iterator[Measured]:
    """Measure the noise residual of one image."""
    if not find_spec("skimage"):
        click.echo("scikit-image is left out: pip install 'noisescope[bench]'")
    yield Measured("Noise residual, one core", extraction.measure(), extraction.NOTE)


def correlation_tables(options: Options) -> Iterator[Measured]:
    """Measure all pairs of two sizes of images."""
    few = options.images * 3 // 10
    yield Measured(
        "PCE of all pairs",
        [*correlation.measure(options.images), *correlation.measure(few, 1024)],
        f"T_merge {correlation.THRESHOLD:g}. The bare products are what all pairs need, "
        "of n x N pixels and of n half power spectra, in float32 and without the symmetry that "
        "halves ours. Transforms, energies and holes are in the time of all pairs.",
    )


def pipeline_tables(options: Options) -> Iterator[Measured]:
    """Measure a whole run, stage by stage."""
    rows, f1 = pipeline.measure(options.data, options.images, 1000)
    by_method = ", ".join(f"{method} {value:.4f}" for method, value in f1.items())
    yield Measured(
        f"`noisescope detect`, {options.images:,} images and 1,000 reference images of 256 x 256",
        rows,
        f"F1 on simulated images: {by_method}. Peak resident memory by part; `workers` is the sum.",
    )


def memory_tables(options: Options) -> Iterator[Measured]:
    """Measure memory on a small and on a large pile."""
    rows = memory.measure(options.data, options.images)
    yield Measured("Memory as the pile grows", rows)


def report_tables(_: Options) -> Iterator[Measured]:
    """Measure a large report, where there is a browser."""
    if installed() is None:
        click.echo("the report is left out: no browser is installed")
    else:
        yield Measured("The report of 100,000 images", report.measure(), report.NOTE)


def scan_tables(options: Options) -> Iterator[Measured]:
    """Measure the scan in one pass as the pile grows."""
    piles.write_pile(options.data / "pile", piles.Pile(options.largest))
    for method in pipeline.METHODS:
        rows = scale.scan(options.data, scale.up_to(options.largest), method)
        note = scale.exponent(rows, "images", "scan, s")
        yield Measured(f"Scan in one pass, {method}", rows, note)


def discovery_tables(options: Options) -> Iterator[Measured]:
    """Measure discovery at linear cost as the pile grows."""
    piles.write_pile(options.data / "pile", piles.Pile(options.largest))
    for route in ("spectral", "shards"):
        rows = scale.discovery(options.data, scale.up_to(options.largest), route)
        note = scale.exponent(rows, "images", "all, s")
        yield Measured(f"Discovery at linear cost, {route}", rows, note)


def pairs_tables(_: Options) -> Iterator[Measured]:
    """Measure exact pairs as their number grows."""
    rows = scale.pairs((500, 1000, 2000, 4000, 8000))
    yield Measured("Exact pairs", rows, scale.exponent(rows, "residuals", "all pairs, s"))


def month_tables(options: Options) -> Iterator[Measured]:
    """Run thirty scheduled scans."""
    rows, findings = month.month(options.data, 30)
    yield Measured("A month of scheduled scans", rows, ". ".join(findings) + ".")


def half_year_tables(options: Options) -> Iterator[Measured]:
    """Run 180 scheduled scans."""
    rows, findings = half_year.half_year(options.data / "half_year")
    yield Measured("Half a year of scheduled scans", rows, ". ".join(findings) + ".")


def listing_tables(options: Options) -> Iterator[Measured]:
    """Scan stores of up to a million entries of which few are new."""
    yield Measured("Scans of stores of many files", listing.listing(options.data))


def sources_tables(options: Options) -> Iterator[Measured]:
    """Read the same images out of folders, archives and tables."""
    yield Measured("Images on this disk", sources.measure(options.data / "sources", False))
    yield Measured("Images on an S3 server", sources.measure(options.data / "sources"))


def failing_tables(options: Options) -> Iterator[Measured]:
    """Run thirty scans of a store that refuses five reads in a hundred."""
    yield Measured("A month of failing reads", failing.measure(options.data / "failing"))


def kills_tables(options: Options) -> Iterator[Measured]:
    """Kill twenty scans, then two scans, an analyst and maintenance at once thirty times."""
    yield Measured("Scans killed at random points", kills.kills(options.data, 20))
    at_once = kills.concurrent(options.data, 30)
    yield Measured("Two scans, an analyst and `maintain` at once, killed at random", at_once)


def reliability_tables(_: Options) -> Iterator[Measured]:
    """Hold confidences against the truth."""
    answers = trials.results(whitened, draws=5, without=0)
    yield Measured(
        "Confidence against truth",
        reliability.reliability(result for _, of_trial in answers for result in of_trial),
        "All draws with generated images in which a generator's fingerprint was accepted.",
    )


def recipe_tables(_: Options) -> Iterator[Measured]:
    """Try the plain recipe."""
    tried = trials.results(recipe.load, draws=5, without=5)
    yield Measured("Accuracy of the recipe", [trials.row(*of_trial) for of_trial in tried])


def ablation_tables(_: Options) -> Iterator[Measured]:
    """Try the default method with one ingredient removed."""
    yield Measured(
        "The default method with one ingredient removed",
        list(ablation.measure()),
        "Files saved again; patterns found that are not taken for a generator's are counted.",
    )


def any_size_tables(options: Options) -> Iterator[Measured]:
    """Search piles of images of any size."""
    folder = options.data / "any_size"
    yield Measured(
        "One pile of nine generators at their own sizes",
        list(any_size.measure_piles(folder, 5)),
        "24 to 40 images of each among 600 photographs of seven sources, 1,000 others as "
        "reference; recall of each generator and means of 5 draws.",
    )
    yield Measured(
        "Photographs of one source among others, none in the reference",
        list(any_size.measure_look_alikes(folder, 20)),
        "Lattices alone; sets mostly of the source, by the maker they were taken for.",
    )
    yield Measured(
        "Images saved again and a reference as found, lattices alone",
        list(any_size.measure_unlike(folder, 30)),
        "The pile as above, as if no two images shared a size; means of 30 draws.",
    )
    yield Measured(
        "Copies of tested images among the reference that are recognised",
        list(any_size.measure_copies(folder, 3)),
        "Copies saved again, and other reference images of the same sources; shares of 3 draws.",
    )
    rows = list(any_size.measure_growth((1000, 2000, 5000, 10_000, 20_000)))
    yield Measured(
        "Lattice search as the pile grows", rows, scale.exponent(rows, "images", "search, s")
    )


def crowds_tables(options: Options) -> Iterator[Measured]:
    """Search a few generators' images in a crowd of photographs."""
    yield Measured(
        "Nine generators in a crowd of photographs",
        list(crowds.measure(options.data / "any_size", 2)),
        "24 to 40 images of each, the same in crowds of all sizes; photographs beyond 905 are "
        "parts of these, saved again; 800 others as reference. Lattices alone, means of 2 draws. "
        "`found`: generators with a set of purity .9; `given`: share of generated images in any "
        "set that are in one of their own maker's; then recall by these sets.",
    )


def sensors_tables(options: Options) -> Iterator[Measured]:
    """Search photographs of one source, cut and processed, in place."""
    yield Measured(
        "Photographs of one source, cut to 256 x 256 and processed",
        list(sensors.measure(256, 2)),
        "60 and 20 images of each of seven sources among others, none of the source in the "
        "reference; 12 and 40 of each generator, processed alike. Patterns found in place by "
        "maker, 2 draws.",
    )


def cropped_tables(options: Options) -> Iterator[Measured]:
    """Hold crops against lattices at all shifts."""
    yield Measured(
        "Crops against lattices",
        list(cropped.measure(options.data / "any_size" / "whitened")),
        "Fingerprints of at most 40 native images; others cropped to .75 and .9 of the sides at "
        "random places. Recall at 0.5 % of photographs cropped alike: in place, at the known shift "
        "and at the best of all; then above the raised bar, and photographs above it.",
    )


def rescaled_tables(options: Options) -> Iterator[Measured]:
    """Search sets that were rescaled by one factor."""
    yield Measured(
        "Sets rescaled by one factor",
        list(rescaled.measure(options.data / "any_size" / "whitened")),
        "30 images of a source, rescaled and saved again, among 600 photographs. `claimed`: images "
        "that a native fingerprint claims at a factor; sets that are mostly of the source.",
    )


def sizes_tables(options: Options) -> Iterator[Measured]:
    """Search images of 500 sizes on Spark."""
    rows = list(sizes.measure(options.data, (1000, 10_000, 100_000)))
    note = scale.exponent(rows, "images", "discovery, s")
    yield Measured("Discovery of lattices among images of 500 sizes", rows, note)


def many_sizes_tables(options: Options) -> Iterator[Measured]:
    """Detect among images of up to 500 small sizes."""
    piles_of = ((1, 22), (50, 22), (500, 22), (500, 10))
    rows = list(many_sizes.measure(options.data, piles_of))
    yield Measured("`noisescope detect` among images of many sizes", rows, many_sizes.NOTE)


def registry_tables(options: Options) -> Iterator[Measured]:
    """Hold images against up to 10,000 fingerprints."""
    rows = list(registry.measure(options.data / "registry"))
    yield Measured("One image against a registry of many fingerprints", rows, registry.NOTE)


Benchmark = Callable[[Options], Iterator[Measured]]

ALL: dict[str, Benchmark] = {
    "extraction": extraction_tables,
    "correlation": correlation_tables,
    "pipeline": pipeline_tables,
    "memory": memory_tables,
    "report": report_tables,
}
"""Without a name, all of these."""

SCALE: dict[str, Benchmark] = {
    "scan": scan_tables,
    "discovery": discovery_tables,
    "pairs": pairs_tables,
    "month": month_tables,
    "half-year": half_year_tables,
    "kills": kills_tables,
    "sources": sources_tables,
    "failing": failing_tables,
    "registry": registry_tables,
    "sizes": sizes_tables,
    "many-sizes": many_sizes_tables,
}
"""Only by name: these take an hour and more."""

DEVELOPMENT: dict[str, Benchmark] = {
    "reliability": reliability_tables,
    "recipe": recipe_tables,
    "ablation": ablation_tables,
    "any-size": any_size_tables,
    "crowds": crowds_tables,
    "sensors": sensors_tables,
    "cropped": cropped_tables,
    "rescaled": rescaled_tables,
}
"""Only by name: these need the development images."""

BENCHMARKS = ALL | SCALE | DEVELOPMENT


@click.command()
@click.argument("what", nargs=-1, type=click.Choice(list(BENCHMARKS)))
@click.option("--images", default=1000, show_default=True, help="Tested images.")
@click.option("--data", default=HERE / "data", type=Path, help="Where simulated images are kept.")
@click.option("--largest", default=50_000, show_default=True, help="Images of the largest pile.")
@click.option("--out", default=HERE / "results.md", type=Path, help="Page to write.")
def main(what: tuple[str, ...], images: int, data: Path, largest: int, out: Path) -> None:
    """Run the named benchmarks, or all of them."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    facts = [f"- {line}" for line in [*description(), f"{datetime.now(UTC):%Y-%m-%d}"]]
    console.print("\n".join(facts), highlight=False)
    page = [
        "# Benchmarks",
        "",
        "Made by `make bench`; ratios are medians of runs taken in turn.",
        "",
        *facts,
    ]
    options = Options(images, data, largest)
    for name, benchmark in BENCHMARKS.items():
        if name in (what or ALL):
            for measured in benchmark(options):
                console.print(_printed(measured))
                page += _written(measured)
    out.write_text("\n".join(page) + "\n", encoding="utf-8")
    console.print(f"Written to {out}", highlight=False)


def _cells(measured: Measured) -> tuple[list[str], list[list[str]]]:
    """Give the columns of all rows, and their cells as text."""
    columns = list(dict.fromkeys(name for row in measured.rows for name in row))
    return columns, [[_cell(row.get(name, "")) for name in columns] for row in measured.rows]


def _printed(measured: Measured) -> Table:
    columns, cells = _cells(measured)
    table = Table(*columns, title=measured.title, caption=measured.note)
    for row in cells:
        table.add_row(*row)
    return table


def _written(measured: Measured) -> list[str]:
    """Lines of Markdown."""
    columns, cells = _cells(measured)
    note = [measured.note, ""] if measured.note else []
    lines = ["| " + " | ".join(row) + " |" for row in [columns, ["---"] * len(columns), *cells]]
    return ["", f"## {measured.title}", "", *note, *lines]


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
