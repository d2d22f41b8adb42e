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
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
    try:
        dispatcher: Callable[..., Any] = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        dispatcher = numba.njit(**options)(function)
    return dispatcher
