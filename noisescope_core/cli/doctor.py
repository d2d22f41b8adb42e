"""`noisescope doctor`: what is in the way of a run, and the command that mends it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from noisescope_core.cli.command import (
    CONFIG,
    FOLDER,
    RESULT,
    OneLineErrors,
    asked,
    configured,
    log_elsewhere,
    made,
    start_spark,
    tell,
    with_options,
)
from noisescope_core.errors import NoiseScopeError

if TYPE_CHECKING:
    from noisescope_core.app.doctor import Finding
    from noisescope_core.config import Config

MARKS = {"good": "[green]ok[/]", "warning": "[yellow]warning[/]", "bad": "[red]bad[/]"}


@click.command(
    cls=OneLineErrors,
    epilog="""\
noisescope doctor
noisescope doctor --images my/folder --reference my/photographs --out my/run
noisescope doctor --tables s3a://bucket/tables --json""",
)
@click.option("--images", metavar="PATH", type=FOLDER, help="Folder or URI that a run will test.")
@click.option("--reference", metavar="PATH", type=FOLDER, help="Folder or URI of its reference.")
@click.option("--out", metavar="DIR", type=FOLDER, help="Folder or URI that a run will write to.")
@click.option(
    "--tables", metavar="LOCATION", type=FOLDER, help="Folder or URI of the Delta tables of scans."
)
@click.option(
    "--fetch-jars", metavar="DIR", type=FOLDER, help="Fill a folder with the jars of Delta and S3."
)
@with_options(*RESULT, *CONFIG)
def doctor(
    images: str | None,
    reference: str | None,
    out: str | None,
    tables: str | None,
    fetch_jars: str | None,
    config_file: str | None,
    settings: tuple[str, ...],
) -> None:
    """Say what is in the way of a run here, and the command that mends it.

    Looks at Java, Spark, packages, BLAS, memory and disk; with the options of a run also at the
    storage that it reads and writes. Exit code 1 if anything keeps a run from working.

    With --fetch-jars it fills a folder with the jars that Spark lacks, for machines without a
    network, and looks at nothing.
    """
    config = configured(config_file, settings)
    if fetch_jars:
        _fetch(config, fetch_jars)
        return
    read = {"--images": images, "--reference": reference}
    written = {"--out": out, "--tables": tables}
    findings = []
    for finding in _examined(
        config, {k: v for k, v in read.items() if v}, {k: v for k, v in written.items() if v}
    ):
        findings.append(finding)
        # One by one: some take seconds to find.
        if not asked("json"):
            _show(finding)
    tell([asdict(finding) for finding in findings], lambda: None)
    bad = [finding.name for finding in findings if finding.state == "bad"]
    if bad:
        raise NoiseScopeError(f"nothing will run before this is mended: {', '.join(bad)}")


def _show(finding: Finding) -> None:
    from rich.console import Console

    console = Console(soft_wrap=True)
    console.print(f"{MARKS[finding.state]:<20} {finding.name:<13} ", end="", highlight=False)
    console.print(finding.found, markup=False, highlight=False)
    if finding.mend:
        console.print(f"{'':<22} -> {finding.mend}", markup=False, highlight=False)


def _examined(config: Config, read: dict[str, str], written: dict[str, str]) -> Iterator[Finding]:
    from noisescope_core.app.doctor import examine

    usable = True
    for finding in examine():
        usable &= finding.name not in ("packages", "Java") or finding.state != "bad"
        yield finding
    if usable and find_spec("pyspark"):
        from noisescope_core.spark.session.doctor import examine_spark

        yield from examine_spark(
            config, log_elsewhere(), read, written, delta="--tables" in written
        )


def _fetch(config: Config, folder: str) -> None:
    folder, log = made(folder, "--fetch-jars")
    spark = start_spark(config, log, delta=True, locations=["s3a://"])
    from noisescope_core.spark.session.jars import copy_jars

    copied = copy_jars(spark, folder)
    spark.stop()
    tell(
        {"folder": folder, "jars": copied},
        lambda: click.echo(
            f"{len(copied)} jars in {folder}: noisescope scan ... --set spark.jars={folder}"
        ),
    )
