"""Commands on the tables of scheduled scans: the scan, the registry, maintenance, erasure."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from noisescope_core.cli.command import (
    CONFIG,
    FILE,
    IMAGES,
    REFERENCE,
    RESULT,
    TABLES,
    Command,
    Commands,
    OneLineErrors,
    check_exist,
    configured,
    console,
    made,
    start_spark,
    tell,
    with_options,
)
from noisescope_core.errors import UsageError

if TYPE_CHECKING:
    from noisescope_core.config import Config

ALERT = 3
"""Exit code of a scan that ended well and exceeds a threshold of `alerts`."""


@contextmanager
def open_store(tables: str, config: Config, *locations: str, new: bool = False) -> Iterator[Any]:
    """Start Spark with Delta for the tables under a location, and for reading others.

    Parameters
    ----------
    new : bool
        Whether they may be made there; else it is a mistake to name a folder without them.
    """
    from noisescope_core.spark.scans.store import Store, is_schema

    schema = is_schema(tables)
    if not (new or schema or "://" in tables):
        check_exist({"--tables": tables})
        if not Path(tables, "fingerprints").is_dir():
            raise UsageError(f"--tables: {tables} holds no tables, see noisescope scan --help")
    if schema:
        if config.scan.work is None:
            raise UsageError(f"--tables: {tables} is a schema of a catalog; set scan.work, too")
        _, log = made(config.scan.work, "scan.work")
    else:
        folder, log = made(f"{tables}/_scans", "--tables")
        tables = folder.removesuffix("/_scans")
    places = (*locations, tables, config.scan.work or "")
    spark = start_spark(config, log, delta=True, locations=places)
    try:
        yield Store(spark, tables, config.scan.work)
    finally:
        spark.stop()


@click.command(
    cls=OneLineErrors,
    epilog="""\
noisescope scan --images my/uploads --reference my/photographs --tables my/tables
noisescope scan --images s3a://bucket/uploads --reference s3a://bucket/photographs \\
    --tables s3a://bucket/tables --config conf/default.yaml --quiet
noisescope scan --images my/uploads --reference my/photographs --tables my/tables \\
    --set alerts.flagged=0.2 --json > scan.json""",
)
@with_options(IMAGES, REFERENCE, TABLES, *RESULT, *CONFIG)
def scan(
    images: str, reference: str, tables: str, config_file: str | None, settings: tuple[str, ...]
) -> None:
    """Test what is new in a folder that grows, and keep what was found in Delta tables.

    Exit code 3: the scan ended well, and a threshold of `alerts` is exceeded.
    """
    config = configured(config_file, settings)
    config.check_for_scans()
    check_exist({"--images": images, "--reference": reference})
    from noisescope_core.app import metrics

    metrics.check(config.observe)
    with open_store(tables, config, images, reference, new=True) as store:
        from noisescope_core.spark.scans.scan import scan as scan_new
        from noisescope_core.spark.session.progress import Progress

        progress = Progress(store.spark, console(), config.observe.events)
        done = scan_new(store, config, progress, images, reference)
    metrics.publish(done, config.observe)
    tell(
        done | {"tables": store.location},
        lambda: click.echo(
            f"Scan {done['scan']}: {done['files']:,} new files, {done['fake']:,} carry a "
            f"generator's fingerprint, {done['quarantined']:,} are quarantined. New fingerprints: "
            f"{done['found']}; verdicts of earlier files that changed: {done['rejudged']:,}.\n"
            f"Tables: {store.location}"
        ),
    )
    for text in done["alerts"]:
        click.echo(f"ALERT {text}", err=True)
    if done["alerts"]:
        sys.exit(ALERT)


@click.group(
    cls=Commands,
    sections={
        "Look": ("list", "show"),
        "Decide": ("confirm", "false-alarm", "merge", "retire"),
        "Exchange": ("export", "import"),
    },
    epilog="""\
noisescope registry list --tables my/tables
noisescope registry confirm 3f9ac0 --note "the Monday campaign" --tables my/tables""",
)
def registry() -> None:
    """Look at the fingerprints that scans have found, and decide about them."""


_names = click.argument("fingerprints", nargs=-1, required=True)
_note = click.option("--note", metavar="TEXT", help="Why, for those who come after.")
_by = click.option("--by", metavar="NAME", default=getpass.getuser, help="Who decides.")


@registry.command(
    "list",
    epilog="""\
