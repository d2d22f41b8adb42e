"""Mistakes and shortages that a person can mend, each told in one line."""

from __future__ import annotations


class NoiseScopeError(Exception):
    """The run cannot go on; the message says why and what to do. Exit code 1."""


class UsageError(NoiseScopeError):
    """A wrong argument or configuration; nothing was started. Exit code 2."""


def first_line(error: BaseException) -> str:
    """Cut what an error says to its first line; its type where it says nothing."""
    lines = (str(error).strip() or type(error).__name__).splitlines()
    # Of an error in the JVM only the second line says what it was.
    if lines[0].startswith("An error occurred while calling") and len(lines) > 1:
        return lines[1].removeprefix(": ")
    return lines[0]
