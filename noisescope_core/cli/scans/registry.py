"""`noisescope registry`: look at the fingerprints that scans have found, decide about them."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

import click

from noisescope_core.app.places import absolute, check_file
from noisescope_core.cli.scans.store import open_store
from noisescope_core.cli.shared.commands import CommandGroup
from noisescope_core.cli.shared.inputs import check_exist, check_local, read_config
from noisescope_core.cli.shared.options import (
    CONFIG,
    FILE,
    RESULT,
    TABLES,
    Decorator,
    with_options,
)
from noisescope_core.cli.shared.output import print_result


@click.group(
    cls=CommandGroup,
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


NAMES = click.argument("fingerprints", nargs=-1, required=True)
NOTE = click.option("--note", metavar="TEXT", help="Why, for those who come after.")
BY = click.option("--by", metavar="NAME", default=getpass.getuser, help="Who decides.")


@registry.command(
    "list",
    epilog="""\
noisescope registry list --tables my/tables
noisescope registry list --tables my/tables --json""",
)
@with_options(TABLES, *RESULT, *CONFIG)
def list_(tables: str, config_file: str | None, settings: tuple[str, ...]) -> None:
    """List the fingerprints, the latest first."""
    with open_store(tables, read_config(config_file, settings)) as store:
        from noisescope_core.spark.scans.registry import list_fingerprints

        rows = list_fingerprints(store)
    print_result(rows, lambda: _show_list(rows))


def _show_list(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    # The note alone may wrap: an id on two lines cannot be copied.
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
        table.add_row(*("" if cell is None else _visible(cell) for cell in cells))
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
    if out is not None:
        check_local({"--out": out})
        check_file(out, "--out")
    with open_store(tables, read_config(config_file, settings)) as store:
        from noisescope_core.report.fingerprint import render_fingerprint
        from noisescope_core.spark.scans.registry import describe_fingerprint

        details = describe_fingerprint(store, fingerprint, files)
    if out is not None:
        Path(out).write_text(render_fingerprint(details), encoding="utf-8")
    # The picture is for the page: JSON holds no bytes.
    without_picture = {
        name: value
        for name, value in details["fingerprint"].items()
        if not isinstance(value, bytes | bytearray)
    }
    rest = {name: details[name] for name in ("decisions", "files", "best")}
    result = {"fingerprint": without_picture, **rest, "page": out}
    print_result(result, lambda: _show_details(details, out))


def _show_details(details: dict[str, Any], page: str | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from noisescope_core.report.fingerprint import facts

    output = Console()
    for name, value in facts(details):
        line = f"{name:<12} {_visible(value)}"
        output.print(line, markup=False, highlight=False, soft_wrap=True)
    table = Table("file", "score", "confidence", "scan")
    for row in details["best"]:
        confidence = "" if row["confidence"] is None else f"{row['confidence']:.3f}"
        table.add_row(_visible(row["path"]), f"{row['score']:,.1f}", confidence, f"{row['scan']}")
    output.print(table)
    if page is not None:
        click.echo(f"Page: {page}")


def _add_decision(name: str, state: str, *options: Decorator, help: str) -> None:
    """Add the command that gives fingerprints a state.

    Parameters
    ----------
    name, state : of the command and as the registry calls what it decides
    *options : what this decision takes besides
    help : text of --help
    """
    into = "--into 71b04e " if options else ""
    epilog = (
        f"noisescope registry {name} 3f9ac0 {into}--tables my/tables\n"
        f'noisescope registry {name} 3f9ac0 5d02e1 {into}--note "seen before" --tables my/tables'
    )

    @registry.command(name, help=help, epilog=epilog)
    @with_options(NAMES, *options, NOTE, BY, TABLES, *RESULT, *CONFIG)
    def command(
        fingerprints: tuple[str, ...],
        tables: str,
        config_file: str | None,
        settings: tuple[str, ...],
        **decision: str | None,
    ) -> None:
        with open_store(tables, read_config(config_file, settings)) as store:
            from noisescope_core.spark.scans.registry import decide
            from noisescope_core.spark.scans.upgrade import open_tables

            open_tables(store)
            note, analyst, into = decision["note"], str(decision["by"]), decision.get("into")
            decided = decide(store, fingerprints, state, note, analyst, into)
        print_result(
            {"fingerprints": decided, "state": state},
            lambda: click.echo(f"{', '.join(decided)}: {state}; verdicts follow at the next scan."),
        )


_add_decision("confirm", "confirmed", help="Confirm that fingerprints are generators'.")
_add_decision("retire", "retired", help="Look for them no more; their images stay flagged.")
_add_decision(
    "false-alarm",
    "false alarm",
    help="Say that they are no generators': the next scan tests their images again without them, "
    "and does not find the pattern anew.",
)
_add_decision(
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
    from noisescope_core.app.packs import check_place

    check_place(absolute(file), "FILE")
    with open_store(tables, read_config(config_file, settings)) as store:
        from noisescope_core.spark.scans.exchange import export_registry
        from noisescope_core.spark.scans.upgrade import open_tables

        open_tables(store)
        count = export_registry(store, file)
    print_result(
        {"fingerprints": count, "file": file},
        lambda: click.echo(f"{count:,} fingerprints in {file}"),
    )


@registry.command(
    "import", epilog="noisescope registry import fingerprints.parquet --tables my/tables"
)
@click.argument("file", type=FILE)
@with_options(BY, TABLES, *RESULT, *CONFIG)
def import_(
    file: str, by: str, tables: str, config_file: str | None, settings: tuple[str, ...]
) -> None:
    """Take in fingerprints that another deployment has exported."""
    config = read_config(config_file, settings)
    check_exist({"FILE": file})
    with open_store(tables, config, new=True) as store:
        from noisescope_core.spark.scans.exchange import import_registry
        from noisescope_core.spark.scans.lease import leased
        from noisescope_core.spark.scans.upgrade import open_tables

        open_tables(store)
        with leased(store, config.scan.lease_minutes) as held:
            new, there = import_registry(held, file, by, config.whitening.side)
    print_result(
        {"new": new, "there": there},
        lambda: click.echo(
            f"{new:,} fingerprints come in with the next scan, {there:,} were there already"
        ),
    )


def _visible(value: object) -> str:
    """Write a value as text in which control characters are spelt out."""
    from noisescope_core.report.formats import visible

    return str(visible(str(value)))
