"""What all commands share: options, errors told in one line, exit codes."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from noisescope_core.errors import NoiseScopeError, UsageError, first_line

Command = Callable[..., Any]

CONFIG = [
    click.option("--config", "config_file", metavar="FILE", help="YAML file, see conf/."),
    click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Override one key."),
]
OUT = click.option("--out", required=True, metavar="DIR", help="Run directory.")
IMAGES = click.option("--images", required=True, metavar="PATH", help="Folder or URI to test.")
REFERENCE = click.option(
    "--reference", required=True, metavar="PATH", help="Photographs known real."
)
TABLES = click.option(
    "--tables", required=True, metavar="LOCATION", help="Folder or URI of the Delta tables."
)
KNOWN = click.option(
    "--fingerprints", required=True, metavar="DIR", help="Run whose fingerprints are looked for."
)


class OneLineErrors(click.Group):
    """Turn what a person can mend into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        return told_in_one_line(lambda: super(OneLineErrors, self).invoke(ctx))


def told_in_one_line(run: Callable[[], Any]) -> Any:
    """Run a command; an error becomes one line on standard error and exit code 1 or 2."""
    try:
        return run()
    except (click.exceptions.Exit, click.Abort, click.ClickException):
        raise
    except NoiseScopeError as error:
        if error.__cause__ and os.environ.get("NOISESCOPE_DEBUG"):
            raise
        _fail(str(error), 2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except Exception as error:
        if os.environ.get("NOISESCOPE_DEBUG"):
            raise
        name = type(error).__name__
        _fail(f"{name}: {first_line(error)} (NOISESCOPE_DEBUG=1 shows where)", 1)


def with_options(*options: Command) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def check_exist(folders: Mapping[str, str | None]) -> None:
    for option, location in folders.items():
        if location and "://" not in location and not os.path.exists(location):
            raise UsageError(f"{option}: {location} does not exist")


def made(folder: str, option: str) -> tuple[str, Path]:
    """Make a local folder: its whole path, and Spark's log in it; a URI is left as it is."""
    if "://" in folder:
        return folder, log_elsewhere()
    folder = os.path.abspath(folder)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{option}: {folder} cannot be written to ({error.strerror})") from error
    return folder, Path(folder) / "spark.log"


def log_elsewhere() -> Path:
    """Name Spark's log of a command that writes to no local folder; its errors point there."""
    return Path(tempfile.gettempdir(), f"noisescope-{os.getpid()}.log")


def _fail(message: str, code: int) -> None:
    click.echo(f"noisescope: {message}", err=True)
    sys.exit(code)
