"""Compilation of the inner loops to machine code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function at its first call, and keep the code on disk where there is a place.

    Inside a wheel that spark-submit puts on the path there is none: each Python worker then
    compiles once, which takes some seconds.
    """
    return _compiled(function, {"contract", "nsz"})


def compiled_sums(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile like `compiled`, with sums in whatever order is fastest."""
    return _compiled(function, {"contract", "nsz", "reassoc"})


def _compiled(function: Callable[..., Any], fastmath: set[str]) -> Callable[..., Any]:
    options = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}
    try:
        dispatcher: Callable[..., Any] = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        dispatcher = numba.njit(**options)(function)
    return dispatcher
