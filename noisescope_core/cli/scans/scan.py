"""`noisescope scan`: test what is new in a folder that grows."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from noisescope_core.config import Config


@click.command(
    cls=Command,
    epilog="""\
noisescope scan --images my/uploads --reference my/photographs --tables my/tables
noisescope scan --images s3a://bucket/uploads --reference s3a://bucket/photographs \\
    --tables s3a://bucket/tables --config conf/default.yaml --quiet
noisescope scan --images my/uploads --reference my/photographs --tables my/tables \\
    --set alerts.flagged=0.2 --json > scan.json
noisescope scan --images my/store --reference my/photographs --tables my/tables \\
    --backfill --since 2026-01-01 --set scan.files=200000""",
)
@click.option("--since", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]),
              help="Leave out files that were changed before, UTC.")  # fmt: skip
@click.option("--backfill", is_flag=True,
              help="Scan until nothing is new, some folders at a time.")  # fmt: skip
@click.option("--retry-quarantined", is_flag=True, help="Read files that were set aside again.")
@with_options(IMAGES, REFERENCE, TABLES, *RESULT, *CONFIG)
def scan(
    images: str, reference: str, since: datetime | None, backfill: bool,
    retry_quarantined: bool, tables: str, config_file: str | None, settings: tuple[str, ...],
) -> None:  # fmt: skip
    """Test what is new in a folder that grows, and keep what was found in Delta tables.

    A scan takes as many files as the keys `scan.files`, `scan.bytes` and `scan.hours` say, the
    newest first; the next one goes on.

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
        from noisescope_core.spark.scans.scan import backfill as scan_all
        from noisescope_core.spark.scans.scan import scan as scan_new
        from noisescope_core.spark.session.progress import Progress

        progress = Progress(store.spark, console(), config.observe.events)
        places = store, config, progress, images, reference
        start = since.replace(tzinfo=UTC) if since else None
        rows = (
            scan_all(*places, start)
            if backfill
            else iter([scan_new(*places, start, retry_quarantined)])
        )
        alerted = [_told(row, config, store.location) for row in rows]
    if any(alerted):
        sys.exit(ALERT)


def _told(row: dict[str, Any], config: Config, tables: str) -> bool:
    """Publish and print what came of a scan: whether it exceeds a threshold."""
    from noisescope_core.app import metrics

    metrics.publish(row, config.observe)
    said = (
        f"Scan {row['scan']}: {row['files']:,} new files, {row['fake']:,} carry a "
        f"generator's fingerprint, {row['quarantined']:,} are quarantined. New fingerprints: "
        f"{row['found']}; verdicts of earlier files that changed: {row['rejudged']:,}."
        if row["files"] or row["rejudged"]
        else f"Nothing is new since scan {row['scan']}."
    )
    print_result(row | {"tables": tables}, lambda: click.echo(f"{said}\nTables: {tables}"))
    for sentence in row["alerts"]:
        click.echo(f"ALERT {sentence}", err=True)
    return bool(row["alerts"])
