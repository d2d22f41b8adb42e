"""`noisescope doctor`: what is in the way of a run, and the command that mends it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from noisescope_core.app.places import make_folder, spark_log
from noisescope_core.cli.shared.commands import Command
from noisescope_core.cli.shared.inputs import read_config
from noisescope_core.cli.shared.options import CONFIG, FOLDER, RESULT, with_options
from noisescope_core.cli.shared.output import flag_given, print_result
from noisescope_core.cli.shared.session import start_spark
from noisescope_core.errors import NoiseScopeError

if TYPE_CHECKING:
    from noisescope_core.app.doctor import Finding
    from noisescope_core.config import Config

MARKS = {"good": "[green]ok[/]", "warning": "[yellow]warning[/]", "bad": "[red]bad[/]"}
"""How a finding's state is printed, in rich's markup."""


@click.command(
    cls=Command,
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
    fetch_jars: str | None,
    config_file: str | None,
    settings: tuple[str, ...],
    **places: str | None,
) -> None:
    """Say what is in the way of a run here, and the command that mends it.

    Looks at Java, Spark, packages, BLAS, memory and disk; with the options of a run also at the
    storage that it reads and writes. Exit code 1 if anything keeps a run from working.

    With --fetch-jars it fills a folder with the jars that Spark lacks, for machines without a
    network, and looks at nothing.
    """
    config = read_config(config_file, settings)
    if fetch_jars:
        _fetch_jars(config, fetch_jars)
        return
    read = {f"--{name}": place for name in ("images", "reference") if (place := places[name])}
    written = {f"--{name}": place for name in ("out", "tables") if (place := places[name])}
    findings = []
    for finding in _examine(config, read, written):
        findings.append(finding)
        # Printed as they come, for some take seconds.
        if not flag_given("json"):
            _show(finding)
    print_result([asdict(finding) for finding in findings], lambda: None)
    bad = [finding.name for finding in findings if finding.state == "bad"]
    if bad:
        raise NoiseScopeError(f"nothing will run before this is mended: {', '.join(bad)}")


def _show(finding: Finding) -> None:
    from rich.console import Console

    output = Console(soft_wrap=True)
    output.print(f"{MARKS[finding.state]:<20} {finding.name:<13} ", end="", highlight=False)
    output.print(finding.found, markup=False, highlight=False)
    if finding.mend:
        output.print(f"{'':<22} -> {finding.mend}", markup=False, highlight=False)


def _examine(config: Config, read: dict[str, str], written: dict[str, str]) -> Iterator[Finding]:
    """Examine the machine, and Spark with the storage where Spark can start at all.

    Parameters
    ----------
    read, written : option to folder or URI
    """
    from noisescope_core.app.doctor import examine

    can_start = True
    for finding in examine():
        if finding.name in ("packages", "Java") and finding.state == "bad":
            can_start = False
        yield finding
    if can_start and find_spec("pyspark"):
        from noisescope_core.spark.session.doctor import examine_spark

        yield from examine_spark(config, spark_log(), read, written, delta="--tables" in written)


def _fetch_jars(config: Config, folder: str) -> None:
    folder = make_folder(folder, "--fetch-jars")
    # Spark fetches the jars of S3 if it is told of a location there, whichever.
    spark = start_spark(config, spark_log(folder), delta=True, locations=["s3a://"])
    from noisescope_core.spark.session.jars import copy_jars
    from noisescope_core.spark.session.start import stop_session

    jars = copy_jars(spark, folder)
    stop_session(spark)
    print_result(
        {"folder": folder, "jars": jars},
        lambda: click.echo(
            f"{len(jars)} jars in {folder}: noisescope scan ... --set spark.jars={folder}"
        ),
    )
