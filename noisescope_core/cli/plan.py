"""`noisescope plan`: what a run would do and cost."""

from __future__ import annotations

from typing import Any

import click

from noisescope_core.app.places import spark_log
from noisescope_core.cli.shared.commands import Command
from noisescope_core.cli.shared.inputs import check_sources, read_config
from noisescope_core.cli.shared.options import CONFIG, FOLDER, IMAGES, RESULT, with_options
from noisescope_core.cli.shared.output import console, print_result
from noisescope_core.cli.shared.session import start_spark


@click.command(
    cls=Command,
    epilog="""\
noisescope plan --images my/folder --reference my/photographs
noisescope plan --images my/folder --set discovery.images=3000
noisescope plan --images my/folder --json""",
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
    config = read_config(config_file, settings)
    check_sources({"--images": images, "--reference": reference}, config)
    spark = start_spark(config, spark_log(), locations=(images, reference or ""))
    from noisescope_core.app.progress import Stage
    from noisescope_core.spark.plan import plan as plan_run
    from noisescope_core.spark.session.start import stop_session

    with Stage(console(), "plan") as stage:
        planned = plan_run(spark, config, images, reference)
        stage.done(f"headers of {planned['looked_at']:,} files, and rates by trial")
    stop_session(spark)
    print_result(planned, lambda: show_plan(planned))


MOST_ALONE = 5
"""Sizes that are not searched, up to which each has a line of its own; chosen: a screen."""


def show_plan(planned: dict[str, Any]) -> None:
    """Print what `noisescope_core.spark.plan.plan` returns."""
    from rich.console import Console

    output = Console()
    rates = planned["rates"]
    output.print(
        f"{planned['files']:,} files, {planned['bytes'] / 1e6:,.1f} MB, by the method "
        f"{planned['method']}. Sizes by {planned['looked_at']:,} headers; rates measured just now "
        f"on {rates['cores']} cores.",
        highlight=False,
    )
    unsearched = [size for size in planned["sizes"] if not size["stages"]]
    together = len(unsearched) > MOST_ALONE
    for size in planned["sizes"]:
        if together and not size["stages"]:
            continue
        searched = f"{size['pairs']:,} pairs in {size['blocks']:,} blocks" if size["stages"] else ""
        shards = f"{size['shards']:,} shards, then " if size["shards"] else ""
        name = f"{size['size'][0]} x {size['size'][1]}"
        output.print(
            f"\n[bold]{name}[/bold]: about {size['images']:,} images, {size['reference']:,} "
            f"reference. Route {size['route']}: {size['reason']}. {shards}{searched}",
            highlight=False,
        )
        if size["stages"]:
            output.print(_stage_table(size["stages"]))
    if together:
        images = sum(size["images"] for size in unsearched)
        output.print(
            f"\n{len(unsearched):,} sizes of about {images:,} images have too few images or "
            "reference photographs to be searched by themselves.",
            highlight=False,
        )
    if lattices := planned["lattices"]:
        output.print(
            f"\n[bold]All sizes[/bold]: lattices of {lattices['searched']:,} of about "
            f"{lattices['images']:,} images against {lattices['reference']:,} reference, about "
            f"{lattices['seconds']:,.0f} s with the extraction of images that are not searched "
            "otherwise.",
            highlight=False,
        )
    output.print(
        f"\nAll together about {planned['seconds']:,.0f} s, Spark's start and the report apart.",
        highlight=False,
    )


def _stage_table(stages: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table("stage", "read", "shuffled", "written", "memory a task", "about")
    for stage in stages:
        megabytes = [
            f"{stage[key] / 1e6:,.1f} MB" for key in ("read", "shuffled", "written", "memory")
        ]
        table.add_row(stage["stage"], *megabytes, f"{stage['seconds']:,.0f} s")
    return table
