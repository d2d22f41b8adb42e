"""Mistakes and shortages that a person can mend, each told in one line."""

from __future__ import annotations


class NoiseScopeError(Exception):
    """The run cannot go on; the message says why and what to do. Exit code 1."""


class UsageError(NoiseScopeError):
    """A wrong argument or configuration; nothing was started. Exit code 2."""


def first_line(error: BaseException) -> str:
    """Cut what an error says to its first line, and what storage said if that was the cause.

    The error's type where it says nothing.
    """
    lines = (str(error).strip() or type(error).__name__).splitlines()
    first = lines[0]
    # Of an error in the JVM only the second line says what it was.
    if first.startswith("An error occurred while calling") and len(lines) > 1:
        first = lines[1].removeprefix(": ").removeprefix("org.apache.spark.SparkException: ")
    causes = [line for line in lines if line.strip().startswith(_STORAGE)]
    return f"{first}: {causes[-1].strip().removeprefix(_STORAGE)}" if causes else first


_STORAGE = "Caused by: java.io."
"""A full disk, a file that is gone or closed to us."""