noisescope registry list --tables my/tables
noisescope registry list --tables my/tables --json""",
)
@with_options(TABLES, *RESULT, *CONFIG)
def list_(tables: str, config_file: str | None, settings: tuple[str, ...]) -> None:
    """List the fingerprints, the latest first."""
    with open_store(tables, configured(config_file, settings)) as store:
        from noisescope_core.spark.scans.registry import list_fingerprints

        rows = list_fingerprints(store)
    tell(rows, lambda: _list(rows))


def _list(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    # An id that is cut cannot be copied.
    names = ("fingerprint", "state", "size", "members", "maker", "scans", "note")
    table = Table(*(Column(name, no_wrap=name != "note") for name in names), box=None)
    for row in rows:
        state = row["state"]
        if row["merged_into"]:
            state += f" into {row['merged_into']}"
        if row["pending"]:
            state += " *"
        cells = [
            row["fingerprint_id"], state, f"{row['width']} x {row['height']}", f"{row['images']:,}",
            row["maker"], f"{row['first_scan']}-{row['last_scan']}", row["note"],
        ]  # fmt: skip
        table.add_row(*("" if cell is None else _plain(cell) for cell in cells))
    Console().print(table if rows else "No fingerprint has been found yet.")
    if any(row["pending"] for row in rows):
        click.echo("* from the next scan on")


@registry.command(
    epilog="""\
noisescope registry show 3f9ac0 --tables my/tables
noisescope registry show 3f9ac0 --files 100 --out fingerprint.html --tables my/tables"""
)
@click.argument("fingerprint")
@click.option("--files", default=20, show_default=True, help="Files that are named.")
@click.option("--out", metavar="FILE", type=FILE, help="Page with picture and scores, HTML.")
@with_options(TABLES, *RESULT, *CONFIG)
def show(
    fingerprint: str, files: int, out: str | None, tables: str, config_file: str | None,
    settings: tuple[str, ...],
) -> None:  # fmt: skip
    """Show a fingerprint: what is known of it, and the files that carry it."""
    with open_store(tables, configured(config_file, settings)) as store:
        from noisescope_core.report.fingerprint import render_fingerprint
        from noisescope_core.spark.scans.registry import describe_fingerprint

        told = describe_fingerprint(store, fingerprint, files)
    if out is not None:
        Path(out).write_text(render_fingerprint(told), encoding="utf-8")
    about = {
        name: value
        for name, value in told["fingerprint"].items()
        if not isinstance(value, bytes | bytearray)
    }
    rest = {name: told[name] for name in ("decisions", "files", "best")}
    tell({"fingerprint": about, **rest, "page": out}, lambda: _show(told, out))


def _show(told: dict[str, Any], page: str | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from noisescope_core.report.fingerprint import facts

    console = Console()
    for name, value in facts(told):
        console.print(f"{name:<12} {_plain(value)}", markup=False, highlight=False, soft_wrap=True)
    table = Table("file", "score", "confidence", "scan")
    for row in told["best"]:
        confidence = "" if row["confidence"] is None else f"{row['confidence']:.3f}"
        table.add_row(_plain(row["path"]), f"{row['score']:,.1f}", confidence, f"{row['scan']}")
    console.print(table)
    if page is not None:
        click.echo(f"Page: {page}")


def _decision(name: str, state: str, *more: Command, **told: str) -> None:
    """Make the command that gives fingerprints a state."""
    into = "--into 71b04e " if more else ""
    told["epilog"] = (
        f"noisescope registry {name} 3f9ac0 {into}--tables my/tables\n"
        f'noisescope registry {name} 3f9ac0 5d02e1 {into}--note "seen before" --tables my/tables'
    )

    @registry.command(name, **told)
    @with_options(_names, *more, _note, _by, TABLES, *RESULT, *CONFIG)
    def command(
        fingerprints: tuple[str, ...], note: str | None, by: str, tables: str,
        config_file: str | None, settings: tuple[str, ...], into: str | None = None,
    ) -> None:  # fmt: skip
        with open_store(tables, configured(config_file, settings)) as store:
            from noisescope_core.spark.scans.registry import decide

            store.create()
            found = decide(store, fingerprints, state, note, by, into)
        tell(
            {"fingerprints": found, "state": state},
            lambda: click.echo(f"{', '.join(found)}: {state}; verdicts follow at the next scan."),
        )


_decision("confirm", "confirmed", help="Confirm that fingerprints are generators'.")
_decision("retire", "retired", help="Look for them no more; their images stay flagged.")
_decision(
    "false-alarm",
    "false alarm",
    help="Say that they are no generators': the next scan tests their images again without them, "
    "and does not find the pattern anew.",
)
_decision(
    "merge",
    "merged",
    click.option("--into", required=True, metavar="FINGERPRINT", help="Whose name images get."),
    help="Give the images of fingerprints the name of another of the same maker.",
)


@registry.command(
    "export", epilog="noisescope registry export fingerprints.parquet --tables my/tables"
)
@click.argument("file", type=FILE)
@with_options(TABLES, *RESULT, *CONFIG)
def export_(file: str, tables: str, config_file: str | None, settings: tuple[str, ...]) -> None:
    """Write all fingerprints to a Parquet file for another deployment."""
    with open_store(tables, configured(config_file, settings)) as store:
        from noisescope_core.spark.scans.exchange import export_registry

        store.create()
        count = export_registry(store, file)
    tell(
        {"fingerprints": count, "file": file},
        lambda: click.echo(f"{count:,} fingerprints in {file}"),
    )


@registry.command(
    "import", epilog="noisescope registry import fingerprints.parquet --tables my/tables"
)
@click.argument("file", type=FILE)
@with_options(_by, TABLES, *RESULT, *CONFIG)
def import_(
    file: str, by: str, tables: str, config_file: str | None, settings: tuple[str, ...]
) -> None:
    """Take in fingerprints that another deployment has exported."""
    config = configured(config_file, settings)
    check_exist({"FILE": file})
    with open_store(tables, config, new=True) as store:
        from noisescope_core.spark.scans.exchange import import_registry

        store.create()
        new, there = import_registry(store, file, by, config.whitening.side)
    tell(
        {"new": new, "there": there},
        lambda: click.echo(
            f"{new:,} fingerprints come in with the next scan, {there:,} were there already"
        ),
    )


@click.command(
    cls=OneLineErrors,
    epilog="""\
