"""The command line: arguments in, exit code out.

0 it ran, 1 it failed, 2 wrong usage, 3 a scan ended well and asks for a person (`alerts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import click

from noisescope_core import __version__
from noisescope_core.cli import tables
from noisescope_core.cli.command import (
    CONFIG,
    FILE,
    FOLDER,
    IMAGES,
    OUT,
    QUIET,
    REFERENCE,
    RESULT,
    Command,
    Commands,
    OneLineErrors,
    check_exist,
    configured,
    console,
    log_elsewhere,
    made,
    start_spark,
    tell,
    with_options,
)
from noisescope_core.cli.completion import completion
from noisescope_core.cli.doctor import doctor
from noisescope_core.cli.experiment import experiment
from noisescope_core.cli.explain import explain
from noisescope_core.errors import NoiseScopeError, UsageError, first_line

if TYPE_CHECKING:
    from noisescope_core.config import Config

SECTIONS = {
    "Start here": ("doctor", "simulate", "detect", "explain", "evaluate", "plan"),
    "Scan a folder that grows": ("scan", "registry", "maintain", "erase"),
    "Compare methods": ("experiment",),
    "In the shell": ("completion",),
}


@click.group(
    "noisescope",
    cls=Commands,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\
noisescope doctor
noisescope simulate --out dump
noisescope detect --images dump/images --reference dump/reference --out run
noisescope detect --help""",
)
@click.version_option(__version__)
def main() -> None:
    """Find generated images in a pile, blind: no example of a fake is needed."""


for _command in (
    explain, tables.scan, tables.registry, tables.maintain, tables.erase, experiment, doctor,
    completion,
):  # fmt: skip
    main.add_command(_command)


@main.command(
    epilog="""\
noisescope detect --images my/folder --reference my/photographs --out my/run
noisescope detect --images s3a://bucket/uploads --reference s3a://bucket/photographs \\
    --out s3a://bucket/run --config conf/default.yaml --set spark.driver_memory=8g
noisescope detect --images my/folder --reference my/photographs --out my/run \\
    --set method=paper --json > result.json"""
)
@with_options(IMAGES, REFERENCE, OUT, *RESULT, *CONFIG)
def detect(
    images: str, reference: str, out: str, config_file: str | None, settings: tuple[str, ...]
) -> None:
    """Test every image of a folder and write verdicts, fingerprints and a report.

    A run that died goes on where it was when it is started again with the same options. --json
    prints what summary.json holds, and where report and verdicts are.
    """
    config = configured(config_file, settings)
    check_exist({"--images": images, "--reference": reference})
    spark, run, progress = open_run(out, config, whole=True, locations=(images, reference))
    from noisescope_core.report.answer import answer
    from noisescope_core.spark.session.jvm import keep_classes
    from noisescope_core.spark.stages.detect import detect as detect_all

    summary = detect_all(run, config, progress, images, reference)
    spark.stop()
    told = console()
    counts = summary["counts"]
    if not counts["scored"]:
        most = summary["reasons"][0]
        raise NoiseScopeError(
            f"nothing could be scored, all {counts['files']:,} files are set aside "
            f"({most['files']:,}: {most['reason']}); see {run.path('verdicts')}"
        )
    for warning in summary["warnings"]:
        told.print(f"Warning: {warning}", markup=False, highlight=False, soft_wrap=True)
    places = {"report": run.path("report.html"), "verdicts": run.path("verdicts")}
    tell(
        summary | places,
        lambda: click.echo("\n".join([*answer(summary), f"Report: {places['report']}"])),
    )
    keep_classes()


