"""HEIC files: their size from the table of items, their pixels as they are stored (`pillow-heif`).

The pictures of phones are grids of tiles, turned and cropped by properties. The decoder puts the
tiles together, crops and turns; the turning is undone here.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noisescope_core.images.formats import SEVERAL, not_supported
from noisescope_core.images.records.items import items_of
from noisescope_core.images.records.spans import Span, Unreadable

CODED = (b"hvc1", b"grid", b"iden", b"iovl")
"""Kinds of items that are pictures of HEVC, or are put together from some."""

SEQUENCES = (b"hevc", b"hevx", b"hevm", b"hevs", b"msf1")
"""Main brands of files that hold films rather than pictures (ISO/IEC 23008-12)."""


@dataclass(frozen=True)
class Picture:
    """The main picture of a file.

    Attributes
    ----------
    size : width and height in pixels as it is stored, before it is turned
    turns : what a viewer does to it, in order: `irot` and quarters of a turn to the left, or
        `imir` and what the decoder swaps, 0 top and bottom or 1 left and right
    reason : why it is not read, None if it is
    """

    size: tuple[int, int] = (0, 0)
    turns: Sequence[tuple[bytes, int]] = ()
    reason: str | None = None


def main_picture(data: bytes) -> Picture:
    """Read which item is the picture, and its properties.

    Raises
    ------
    Unreadable
        If the table of items is broken.
    """
    if data[8:12] in SEQUENCES:
        return Picture(reason=SEVERAL)
    items = items_of(Span.of(data))
    kind = items.kinds.get(items.primary, b"")
    if kind not in CODED:
        return Picture(reason=not_supported(f"HEIF of {kind.decode('latin-1')!r}"))
    size, turns = (0, 0), []
    for kind, body, _ in items.properties.get(items.primary, ()):
        if kind == b"ispe":
            size = body.number(4, 4), body.number(8, 4)
        elif kind == b"clap":
            size = _cropped(body, size)
        elif kind in (b"irot", b"imir"):
            turns.append((kind, body.number(0, 1) & 3))
    if 0 in size:
        raise Unreadable("no size")
    return Picture(size, turns)


def _cropped(body: Span, size: tuple[int, int]) -> tuple[int, int]:
    """Size of a clean aperture, two fractions; it comes before all turning (MIAF)."""
    width, of_width, height, of_height = (body.number(at, 4) for at in (0, 4, 8, 12))
    if not of_width or not of_height:
        raise Unreadable("a fraction of nothing")
    return min(size[0], width // of_width), min(size[1], height // of_height)


def pixels_of(data: bytes, picture: Picture) -> NDArray[np.uint8]:
    """Decode the main picture, (H, W) or (H, W, 3) uint8, RGB; more bits become 8.

    Raises
    ------
    Exception
        Whatever a broken file makes the decoder raise.
    """
    import pillow_heif

    # Every task has threads enough.
    pillow_heif.options.DECODE_THREADS = 1
    pixels = np.asarray(pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True))
    for kind, value in reversed(picture.turns):
        pixels = np.rot90(pixels, -value) if kind == b"irot" else np.flip(pixels, value & 1)
    return np.ascontiguousarray(pixels)
