"""`noisescope detect`: test every image of a folder."""

from __future__ import annotations

import click

from noisescope_core.cli.shared.commands import Command
from noisescope_core.cli.shared.inputs import check_apart, check_sources, read_config
from noisescope_core.cli.shared.options import CONFIG, IMAGES, OUT, REFERENCE, RESULT, with_options
from noisescope_core.cli.shared.output import check_any_scored, print_line, print_result
from noisescope_core.cli.shared.session import open_run


@click.command(
    cls=Command,
    epilog="""\
noisescope detect --images my/folder --reference my/photographs --out my/run
noisescope detect --images s3a://bucket/uploads --reference s3a://bucket/photographs \\
    --out s3a://bucket/run --config conf/default.yaml --set spark.driver_memory=8g
noisescope detect --images my/folder --reference my/photographs --out my/run \\
    --set method=paper --json > result.json""",
)
@with_options(IMAGES, REFERENCE, OUT, *RESULT, *CONFIG)
def detect(
    images: str, reference: str, out: str, config_file: str | None, settings: tuple[str, ...]
) -> None:
    """Test every image of a folder and write verdicts, fingerprints and a report.

    A run that died goes on where it was when it is started again with the same options. --json
    prints what summary.json holds, and where report and verdicts are.
    """
    config = read_config(config_file, settings)
    check_sources({"--images": images, "--reference": reference}, config)
    check_apart("--out", out, {"--images": images, "--reference": reference})
    run, progress = open_run(out, config, whole=True, locations=(images, reference))
    from noisescope_core.report.answer import (
        answer,
        families_in_words,
        records_in_words,
        set_aside_in_words,
    )
    from noisescope_core.spark.session.jvm import keep_classes
    from noisescope_core.spark.session.start import stop_session
    from noisescope_core.spark.stages.detect import detect as detect_all

    summary = detect_all(run, config, progress, images, reference)
    stop_session(run.spark)
    places = {"report": run.path("report.html"), "verdicts": run.path("verdicts")}
    check_any_scored(summary, places["verdicts"])
    for warning in summary["warnings"]:
        print_line(f"Warning: {warning}")
    lines = [
        *answer(summary),
        *families_in_words(summary),
        *records_in_words(summary),
        *set_aside_in_words(summary),
        f"Report: {places['report']}",
    ]
    print_result(summary | places, lambda: click.echo("\n".join(lines)))
    keep_classes()
