"""EXIF: camera, program, and what tools write where a photographer's comment would be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

from noisescope_core.images.records.spans import Span, Unreadable
from noisescope_core.images.records.texts import tool_of
from noisescope_core.images.records.words import LONGEST

DESCRIPTION, MAKE, MODEL, SOFTWARE, XMP, IIM, C2PA, EXIF, COMMENT = (
    0x010E, 0x010F, 0x0110, 0x0131, 0x02BC, 0x83BB, 0xCD41, 0x8769, 0x9286,
)  # fmt: skip
"""Tags that are read (TIFF 6.0, EXIF 2.32, C2PA): all others are passed over."""

LONGEST_TEXT = 1 << 16
"""Bytes of a text that are looked at. Chosen: what tells a tool comes early, settings are short."""

_WANTED = frozenset({DESCRIPTION, MAKE, MODEL, SOFTWARE, XMP, IIM, C2PA, EXIF, COMMENT})

_ENTRY = 12
"""Bytes of an entry: tag, type, count, and a value or where it is (TIFF 6.0)."""

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1, 13: 4}
"""Bytes of a value, by the types that the tags above have (TIFF 6.0)."""

_CODE = 8
"""Bytes before a comment that tell its encoding (EXIF 2.32)."""

_GRAPHS = ("prompt", "workflow")
"""Words and a colon before what ComfyUI writes in place of model and make."""


def tags(span: Span) -> dict[int, Span]:
    """Find the values of the tags that are read; those of the EXIF directory among them.

    Raises
    ------
    Unreadable
        If it does not begin as a TIFF does.
    """
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(span.head(4))
    if order is None:
        raise Unreadable("no TIFF")
    found: dict[int, Span] = {}
    with suppress(Unreadable):
        found.update(_directory(span, _number(span.read(4, 4), order), order))
        if EXIF in found:
            at = _number(found[EXIF].read(0, 4), order)
            found = {**dict(_directory(span, at, order)), **found}
    return found


def _number(data: bytes, order: str) -> int:
    return int.from_bytes(data, "little" if order == "little" else "big")


def _directory(span: Span, at: int, order: str) -> Iterator[tuple[int, Span]]:
    count = _number(span.read(at, 2), order)
    table = span.part(at + 2, min(count * _ENTRY, max(0, span.size - at - 2)))
    data = table.head(table.size)
    for start in range(0, len(data) - _ENTRY + 1, _ENTRY):
        tag, kind = (_number(data[start + k : start + k + 2], order) for k in (0, 2))
        if tag not in _WANTED or kind not in _SIZES:
            continue
        size = _SIZES[kind] * _number(data[start + 4 : start + 8], order)
        place = at + 2 + start + 8
        if size > 4:
            place = _number(data[start + 8 : start + 12], order)
        with suppress(Unreadable):
            yield tag, span.part(place, size)


def camera_of(found: Mapping[int, Span]) -> str | None:
    """Name the camera: make and model, the make once."""
    return make_and_model(*(_text(found.get(tag)) for tag in (MAKE, MODEL)))


def make_and_model(make: str, model: str) -> str | None:
    """Join make and model; no camera is named by a graph.

    Examples
    --------
    >>> make_and_model("Canon", "Canon EOS 80D"), make_and_model("SONY", "ILCE-7M3")
    ('Canon EOS 80D', 'SONY ILCE-7M3')
    """
    make, model = ("" if _graph(part) else " ".join(part.split()) for part in (make, model))
    if f"{model} ".lower().startswith(f"{make} ".lower()):
        make = ""
    return f"{make} {model}".strip() or None


def claim_of(found: Mapping[int, Span]) -> str | None:
    """Name the generator that wrote this EXIF, None if no generator is known to have."""
    comment = _comment(found[COMMENT]) if COMMENT in found else ""
    texts = {
        "software": _text(found.get(SOFTWARE)),
        "description": _text(found.get(DESCRIPTION), LONGEST_TEXT),
        "parameters": comment,
        "prompt": comment,
        "comment": comment,
    }
    for tag in (MAKE, MODEL):
        text = _text(found.get(tag), LONGEST_TEXT)
        if name := _graph(text):
            texts[name] = text.partition(":")[2]
    return tool_of(texts)


def _graph(text: str) -> str | None:
    name = text.partition(":")[0].strip().lower()
    return name if name in _GRAPHS else None


def _text(span: Span | None, longest: int = 4 * LONGEST) -> str:
    if span is None:
        return ""
    data = span.head(min(longest, span.size)).partition(b"\0")[0]
    with suppress(UnicodeDecodeError):
        return data.decode()
    return data.decode("latin-1")


def _comment(span: Span) -> str:
    """Decode a comment as its code says; by which byte of a pair is zero if it is of two bytes."""
    data = span.head(_CODE + LONGEST_TEXT)
    code, text = data[:_CODE], data[_CODE:]
    if code != b"UNICODE\0":
        return text.decode("utf-8", "replace").strip("\0")
    low_first = text[1::2].count(0) > text[0::2].count(0)
    return text.decode("utf-16-le" if low_first else "utf-16-be", "replace").strip("\0")
