"""What a command writes: its result on standard output, its progress on standard error."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from noisescope_core.errors import NoiseScopeError

if TYPE_CHECKING:
    from rich.console import Console


def remember_flag(context: click.Context, option: click.Parameter, value: bool) -> None:
    """Keep a flag for `flag_given`: the callback of options that are no argument of a command."""
    context.meta[f"noisescope.{option.name}"] = value


def flag_given(name: str) -> bool:
    """Whether the command that runs was given the flag, `json` or `quiet`."""
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get(f"noisescope.{name}"))


def console() -> Console:
    """Open standard error for progress and warnings; with --quiet it prints nothing."""
    from rich.console import Console

    return Console(stderr=True, quiet=flag_given("quiet"))


def print_result(result: Any, print_text: Callable[[], None]) -> None:
    """Print a result on standard output: as JSON with --json, else by calling `print_text`.

    Parameters
    ----------
    result : what JSON can hold, and dates and paths, which it holds as text
    """
    if flag_given("json"):
        click.echo(json.dumps(result, indent=2, default=_as_text))
    else:
        print_text()


def print_line(line: str) -> None:
    """Print a line on the console as it is: neither wrapped nor coloured nor read as markup."""
    console().print(line, markup=False, highlight=False, soft_wrap=True)


def check_any_scored(summary: Mapping[str, Any], verdicts: str) -> None:
    """Raise NoiseScopeError with the most frequent reason if all files were set aside.

    Parameters
    ----------
    summary : what summary.json holds
    verdicts : where the verdicts are
    """
    counts = summary["counts"]
    if not counts["scored"]:
        reason = summary["reasons"][0]
        raise NoiseScopeError(
            f"nothing could be scored, all {counts['files']:,} files are set aside "
            f"({reason['files']:,}: {reason['reason']}); see {verdicts}"
        )


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