@main.command(
    epilog="""\
noisescope plan --images my/folder --reference my/photographs
noisescope plan --images my/folder --set discovery.images=3000
noisescope plan --images my/folder --json"""
)
@with_options(
    IMAGES,
    click.option(
        "--reference", metavar="PATH", type=FOLDER,
        help="Photographs known real; else assumed enough.",
    ),
    *RESULT,
    *CONFIG,
)  # fmt: skip
def plan(
    images: str, reference: str | None, config_file: str | None, settings: tuple[str, ...]
) -> None:
    """Say what `detect` would do and cost, without doing it."""
    config = configured(config_file, settings)
    check_exist({"--images": images, "--reference": reference})
    spark = start_spark(config, log_elsewhere(), locations=(images, reference or ""))
    from noisescope_core.app.progress import Stage
    from noisescope_core.spark.stages.plan import plan as plan_run

    with Stage(console(), "plan") as stage:
        planned = plan_run(spark, config, images, reference)
        stage.done(f"headers of {planned['looked_at']:,} files, and rates by trial")
    spark.stop()
    tell(planned, lambda: show_plan(planned))


def show_plan(planned: dict[str, Any]) -> None:
    """Print what `noisescope_core.spark.stages.plan.plan` returns."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    rates = planned["rates"]
    console.print(
        f"{planned['files']:,} files, {planned['bytes'] / 1e6:,.1f} MB, by the method "
        f"{planned['method']}. Sizes by {planned['looked_at']:,} headers; rates measured just now "
        f"on {rates['cores']} cores.",
        highlight=False,
    )
    for size in planned["sizes"]:
        searched = f"{size['pairs']:,} pairs in {size['blocks']:,} blocks" if size["stages"] else ""
        shards = f"{size['shards']:,} shards, then " if size["shards"] else ""
        name = f"{size['size'][0]} x {size['size'][1]}"
        console.print(
            f"\n[bold]{name}[/bold]: about {size['images']:,} images, {size['reference']:,} "
            f"reference. Route {size['route']}: {size['reason']}. {shards}{searched}",
            highlight=False,
        )
        if not size["stages"]:
            continue
        table = Table("stage", "read", "shuffled", "written", "memory a task", "about")
        for stage in size["stages"]:
            cells = [
                f"{stage[key] / 1e6:,.1f} MB" for key in ("read", "shuffled", "written", "memory")
            ]
            table.add_row(stage["stage"], *cells, f"{stage['seconds']:,.0f} s")
        console.print(table)
    console.print(
        f"\nAll together about {planned['seconds']:,.0f} s, Spark's start and the report apart.",
        highlight=False,
    )


def open_run(
    out: str, config: Config, whole: bool = False, locations: Sequence[str] = ()
) -> tuple[Any, Any, Any]:
    """Start Spark for a run directory: the session, the run and its progress.

    Parameters
    ----------
    whole : bool
        Whether all stages follow, and then `jvm.keep_classes`.
    locations : sequence of str
        What will be read besides.
    """
    out, log = made(out, "--out")
    if whole:
        # Here, where it is told that pyspark is missing.
        import_module("noisescope_core.spark.session.start")
        # What the stages import takes a second, and the JVM takes longer to start.
        Thread(
            target=import_module, args=["noisescope_core.spark.stages.detect"], daemon=True
        ).start()
    spark = start_spark(config, log, leave_classes=whole, locations=(*locations, out))
    from noisescope_core.spark.session.progress import Progress
    from noisescope_core.spark.tables.run import Run

    return spark, Run(spark, out), Progress(spark, console())


def stage_command(stage: Command, *options: Command) -> click.Command:
    """Make the spark-submit entry point of one stage.

    Parameters
    ----------
    stage : callable
        Takes the run, the config, the progress, and what the options name.
    """

    @click.command(cls=OneLineErrors, help=(stage.__doc__ or "").split("\n")[0])
    @with_options(*options, OUT, QUIET, *CONFIG)
    def command(
        out: str, config_file: str | None, settings: tuple[str, ...], **folders: str
    ) -> None:
        config = configured(config_file, settings)
        _, run, progress = open_run(out, config, locations=tuple(folders.values()))
        from noisescope_core.spark.tables.run import UNFINISHED

        # Detect must not continue from tables that were made otherwise.
        run.remove(UNFINISHED)
        stage(run, config, progress, **folders)

    return command


@main.command(
    epilog="""\
