"""`noisescope scan`: test what is new in a folder that grows."""

from __future__ import annotations

import sys

import click

from noisescope_core.cli.scans.store import open_store
from noisescope_core.cli.shared.commands import Command
from noisescope_core.cli.shared.errors import ALERT
from noisescope_core.cli.shared.inputs import check_apart, check_sources, read_config
from noisescope_core.cli.shared.options import (
    CONFIG,
    IMAGES,
    REFERENCE,
    RESULT,
    TABLES,
    with_options,
)
from noisescope_core.cli.shared.output import console, print_result


@click.command(
    cls=Command,
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
    config = read_config(config_file, settings)
    from noisescope_core.methods import check_for_scans

    check_for_scans(config)
    check_sources({"--images": images, "--reference": reference}, config)
    check_apart("--tables", tables, {"--images": images, "--reference": reference})
    from noisescope_core.app import metrics

    metrics.check(config.observe)
    with open_store(tables, config, images, reference, new=True) as store:
        from noisescope_core.spark.scans.scan import scan as scan_new
        from noisescope_core.spark.session.progress import Progress

        progress = Progress(store.spark, console(), config.observe.events)
        row = scan_new(store, config, progress, images, reference)
    metrics.publish(row, config.observe)
    print_result(
        row | {"tables": store.location},
        lambda: click.echo(
            f"Scan {row['scan']}: {row['files']:,} new files, {row['fake']:,} carry a "
            f"generator's fingerprint, {row['quarantined']:,} are quarantined. New fingerprints: "
            f"{row['found']}; verdicts of earlier files that changed: {row['rejudged']:,}.\n"
            f"Tables: {store.location}"
        ),
    )
    for sentence in row["alerts"]:
        click.echo(f"ALERT {sentence}", err=True)
    if row["alerts"]:
        sys.exit(ALERT)
