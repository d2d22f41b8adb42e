"""JPEG files: where their data ends, and whether a part of it was lost (ITU-T T.81)."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, replace

import numpy as np

START, END = b"\xff\xd8", b"\xff\xd9"
"""Markers of the start and the end of an image."""

HUFFMAN, PROGRESSIVE = (0xC0, 0xC1, 0xC2), 0xC2
"""Start-of-frame markers of what is decoded: baseline, extended and progressive, by Huffman."""

FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""All start-of-frame markers."""

ZEROS = 64
"""Zero bytes in a row that mean a flat area, or else data that was overwritten: 512 bits of zero
are more than two blocks of 64 equal coefficients. Derived."""

FILL = b"\x55\xa3" * 32
"""Bytes that whoever still waits for data takes for data. Any that are not zero; chosen."""

GREY, NEAR = 128, 3
"""Luma of a block without data, and how far chroma of the next block may move it; grey levels."""


@dataclass(frozen=True)
class Scan:
    """One scan: where its coded data lies, and what it codes.

    Attributes
    ----------
    start, end : int, bytes
    components : ids
    first, last : coefficients of a block, 0..63
    low : lowest bit that is coded so far
    zeros_are_flat : whether bits of zero code nothing but a flat area
    """

    start: int
    end: int
    components: tuple[int, ...]
    first: int
    last: int
    low: int
    zeros_are_flat: bool


@dataclass
class Layout:
    """What lies where in a file.

    Attributes
    ----------
    frame : the start-of-frame marker, 0 where there is none
    components : ids
    scans : in their order
    ended : whether the end marker is there
    """

    frame: int = 0
    components: tuple[int, ...] = ()
    scans: list[Scan] = field(default_factory=list)
    ended: bool = False


def layout_of(data: bytes) -> Layout:
    """Walk from marker to marker; nothing is decoded. Broken files give what can be found."""
    layout, tables, markers, k = Layout(), dict[int, int](), _markers(data), 1
    while k < len(markers):
        start = markers[k]
        marker, place = data[start + 1], start + 2
        k += 1
        if layout.scans and layout.scans[-1].end < 0:
            layout.scans[-1] = replace(layout.scans[-1], end=start)
        if marker == END[1]:
            layout.ended = True
            break
        if marker == START[1]:
            continue
        body = data[place + 2 : place + int.from_bytes(data[place : place + 2], "big")]
        place += 2 + len(body)
        k = bisect_left(markers, place, k)
        if marker in FRAMES:
            layout.frame, layout.components = marker, tuple(body[6::3])
        elif marker == 0xC4:
            tables |= _first_symbols(body)
        elif marker == 0xDA and body and len(body) >= 4 + 2 * body[0]:
            layout.scans.append(_scan(body, tables, place))
    if layout.scans and layout.scans[-1].end < 0:
        layout.scans[-1] = replace(layout.scans[-1], end=len(data))
    return layout


def _markers(data: bytes) -> list[int]:
    """Find the bytes 255 before others than those that coded data holds; the first is the start."""
    octets = np.frombuffer(data, np.uint8)
    places = np.flatnonzero(octets[:-1] == 0xFF)
    after = octets[places + 1]
    found = (after != 0) & (after != 0xFF) & ((after < 0xD0) | (after > 0xD7))
    return [int(place) for place in places[found]]


def _first_symbols(body: bytes) -> dict[int, int]:
    """Read by class and number the symbol of each Huffman table whose code is all zeros."""
    found, place = {}, 0
    while place + 17 < len(body):
        found[body[place]] = body[place + 17]
        place += 17 + sum(body[place + 1 : place + 17])
    return found


def _scan(body: bytes, tables: dict[int, int], start: int) -> Scan:
    count = body[0]
    choices = body[2 : 2 + 2 * count : 2]
    first, last, low = body[1 + 2 * count], body[2 + 2 * count], body[3 + 2 * count] & 15
    flat = True
    for choice in choices:
        # A difference of 0, and an end of block (or a run of 16 zeros), change nothing.
        flat &= first > 0 or tables.get(choice >> 4, 0) == 0
        flat &= last == 0 or tables.get(16 | choice & 15, 0) & 15 == 0
    return Scan(start, -1, tuple(body[1 : 1 + 2 * count : 2]), first, last, low, flat)


def with_end(data: bytes, layout: Layout) -> bytes:
    """Cut what lies behind the image, and write the end marker where only that is lacking."""
    if not layout.scans:
        return data
    coded = data[: layout.scans[-1].end]
    if layout.ended:
        return coded + END
    stripped = coded.rstrip(b"\0")
    if stripped.endswith(b"\xff"):  # Half a marker, or the byte 255, which a zero follows.
        stripped = stripped[:-1] if stripped == coded else stripped + b"\0"
    return stripped + END


def lost_in(data: bytes, layout: Layout) -> bool:
    """Whether the file itself shows that a part of its image is lost, without decoding it.

    Scans that never came, or coded data that was overwritten with zeros.
    """
    if layout.frame not in HUFFMAN:
        return False
    lacking = {(part, k) for part in layout.components for k in range(64)}
    for scan in layout.scans:
        if not scan.low:
            coded = range(scan.first, scan.last + 1)
            lacking -= {(part, k) for part in scan.components for k in coded}
        if not scan.zeros_are_flat and data.find(bytes(ZEROS), scan.start, scan.end) >= 0:
            return True
    return bool(lacking)


def may_lack(layout: Layout, luma: float) -> bool:
    """Whether decoding has to be tried with `filled` to know that no data is lacking at the end.

    Parameters
    ----------
    luma : of the last pixel, grey levels: a block without data is grey
    """
    if layout.frame not in HUFFMAN:
        return False
    unsure = layout.frame == PROGRESSIVE or len(layout.components) > 3 or not layout.ended
    return unsure or abs(luma - GREY) <= NEAR


def filled(data: bytes) -> bytes:
    """Put bytes behind the coded data of a file from `with_end`: a whole image stays as it is."""
    return data.removesuffix(END) + FILL + END
