"""Compilation of the inner loops to machine code, by numba.

Compiled functions let go of the interpreter's lock and divide as NumPy does, without errors.
Products and sums may be fused, so figures are those of one machine, whatever the number of threads.
"""

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
    """Compile like `compiled`, and let the compiler add in whatever order is fastest.

    The order is fixed when the function is compiled: the same machine adds the same way each time.
    """
    return _compiled(function, {"contract", "nsz", "reassoc"})


def _compiled(function: Callable[..., Any], fastmath: set[str]) -> Callable[..., Any]:
    """Compile with these liberties; the flags are LLVM's."""
    options = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}
    try:
        dispatcher: Callable[..., Any] = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        dispatcher = numba.njit(**options)(function)
    return dispatcher
