"""`noisescope erase`: take images out of the tables of scans."""

from __future__ import annotations

import click

from noisescope_core.app.places import absolute
from noisescope_core.cli.scans.store import open_store
from noisescope_core.cli.shared.commands import Command
from noisescope_core.cli.shared.inputs import read_config
from noisescope_core.cli.shared.options import CONFIG, FILE, RESULT, TABLES, with_options
from noisescope_core.cli.shared.output import console, print_result
from noisescope_core.errors import UsageError


@click.command(
    cls=Command,
    epilog="""\
noisescope erase --path my/uploads/0001.jpg --tables my/tables
noisescope erase --image 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 \\
    --tables my/tables --json""",
)
@click.option("--path", "paths", multiple=True, metavar="PATH", type=FILE, help="A file's path.")
@click.option("--image", "images", multiple=True, metavar="SHA256", help="An image's id.")
@with_options(TABLES, *RESULT, *CONFIG)
def erase(
    paths: tuple[str, ...], images: tuple[str, ...], tables: str, config_file: str | None,
    settings: tuple[str, ...],
) -> None:  # fmt: skip
    """Erase images from the tables of scans: every path, verdict and membership."""
    config = read_config(config_file, settings)
    if not (paths or images):
        raise UsageError("erase: name a --path or an --image")
    with open_store(tables, config) as store:
        from noisescope_core.spark.scans.maintenance import erase as erase_images
        from noisescope_core.spark.session.progress import Progress

        progress = Progress(store.spark, console())
        counts = erase_images(store, config, progress, [absolute(path) for path in paths], images)
    tables_and_rows = ", ".join(f"{table} {count:,}" for table, count in counts.items())
    print_result(
        {"erased": counts},
        lambda: click.echo(f"Erased, and from all earlier states of the tables: {tables_and_rows}"),
    )
