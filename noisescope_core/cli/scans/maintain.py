"""`noisescope maintain`: keep the tables of scans small."""

from __future__ import annotations

import click

from noisescope_core.cli.scans.store import open_store
from noisescope_core.cli.shared.commands import Command
from noisescope_core.cli.shared.inputs import read_config
from noisescope_core.cli.shared.options import CONFIG, RESULT, TABLES, with_options
from noisescope_core.cli.shared.output import console, print_result


@click.command(
    cls=Command,
    epilog="""\
noisescope maintain --tables my/tables
noisescope maintain --tables my/tables --keep-days 7 --history-days 90""",
)
@click.option("--keep-days", default=30, show_default=True, type=click.IntRange(7),
              help="Days for which earlier states of the tables can be read.")  # fmt: skip
@click.option("--history-days", type=click.IntRange(1),
              help="Delete verdicts that later ones replaced after so many days.")  # fmt: skip
@with_options(TABLES, *RESULT, *CONFIG)
def maintain(
    keep_days: int, history_days: int | None, tables: str, config_file: str | None,
    settings: tuple[str, ...],
) -> None:  # fmt: skip
    """Compact the tables of scans and take away what is out of date."""
    config = read_config(config_file, settings)
    with open_store(tables, config) as store:
        from noisescope_core.spark.scans.maintenance import maintain as maintain_tables
        from noisescope_core.spark.session.progress import Progress

        progress = Progress(store.spark, console())
        maintain_tables(store, config, progress, keep_days, history_days)
    # Without --json the lines of the stages have said it all.
    print_result({"stages": progress.stages}, lambda: None)
