"""What all commands share: options, results, help, errors told in one line, exit codes."""

from __future__ import annotations

import difflib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from noisescope_core.errors import NoiseScopeError, UsageError, first_line

if TYPE_CHECKING:
    from rich.console import Console

    from noisescope_core.config import Config

Command = Callable[..., Any]


class Place(click.types.StringParamType):
    """A folder or file that a shell completes; it may be a URI, so nothing is checked here."""

    name = "path"

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Leave it to the shell."""
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


FOLDER, FILE = Place("dir"), Place("file")

CONFIG = [
    click.option(
        "--config", "config_file", metavar="FILE", type=FILE, help="YAML file, see conf/."
    ),
    click.option(
        "--set", "settings", metavar="KEY=VALUE", multiple=True, type=Setting(),
        help="Override one key of conf/default.yaml, such as method=paper; any number of times.",
    ),
]  # fmt: skip
OUT = click.option("--out", required=True, metavar="DIR", type=FOLDER, help="Run directory.")
IMAGES = click.option(
    "--images", required=True, metavar="PATH", type=FOLDER, help="Folder or URI to test."
)
REFERENCE = click.option(
    "--reference", required=True, metavar="PATH", type=FOLDER, help="Photographs known real."
)
TABLES = click.option(
    "--tables", required=True, metavar="LOCATION", type=FOLDER,
    help="Folder or URI of the Delta tables.",
)  # fmt: skip
KNOWN = click.option(
    "--fingerprints", required=True, metavar="DIR", type=FOLDER,
    help="Run whose fingerprints are looked for.",
)  # fmt: skip


def _keep(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[f"noisescope.{param.name}"] = value


QUIET = click.option(
    "--quiet", "-q", is_flag=True, expose_value=False, callback=_keep,
    help="Print the result and errors alone.",
)  # fmt: skip
JSON = click.option(
    "--json", is_flag=True, expose_value=False, callback=_keep,
    help="Print the result as JSON, alone on standard output. An error is still one line on "
    "standard error, and an exit code.",
)  # fmt: skip
RESULT = [JSON, QUIET]
"""Of every command that has a result; it prints it by `tell`, and what it does on `console`."""


def asked(name: str) -> bool:
    """Whether the command that runs was given the flag, `json` or `quiet`."""
    ctx = click.get_current_context(silent=True)
    return bool(ctx and ctx.meta.get(f"noisescope.{name}"))


def console() -> Console:
    """Standard error for what a command does meanwhile; silent where --quiet was asked for."""
    from rich.console import Console

    return Console(stderr=True, quiet=asked("quiet"))


def tell(result: Any, show: Callable[[], None]) -> None:
    """Print a result on standard output: as JSON where that was asked for, else as `show` does."""
    if asked("json"):
        click.echo(json.dumps(result, indent=2, default=_plain))
    else:
        show()


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


class OneLineErrors(click.Command):
    """A command that tells what a person can mend in one line, and ends its help by examples."""

    def main(self, *arguments: Any, **more: Any) -> Any:
        """Run as a program."""
        more["standalone_mode"] = False
        sys.exit(told_in_one_line(lambda: super(OneLineErrors, self).main(*arguments, **more)))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples as they are."""
        if self.epilog:
            with formatter.section("Examples"):
                for line in self.epilog.splitlines():
                    formatter.write(f"  {line}\n")


class Commands(OneLineErrors, click.Group):
    """Commands under names, listed in sections.

    Parameters
    ----------
    sections : title to names, in order; commands in none of them come last
    """

    command_class = OneLineErrors
    group_class = type

    def __init__(
        self, *arguments: Any, sections: Mapping[str, Sequence[str]] | None = None, **more: Any
    ) -> None:
        super().__init__(*arguments, **more)
        self.sections = sections or {}

    def main(self, *arguments: Any, **more: Any) -> Any:
        """Run as a program, by its own name however it was started."""
        return super().main(*arguments, **{**more, "prog_name": self.name})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the sections."""
        named = [name for names in self.sections.values() for name in names]
        return [name for name in named if name in self.commands] + [
            name for name in self.commands if name not in named
        ]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first line of every command's help under its section."""
        section_of = {name: title for title, names in self.sections.items() for name in names}
        rows: dict[str, list[tuple[str, str]]] = {}
        width = max(map(len, self.commands))
        for name in self.list_commands(ctx):
            told = (self.commands[name].help or "").split("\n")[0]
            rows.setdefault(section_of.get(name, "Commands"), []).append((name.ljust(width), told))
        for title, some in rows.items():
            with formatter.section(title):
                formatter.write_dl(some)


def told_in_one_line(run: Callable[[], Any]) -> Any:
    """Run a command; an error becomes one line on standard error and exit code 1 or 2."""
    try:
        return run()
    except click.ClickException as error:
        if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
            error.show()
            sys.exit(error.exit_code)
        # Click puts the values to choose from in lines of their own.
        said = " ".join(error.format_message().split()).rstrip(".")
        ctx = getattr(error, "ctx", None)
        if ctx and not said.endswith("?"):
            said += f"; see {ctx.command_path} --help"
        _fail(said, error.exit_code)
    except click.Abort:
        _fail("interrupted", 130)
    except NoiseScopeError as error:
        if error.__cause__ and os.environ.get("NOISESCOPE_DEBUG"):
            raise
        _fail(str(error), 2 if isinstance(error, UsageError) else 1)
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


def configured(file: str | None, settings: Sequence[str]) -> Config:
    """Read the configuration that --config and --set name."""
    from noisescope_core.config import load_config

    check_exist({"--config": file})
    return load_config(file, settings)


def check_exist(locations: Mapping[str, str | None]) -> None:
    """Raise UsageError for a local file or folder that is not there, and name one that is."""
    for option, location in locations.items():
        if location and "://" not in location and not os.path.exists(location):
            near = _nearest(location)
            advice = f"; did you mean {near}?" if near else ""
            raise UsageError(f"{option}: {location} does not exist{advice}")


def _nearest(location: str) -> str | None:
    """Find a path that is there, each of its parts that of the location or close to it."""
    found = Path()
    for part in Path(location).parts:
        if not (found / part).exists():
            try:
                names = [name for name in os.listdir(found) if name.isprintable()]
            except OSError:
                return None
            close = difflib.get_close_matches(part, names, 1)
            if not close:
                return None
            part = close[0]
        found /= part
    return str(found)


def start_spark(config: Config, log: Path, **more: Any) -> Any:
    """Start Spark as `noisescope_core.spark.session.start.start_session`; a terminal shows that."""
    said = console()
    if said.quiet or not said.is_interactive:
        from noisescope_core.spark.session.start import start_session

        return start_session(config, log, **more)
    from rich.console import Console

    from noisescope_core.app.progress import Stage

    # Meanwhile what is written to standard error goes to the log.
    with os.fdopen(os.dup(2), "w") as terminal, Stage(Console(file=terminal), "start") as stage:
        from noisescope_core.spark.session.start import start_session

        spark = start_session(config, log, **more)
        stage.done(f"Spark {spark.version}")
    return spark


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
