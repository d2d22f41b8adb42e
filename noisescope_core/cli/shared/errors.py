"""Errors of a command as one line on standard error, and the exit codes of the program."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import click

from noisescope_core.errors import NoiseScopeError, UsageError, first_line

FAILED = 1
"""Exit code: the command started and could not finish."""

WRONG_USAGE = 2
"""Exit code: wrong usage or configuration, nothing was started. The same as click's own."""

ALERT = 3
"""Exit code: a scan ended well and exceeds a threshold of `alerts`."""

INTERRUPTED = 130
"""Exit code: Ctrl-C, by the convention of shells (128 and the number of SIGINT)."""


APOSTROPHE = "\u2019"
"""The one letter beyond ASCII in what the program itself says."""


def say_anything() -> None:
    """Let standard output and error take every name, whatever their encoding.

    What that lacks is written as Python spells it, such as \\u5199: a name that cannot be shown
    must not cost the result.
    """
    codecs.register_error("noisescope", _spelt_out)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="noisescope")


def _spelt_out(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].replace(APOSTROPHE, "'")
    return text.encode("ascii", "backslashreplace").decode(), error.end


def report_errors(run: Callable[[], Any]) -> Any:
    """Run a command; an error becomes one line on standard error and an exit code.

    NOISESCOPE_DEBUG in the environment lets what is not expected through with its traceback.

    Raises
    ------
    SystemExit
        With one of the exit codes of this module, where `run` raises.
    """
    say_anything()
    debug = bool(os.environ.get("NOISESCOPE_DEBUG"))
    try:
        return run()
    except click.ClickException as error:
        # A group without a command shows its help; click has this error from 8.2 on.
        if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
            error.show()
            sys.exit(error.exit_code)
        _exit(_message_of(error), error.exit_code)
    except click.Abort:
        _exit("interrupted", INTERRUPTED)
    except NoiseScopeError as error:
        if error.__cause__ and debug:
            raise
        _exit(str(error), WRONG_USAGE if isinstance(error, UsageError) else FAILED)
    except Exception as error:
        if debug:
            raise
        name = type(error).__name__
        _exit(f"{name}: {first_line(error)} (NOISESCOPE_DEBUG=1 shows where)", FAILED)


def _message_of(error: click.ClickException) -> str:
    """Join click's message into one line; unless it makes a suggestion, name the help to read."""
    # Click lists the values of a choice on lines of their own.
    message = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    if context and not message.endswith("?"):
        message += f"; see {context.command_path} --help"
    return message


def _exit(message: str, code: int) -> NoReturn:
    click.echo(f"noisescope: {message}", err=True)
    sys.exit(code)