noisescope maintain --tables my/tables
noisescope maintain --tables my/tables --keep-days 7 --history-days 90""",
)
@click.option("--keep-days", default=30, show_default=True, type=click.IntRange(7),
              help="Days for which earlier states of the tables can be read.")  # fmt: skip
@click.option("--history-days", type=click.IntRange(1),
              help="Delete verdicts that later ones replaced after so many days.")  # fmt: skip
@with_options(TABLES, *RESULT, *CONFIG)
def maintain(
    keep_days: int, history_days: int | None, tables: str, config_file: str | None,
    settings: tuple[str, ...],
) -> None:  # fmt: skip
    """Compact the tables of scans and take away what is out of date."""
    config = configured(config_file, settings)
    with open_store(tables, config) as store:
        from noisescope_core.spark.scans.maintenance import maintain as maintain_tables
        from noisescope_core.spark.session.progress import Progress

        progress = Progress(store.spark, console())
        maintain_tables(store, config, progress, keep_days, history_days)
    tell({"stages": progress.stages}, lambda: None)


@click.command(
    cls=OneLineErrors,
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
    config = configured(config_file, settings)
    if not (paths or images):
        raise UsageError("erase: name a --path or an --image")
    with open_store(tables, config) as store:
        from noisescope_core.spark.scans.maintenance import erase as erase_images
        from noisescope_core.spark.session.progress import Progress

        named = [path if "://" in path else os.path.abspath(path) for path in paths]
        counts = erase_images(store, config, Progress(store.spark, console()), named, images)
    told = ", ".join(f"{table} {count:,}" for table, count in counts.items())
    tell(
        {"erased": counts},
        lambda: click.echo(f"Erased, and from all earlier states of the tables: {told}"),
    )


def _plain(value: object) -> str:
    """Text with what cannot be seen spelt out."""
    from noisescope_core.report.render import visible

    return str(visible(str(value)))
