"""`noisescope erase`: take images out of the tables of scans."""

from __future__ import annotations

import getpass
import re
from pathlib import Path

import click

from noisescope_core.app.places import absolute
from noisescope_core.cli.scans.store import open_store
from noisescope_core.cli.shared.commands import Command
from noisescope_core.cli.shared.inputs import check_exist, read_config
from noisescope_core.cli.shared.options import CONFIG, FILE, RESULT, TABLES, with_options
from noisescope_core.cli.shared.output import console, print_result
from noisescope_core.errors import UsageError

_ID = re.compile(r"[0-9a-f]{64}")
"""An image's id, where a path may stand, too."""

_EARLIER = {
    True: "Earlier states of the tables are gone.",
    False: "`noisescope maintain` deletes what only earlier states of the tables need.",
}


@click.command(
    cls=Command,
    epilog="""\
noisescope erase --path my/uploads/0001.jpg --tables my/tables
noisescope erase --list erased.txt --by ann --tables my/tables
noisescope erase --image 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 \\
    --tables my/tables --json""",
)
@click.option("--path", "paths", multiple=True, metavar="PATH", type=FILE, help="A file's path.")
@click.option("--image", "images", multiple=True, metavar="SHA256", help="An image's id.")
@click.option("--list", "listed", metavar="FILE", type=FILE,
              help="File with a path or an id in each line.")  # fmt: skip
@click.option("--by", metavar="NAME", default=getpass.getuser, help="Who erases.")
@click.option("--at-once", is_flag=True,
              help="Delete earlier states of the tables, too; nobody may read them.")  # fmt: skip
@with_options(TABLES, *RESULT, *CONFIG)
def erase(
    paths: tuple[str, ...], images: tuple[str, ...], listed: str | None, by: str, at_once: bool,
    tables: str, config_file: str | None, settings: tuple[str, ...],
) -> None:  # fmt: skip
    """Erase images from the tables of scans: every path, verdict and membership."""
    config = read_config(config_file, settings)
    lines = _lines(listed) if listed else []
    ids = [*images, *filter(_ID.fullmatch, lines)]
    named = [*paths, *(line for line in lines if not _ID.fullmatch(line))]
    if not (named or ids):
        raise UsageError("erase: name a --path, an --image or a --list of them")
    with open_store(tables, config) as store:
        from noisescope_core.spark.scans.erasure import erase as erase_images
        from noisescope_core.spark.session.progress import Progress

        progress = Progress(store.spark, console())
        minutes = config.scan.lease_minutes
        places = [absolute(path) for path in named]
        counts = erase_images(store, minutes, progress, places, ids, by, at_once)
    tables_and_rows = ", ".join(f"{table} {count:,}" for table, count in counts.items())
    print_result(
        {"erased": counts},
        lambda: click.echo(f"Erased: {tables_and_rows}. {_EARLIER[at_once]}"),
    )


def _lines(file: str) -> list[str]:
    check_exist({"--list": file})
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--list: {file} cannot be read ({error})") from error
    return [line for line in lines if line.strip()]
