"""Entry points of spark-submit that run a single stage, see jobs/."""

from __future__ import annotations

from collections.abc import Callable

import click

from noisescope_core.cli.shared.commands import Command
from noisescope_core.cli.shared.inputs import check_apart, read_config
from noisescope_core.cli.shared.options import CONFIG, OUT, QUIET, Decorator, with_options
from noisescope_core.cli.shared.session import open_run


def stage_command(stage: Callable[..., None], *options: Decorator) -> click.Command:
    """Make the command that runs one stage in a run directory.

    Parameters
    ----------
    stage : callable
        Takes the run, the configuration, the progress, and by name what `options` name. The first
        line of its docstring becomes the command's help.
    *options : decorator
        Options for the folders that the stage reads, `IMAGES` for instance.
    """

    @click.command(cls=Command, help=(stage.__doc__ or "").split("\n")[0])
    @with_options(*options, OUT, QUIET, *CONFIG)
    def command(
        out: str, config_file: str | None, settings: tuple[str, ...], **folders: str
    ) -> None:
        config = read_config(config_file, settings)
        check_apart("--out", out, {f"--{name}": folder for name, folder in folders.items()})
        run, progress = open_run(out, config, locations=tuple(folders.values()))
        from noisescope_core.spark.tables.run import UNFINISHED

        # The table that this stage writes may differ from what `detect` would write: without the
        # mark of an unfinished run `detect` starts anew instead of going on from it.
        run.remove(UNFINISHED)
        stage(run, config, progress, **folders)

    return command
