"""`noisescope known`: test files against fingerprints that were found before."""

from __future__ import annotations

from typing import Any

import click

from noisescope_core.app.places import absolute
from noisescope_core.cli.shared.commands import Command
from noisescope_core.cli.shared.inputs import check_apart, check_exist, check_sources, read_config
from noisescope_core.cli.shared.options import (
    CONFIG,
    FINGERPRINTS,
    IMAGES,
    OUT,
    RESULT,
    with_options,
)
from noisescope_core.cli.shared.output import check_any_scored, print_line, print_result
from noisescope_core.cli.shared.session import open_run


@click.command(
    cls=Command,
    epilog="""\
noisescope known --images my/folder --fingerprints my/run --out my/known
noisescope known --images my/folder --fingerprints fingerprints.parquet --out my/known --json
noisescope known --images s3a://bucket/today --fingerprints s3a://bucket/fingerprints.parquet \\
    --out s3a://bucket/known --set spark.driver_memory=4g""",
)
@with_options(IMAGES, FINGERPRINTS, OUT, *RESULT, *CONFIG)
def known(
    images: str, fingerprints: str, out: str, config_file: str | None, settings: tuple[str, ...]
) -> None:
    """Test every image of a folder against known fingerprints, in one pass.

    One image is enough, of any size if a lattice is among the fingerprints: nothing is searched and
    no reference is needed. --json prints what summary.json holds, and where the verdicts are.
    """
    config = read_config(config_file, settings)
    check_sources({"--images": images}, config)
    check_exist({"--fingerprints": fingerprints})
    check_apart("--out", out, {"--images": images})
    from noisescope_core.app.known import known_fingerprints

    # Read once more when Spark is there; what is wrong with them is told before it starts.
    known_fingerprints(absolute(fingerprints), config)
    run, progress = open_run(out, config, locations=(images, fingerprints))
    from noisescope_core.spark.session.start import stop_session
    from noisescope_core.spark.stages.known import find_known

    summary = find_known(run, config, progress, images, fingerprints)
    stop_session(run.spark)
    verdicts = run.path("verdicts")
    check_any_scored(summary, verdicts)
    for warning in summary["warnings"]:
        print_line(f"Warning: {warning}")
    print_result(summary | {"verdicts": verdicts}, lambda: _show(summary, verdicts))


def _show(summary: dict[str, Any], verdicts: str) -> None:
    from noisescope_core.report.answer import records_in_words, set_aside_in_words
    from noisescope_core.report.formats import plural

    counts = summary["counts"]
    carrying = f"{counts['fake']:,}" if counts["fake"] else "None"
    carry = "carries" if counts["fake"] <= 1 else "carry"
    click.echo(f"{carrying} of {plural(counts['scored'], 'image')} {carry} a known fingerprint.")
    for record in sorted(summary["fingerprints"], key=lambda record: -record["carried"]):
        if record["carried"]:
            click.echo(f"{record['fingerprint_id']}: {plural(record['carried'], 'image')}")
    if not counts["fake"]:
        click.echo("That does not prove any of them a photograph.")
    for line in (*records_in_words(summary), *set_aside_in_words(summary)):
        click.echo(line)
    click.echo(f"Verdicts: {verdicts}")
