"""`noisescope doctor`: what is in the way of a run, and the command that mends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from importlib.util import find_spec

import click
from rich.console import Console

from noisescope_core.cli.command import CONFIG, log_elsewhere, made, with_options
from noisescope_core.config import Config, load_config
from noisescope_core.doctor import Finding, examine
from noisescope_core.errors import NoiseScopeError

MARKS = {"good": "[green]ok[/]", "warning": "[yellow]warning[/]", "bad": "[red]bad[/]"}


@click.command()
@click.option("--images", metavar="PATH", help="Folder or URI that a run will test.")
@click.option("--reference", metavar="PATH", help="Folder or URI of its reference.")
@click.option("--out", metavar="DIR", help="Folder or URI that a run will write to.")
@click.option("--tables", metavar="LOCATION", help="Folder or URI of the Delta tables of scans.")
@click.option("--fetch-jars", metavar="DIR", help="Fill a folder with the jars of Delta and S3.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_options(*CONFIG)
def doctor(
    images: str | None,
    reference: str | None,
    out: str | None,
    tables: str | None,
    fetch_jars: str | None,
    as_json: bool,
    config_file: str | None,
    settings: tuple[str, ...],
) -> None:
    """Say what is in the way of a run here, and the command that mends it.

    Looks at Java, Spark, packages, BLAS, memory and disk; with the options of a run also at the
    storage that it reads and writes. Exit code 1 if anything keeps a run from working.

    With --fetch-jars it fills a folder with the jars that Spark lacks, for machines without a
    network, and looks at nothing.
    """
    config = load_config(config_file, settings)
    if fetch_jars:
        _fetch(config, fetch_jars)
        return
    read = {"--images": images, "--reference": reference}
    written = {"--out": out, "--tables": tables}
    console = Console(soft_wrap=True)
    findings = []
    for finding in _examined(
        config, {k: v for k, v in read.items() if v}, {k: v for k, v in written.items() if v}
    ):
        findings.append(finding)
        if not as_json:
            mark = MARKS[finding.state]
            console.print(f"{mark:<20} {finding.name:<13} ", end="", highlight=False)
            console.print(finding.found, markup=False, highlight=False)
            if finding.mend:
                console.print(f"{'':<22} -> {finding.mend}", markup=False, highlight=False)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    bad = [finding.name for finding in findings if finding.state == "bad"]
    if bad:
        raise NoiseScopeError(f"nothing will run before this is mended: {', '.join(bad)}")


def _examined(config: Config, read: dict[str, str], written: dict[str, str]) -> Iterator[Finding]:
    usable = True
    for finding in examine():
        usable &= finding.name not in ("packages", "Java") or finding.state != "bad"
        yield finding
    if usable and find_spec("pyspark"):
        from noisescope_core.spark.doctor import examine_spark

        yield from examine_spark(
            config, log_elsewhere(), read, written, delta="--tables" in written
        )


def _fetch(config: Config, folder: str) -> None:
    from noisescope_core.spark.jars import copy_jars
    from noisescope_core.spark.session import start_session

    folder, log = made(folder, "--fetch-jars")
    spark = start_session(config, log, delta=True, locations=["s3a://"])
    copied = copy_jars(spark, folder)
    spark.stop()
    click.echo(f"{len(copied)} jars in {folder}: noisescope scan ... --set spark.jars={folder}")
