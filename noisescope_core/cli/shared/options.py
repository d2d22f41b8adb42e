"""Options that several commands take, and what a shell completes for them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from noisescope_core.app.places import plain_path
from noisescope_core.cli.shared.output import remember_flag

Decorator = Callable[..., Any]
"""An option or argument of click, which decorates the function of a command."""


class Location(click.types.StringParamType):
    """A folder or file that a shell completes; it may be a URI, so nothing is checked here.

    A `~` that the shell left alone, as in --out=~/run, is the home folder.

    Parameters
    ----------
    kind : `dir` or `file`, what the shell offers
    """

    name = "path"

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Name the home folder for `~`, unless there is a file of that name."""
        text = plain_path(str(super().convert(value, param, ctx)))
        return text if os.path.lexists(text) else os.path.expanduser(text)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Let the shell complete by itself what it knows of this kind."""
        return [CompletionItem(incomplete, type=self.kind)]


class Setting(click.types.StringParamType):
    """KEY=VALUE, of which a shell completes the key."""

    name = "setting"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """List the keys of the configuration."""
        from noisescope_core.config import Config, keys

        return [CompletionItem(f"{key}=") for key in keys(Config) if key.startswith(incomplete)]


FOLDER, FILE = Location("dir"), Location("file")

CONFIG = [
    click.option(
        "--config", "config_file", metavar="FILE", type=FILE, help="YAML file, see conf/."
    ),
    click.option(
        "--set", "settings", metavar="KEY=VALUE", multiple=True, type=Setting(),
        help="Override one key of conf/default.yaml, such as method=paper; any number of times.",
    ),
]  # fmt: skip
"""Options of every command that takes a configuration, see `inputs.read_config`."""

OUT = click.option("--out", required=True, metavar="DIR", type=FOLDER, help="Run directory.")
IMAGES = click.option(
    "--images",
    required=True,
    metavar="PATH",
    type=FOLDER,
    help="What to test: a folder, an archive or a table.",
)
REFERENCE = click.option(
    "--reference",
    required=True,
    metavar="PATH",
    type=FOLDER,
    help="Photographs known real, likewise.",
)
TABLES = click.option(
    "--tables", required=True, metavar="LOCATION", type=FOLDER,
    help="Folder, URI or schema of the Delta tables.",
)  # fmt: skip
FINGERPRINTS = click.option(
    "--fingerprints", required=True, metavar="RUN_OR_PACK", type=FILE,
    help="Run whose fingerprints are looked for, or a file of noisescope pack.",
)  # fmt: skip

QUIET = click.option(
    "--quiet", "-q", is_flag=True, expose_value=False, callback=remember_flag,
    help="Print the result and errors alone.",
)  # fmt: skip
JSON = click.option(
    "--json", is_flag=True, expose_value=False, callback=remember_flag,
    help="Print the result as JSON, alone on standard output. An error is still one line on "
    "standard error, and an exit code.",
)  # fmt: skip
RESULT = [JSON, QUIET]
"""Options of every command that has a result: it prints that by `output.print_result`, and what
happens meanwhile on `output.console`."""


def with_options(*options: Decorator) -> Callable[[Decorator], Decorator]:
    """Decorate a command with several options; its help lists them in this order."""

    def decorate(command: Decorator) -> Decorator:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