noisescope evaluate --verdicts my/run/verdicts --labels labels.csv
noisescope evaluate --verdicts my/run/verdicts --labels labels.csv --json"""
)
@click.option(
    "--verdicts", required=True, metavar="DIR", type=FOLDER, help="The verdicts of a run."
)
@click.option(
    "--labels", required=True, metavar="FILE", type=FILE,
    help="CSV with columns path and label, which is fake or real.",
)  # fmt: skip
@with_options(*RESULT)
def evaluate(verdicts: str, labels: str) -> None:
    """Hold verdicts against labels: precision, recall, F1, confusion counts."""
    check_exist({"--verdicts": verdicts, "--labels": labels})
    import pyarrow.dataset as ds

    from noisescope_core.app.evaluation import evaluate as hold_against
    from noisescope_core.app.evaluation import read_labels

    known = read_labels(Path(labels))
    try:
        rows = ds.dataset(verdicts, format="parquet").to_table(
            columns=["path", "status", "is_fake"]
        )
    except Exception as error:
        inside = Path(verdicts, "verdicts")
        advice = f"; did you mean {inside}?" if inside.exists() else f" ({first_line(error)})"
        raise UsageError(f"--verdicts: {verdicts} holds no verdicts{advice}") from error
    result = hold_against(rows.to_pylist(), known)
    tell(result, lambda: show_evaluation(result))


def show_evaluation(result: dict[str, Any]) -> None:
    """Print what `noisescope_core.app.evaluation.evaluate` returns."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "judged fake", "judged real", "not scored")
    for name, hit, miss in (("fake", "tp", "fn"), ("real", "fp", "tn")):
        table.add_row(
            name, f"{result[hit]:,}", f"{result[miss]:,}", f"{result['not_scored'][name]:,}"
        )
    console = Console()
    console.print(table)
    console.print(
        f"precision {result['precision']:.4f}   recall {result['recall']:.4f}   "
        f"F1 {result['f1']:.4f}",
        highlight=False,
    )
    for key, text in (
        ("other_labels", "files labelled neither fake nor real, left out"),
        ("without_verdict", "labels without a verdict"),
        ("without_label", "verdicts without a label"),
    ):
        if result[key]:
            console.print(f"{result[key]:,} {text}", highlight=False)


@main.command(
    epilog="""\
noisescope simulate --out dump
noisescope simulate --out dump --photographs 1000 --generated 400 --generators 3 --size 512x384"""
)
@click.option("--out", required=True, metavar="DIR", type=FOLDER, help="New or empty folder.")
@click.option("--photographs", default=200, show_default=True, help="Photographs to test.")
@click.option("--generated", default=120, show_default=True, help="Generated images to test.")
@click.option("--reference", default=400, show_default=True, help="Reference photographs.")
@click.option("--generators", default=1, show_default=True, help="Generators that made them.")
@click.option("--cameras", default=4, show_default=True, help="Cameras that took them.")
@click.option("--size", default="256", show_default=True, help="Pixels a side, or WIDTHxHEIGHT.")
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
def simulate(out: str, size: str, **counts: Any) -> None:
    """Make a labelled dump of simulated photographs and generated images."""
    from noisescope_core.app.progress import Stage
    from noisescope_core.simulate import write_dump

    try:
        sides = [int(side) for side in size.lower().split("x")]
        pixels = sides[0] if len(sides) == 1 else (sides[0], sides[1])
    except (ValueError, IndexError):
        raise UsageError(f"--size: {size} is neither a number nor WIDTHxHEIGHT") from None
    total = sum(counts[kind] for kind in ("photographs", "generated", "reference"))
    with Stage(console(), "simulate", total, "images") as stage:
        try:
            written = write_dump(
                Path(out),
                size=pixels,
                progress=lambda done, total: stage.advance_to(done / total),
                **counts,
            )
        except (ValueError, OSError) as error:
            raise UsageError(str(error)) from error
        stage.done(f"{total:,} images")
    places = {name: str(Path(out, name)) for name in ("images", "reference", "labels.csv")}
    tell(
        {"counts": written, **places},
        lambda: click.echo(
            f"{written['photographs']:,} photographs and {written['generated']:,} generated images "
            f"in {places['images']}, {written['reference']:,} photographs in "
            f"{places['reference']}, labels in {places['labels.csv']}"
        ),
    )
