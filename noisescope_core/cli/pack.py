"""`noisescope pack`: fingerprints of a run as one file."""

from __future__ import annotations

from typing import Any

import click

from noisescope_core.cli.shared.commands import Command
from noisescope_core.cli.shared.inputs import check_exist
from noisescope_core.cli.shared.options import FILE, FOLDER, RESULT, with_options
from noisescope_core.cli.shared.output import print_result

Record = dict[str, Any]


@click.command(
    cls=Command,
    epilog="""\
noisescope pack --run my/run --out fingerprints.parquet
noisescope pack --run my/run --out one.parquet --fingerprint 3f9ac0
noisescope pack --run s3a://bucket/run --out s3a://bucket/fingerprints.parquet --json""",
)
@click.option("--run", required=True, metavar="DIR", type=FOLDER, help="A finished run.")
@click.option("--out", required=True, metavar="FILE", type=FILE, help="Parquet file to write.")
@click.option(
    "--fingerprint", "fingerprints", metavar="ID", multiple=True,
    help="Pack this one, whoever the run took for its maker: you have looked and decided. Any "
    "number of times; without it, those taken for generators'.",
)  # fmt: skip
@with_options(*RESULT)
def pack(run: str, out: str, fingerprints: tuple[str, ...]) -> None:
    """Write the fingerprints of a run to one file, for noisescope known and other registries.

    Lattices whose makers have nearly the same decoder are shown as a family: each knows the others'
    images. So are sets of its images that were rescaled, with the factor (lattice.rescaled).
    """
    check_exist({"--run": run})
    from noisescope_core.app import packs

    families = packs.pack(run, out, fingerprints)
    count = sum(map(len, families))
    result = {"fingerprints": count, "file": out, "families": families}
    print_result(result, lambda: _show(families, out))


def _show(families: list[list[Record]], out: str) -> None:
    """Print a tree: the file, families in it, fingerprints in these."""
    from noisescope_core.report.formats import plural

    click.echo(f"{plural(sum(map(len, families)), 'fingerprint')} in {out}")
    for number, family in enumerate(families, 1):
        # Not rich's tree, which wraps its lines to the terminal.
        bend, side = ("└── ", "    ") if number == len(families) else ("├── ", "│   ")
        if len(family) == 1:
            click.echo(f"{bend}{_told(family[0])}")
            continue
        click.echo(f"{bend}family of {len(family)}")
        for record in family[:-1]:
            click.echo(f"{side}├── {_told(record)}")
        click.echo(f"{side}└── {_told(family[-1])}")


def _told(record: Record) -> str:
    """Tell a fingerprint in a line."""
    size = "any size" if record["kind"] == "lattice" else f"{record['width']} x {record['height']}"
    cells = [record["fingerprint_id"], size, f"{record['images']:,} images", record["maker"]]
    if record["origin"]:
        cells.append(f"of {record['origin']}, rescaled by {record['factor']:.3f}")
    return "  ".join(map(str, cells))
