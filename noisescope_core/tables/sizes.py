"""Rows of one size, where Arrow reads a table past Spark."""

from __future__ import annotations

import pyarrow.dataset as ds

from noisescope_core.images import Size


def in_arrow(size: Size) -> ds.Expression:
    """Rows of one size, (width, height)."""
    return (ds.field("width") == size[0]) & (ds.field("height") == size[1])
