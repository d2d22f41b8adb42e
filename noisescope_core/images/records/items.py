"""Items of HEIF and AVIF: images, EXIF and XMP in one file, by its table of them (`meta`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from noisescope_core.images.records.spans import Box, Span, Unreadable, boxes

MOST = 4096
"""Items, and places of one, that are looked at. Chosen: a photograph has one a tile, a hundred."""

_VERSION = 4
"""Bytes of version and flags before the content of a full box (ISO/IEC 14496-12)."""


@dataclass(frozen=True)
class Items:
    """What the table of a file says of its items, by their numbers.

    Attributes
    ----------
    primary : the item that is the picture
    kinds : such as `hvc1`, `grid`, `Exif`, or the media type of an item that has one
    contents : as far as they lie in the file
    properties : of an image, in the order in which they apply
    """

    primary: int
    kinds: Mapping[int, bytes]
    contents: Mapping[int, Span]
    properties: Mapping[int, Sequence[Box]]


def items_of(file: Span) -> Items:
    """Read the table of items.

    Raises
    ------
    Unreadable
        If there is none, or it is broken.
    """
    meta = next((box.body.part(_VERSION) for box in boxes(file) if box.kind == b"meta"), None)
    if meta is None:
        raise Unreadable("no items")
    tables = {box.kind: box.body for box in boxes(meta)}
    try:
        primary, information, places = (tables[kind] for kind in (b"pitm", b"iinf", b"iloc"))
    except KeyError as error:
        raise Unreadable("no items") from error
    properties = tables.get(b"iprp")
    return Items(
        primary.number(_VERSION, 4 if primary.number(0, 1) else 2),
        dict(_kinds(information)),
        dict(_contents(places, file, tables.get(b"idat"))),
        {} if properties is None else dict(_properties(properties)),
    )


class _Numbers:
    """Numbers one after another."""

    def __init__(self, span: Span) -> None:
        self._span, self._at = span, 0

    def take(self, size: int) -> int:
        """Take the next number, of so many bytes; 0 of none."""
        self._at += size
        return self._span.number(self._at - size, size)


def _kinds(table: Span) -> Iterator[tuple[int, bytes]]:
    start = _VERSION + (4 if table.number(0, 1) else 2)
    for count, box in enumerate(boxes(table.part(start))):
        version = box.body.number(0, 1)
        if count == MOST or box.kind != b"infe" or version < 2:
            return
        size = 4 if version == 3 else 2
        at = _VERSION + size + 2
        kind = box.body.read(at, 4)
        if kind == b"mime":
            # Its name comes first, which may be empty.
            texts = box.body.part(at + 4).head(256).split(b"\0")
            kind = texts[1] if len(texts) > 1 else kind
        yield box.body.number(_VERSION, size), kind


def _contents(table: Span, file: Span, data: Span | None) -> Iterator[tuple[int, Span]]:
    numbers = _Numbers(table)
    version = numbers.take(_VERSION) >> 24
    sizes = numbers.take(2)
    of_offset, of_length, of_base, of_index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    of_number = 4 if version == 2 else 2
    for _ in range(min(numbers.take(of_number), MOST)):
        number = numbers.take(of_number)
        method = numbers.take(2) & 15 if version else 0
        numbers.take(2)
        base = numbers.take(of_base)
        places = []
        for _ in range(min(numbers.take(2), MOST)):
            numbers.take(of_index if version else 0)
            places.append((base + numbers.take(of_offset), numbers.take(of_length)))
        source = {0: file, 1: data}.get(method)
        if source is not None:
            with suppress(Unreadable):
                yield number, _joined(source, places)


def _joined(source: Span, places: Sequence[tuple[int, int]]) -> Span:
    parts = [source.part(start, size or None) for start, size in places]
    return Span(source.looks, [(part.place(0), part.size) for part in parts])


def _properties(tables: Span) -> Iterator[tuple[int, Sequence[Box]]]:
    there: list[Box] = []
    for table in boxes(tables):
        if table.kind == b"ipco":
            there = list(boxes(table.body))
        if table.kind != b"ipma":
            continue
        numbers = _Numbers(table.body)
        version = numbers.take(_VERSION)
        large, of_number = version & 1, 4 if version >> 24 else 2
        for _ in range(min(numbers.take(4), MOST)):
            number = numbers.take(of_number)
            # The highest bit says that a reader must know the property.
            places = [
                numbers.take(2) & 0x7FFF if large else numbers.take(1) & 0x7F
                for _ in range(numbers.take(1))
            ]
            yield number, [there[place - 1] for place in places if 0 < place <= len(there)]
