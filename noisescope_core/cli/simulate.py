"""`noisescope simulate`: a labelled dump of simulated images."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from noisescope_core.cli.shared.commands import Command
from noisescope_core.cli.shared.inputs import check_local
from noisescope_core.cli.shared.options import FOLDER, RESULT, with_options
from noisescope_core.cli.shared.output import console, print_result
from noisescope_core.errors import UsageError


@click.command(
    cls=Command,
    epilog="""\
noisescope simulate --out dump
noisescope simulate --out dump --photographs 1000 --generated 400 --generators 3 --size 512x384
noisescope simulate --out dump --size any --generators 2""",
)
@click.option("--out", required=True, metavar="DIR", type=FOLDER, help="New or empty folder.")
@click.option("--photographs", default=200, show_default=True, help="Photographs to test.")
@click.option("--generated", default=120, show_default=True, help="Generated images to test.")
@click.option("--reference", default=400, show_default=True, help="Reference photographs.")
@click.option("--generators", default=1, show_default=True, help="Generators that made them.")
@click.option("--cameras", default=4, show_default=True, help="Cameras that took them.")
@click.option(
    "--size", default="256", show_default=True, help="Pixels a side, WIDTHxHEIGHT, or any."
)
@click.option("--broken/--no-broken", default=True, show_default=True, help="Add broken files.")
@click.option("--seed", default=0, show_default=True, help="Of every draw.")
@click.option(
    "--upsampling",
    type=click.Choice(["transposed", "nearest", "bilinear"]),
    default="transposed",
    show_default=True,
    help="How generators enlarge their layers.",
)
@with_options(*RESULT)
def simulate(out: str, size: str, **choices: Any) -> None:
    """Make a labelled dump of simulated photographs and generated images."""
    from noisescope_core.app.progress import Stage
    from noisescope_core.simulate import write_dump

    pixels = _read_size(size)
    check_local({"--out": out})
    total = sum(choices[kind] for kind in ("photographs", "generated", "reference"))
    with Stage(console(), "simulate", total, "images") as stage:
        try:
            counts = write_dump(
                Path(out),
                size=pixels,
                progress=lambda done, total: stage.advance_to(done / total),
                **choices,
            )
        except (ValueError, OSError) as error:
            raise UsageError(str(error)) from error
        stage.done(f"{total:,} images")
    places = {name: str(Path(out, name)) for name in ("images", "reference", "labels.csv")}
    print_result(
        {"counts": counts, **places},
        lambda: click.echo(
            f"{counts['photographs']:,} photographs and {counts['generated']:,} generated images "
            f"in {places['images']}, {counts['reference']:,} photographs in "
            f"{places['reference']}, labels in {places['labels.csv']}"
        ),
    )


def _read_size(text: str) -> int | tuple[int, int] | Literal["any"]:
    """Read pixels a side, width and height, or that few images share a size."""
    if text.lower() == "any":
        return "any"
    try:
        sides = [int(side) for side in text.lower().split("x")]
        return sides[0] if len(sides) == 1 else (sides[0], sides[1])
    except (ValueError, IndexError):
        raise UsageError(f"--size: {text} is neither a number, WIDTHxHEIGHT nor any") from None
