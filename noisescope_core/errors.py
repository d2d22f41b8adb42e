"""Mistakes and shortages that a person can mend, each told in one line."""

from __future__ import annotations


class NoiseScopeError(Exception):
    """The run cannot go on; the message says why and what to do. Exit code 1."""


class UsageError(NoiseScopeError):
    """A wrong argument or configuration; nothing was started. Exit code 2."""
