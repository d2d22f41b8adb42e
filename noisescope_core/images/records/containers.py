"""Where files carry records: segments of JPEG, chunks of PNG and WebP, boxes, tags of TIFF."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from noisescope_core.images.records import exif
from noisescope_core.images.records.c2pa import joined
from noisescope_core.images.records.items import items_of
from noisescope_core.images.records.spans import HEADER, Span, Unreadable, boxes

LONGEST_TEXT = 1 << 18
"""Bytes of a text that are read, of an inflated one too. Chosen: a quarter of the bound."""

XMP = "xml:com.adobe.xmp"
"""Keyword under which a PNG keeps XMP (XMP specification, part 3), in lower case."""

_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_IIM = b"Photoshop 3.0\0"
_EXIF = b"Exif\0\0"

_UUID_C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_UUID_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


@dataclass(frozen=True)
class Record:
    """Bytes of a record, and of which kind it is."""

    kind: Literal["c2pa", "exif", "iim"]
    span: Span


@dataclass(frozen=True)
class Text:
    """A text under a keyword in lower case; a packet of XMP under `XMP`."""

    keyword: str
    text: str


def records(file: Span) -> Iterator[Record | Text]:
    """List the records of a file, as far as it can be read."""
    with suppress(Unreadable):
        start = file.head(12)
        for is_of_kind, reader in (
            (start[:3] == b"\xff\xd8\xff", _jpeg),
            (start[:8] == b"\x89PNG\r\n\x1a\n", _png),
            (start[:4] == b"RIFF" and start[8:] == b"WEBP", _webp),
            (start[:4] in (b"II*\0", b"MM\0*"), _tiff),
            (start[4:8] in (b"ftyp", b"JXL "), _boxes),
        ):
            if is_of_kind:
                yield from reader(file)
                return


def _text(keyword: str, span: Span) -> Text:
    data = span.head(LONGEST_TEXT)
    if data[:2] in (b"\xfe\xff", b"\xff\xfe"):
        return Text(keyword, data.decode("utf-16", "replace"))
    return Text(keyword, data.decode("utf-8", "replace"))


def _jpeg(file: Span) -> Iterator[Record | Text]:
    manifests: dict[int, list[tuple[int, Span]]] = {}
    for marker, body in _segments(file):
        if marker == 0xFE:
            yield _text("comment", body)
        elif marker == 0xE1:
            start = body.head(len(_JPEG_XMP))
            if start == _JPEG_XMP:
                yield _text(XMP, body.part(len(_JPEG_XMP)))
            elif start.startswith(_EXIF):
                yield Record("exif", body.part(len(_EXIF)))
        elif marker == 0xED and body.head(len(_JPEG_IIM)) == _JPEG_IIM:
            yield Record("iim", body.part(len(_JPEG_IIM)))
        elif marker == 0xEB and body.size >= 8 + HEADER and body.read(0, 2) == b"JP":
            packet = body.number(4, 4), body.part(8)
            manifests.setdefault(body.number(2, 2), []).append(packet)
    for packets in manifests.values():
        with suppress(Unreadable):
            yield Record("c2pa", joined(packets))


def _segments(file: Span) -> Iterator[tuple[int, Span]]:
    """List the segments before the first scan, as far as they are whole."""
    at = 2
    with suppress(Unreadable):
        while True:
            mark, marker = file.read(at, 2)
            if mark != 0xFF or marker in (0xD9, 0xDA):
                return
            if marker == 0xFF:  # Filled up.
                at += 1
                continue
            size = 0
            if not (marker == 0x01 or 0xD0 <= marker <= 0xD7):  # These have no length.
                size = file.number(at + 2, 2)
                yield marker, file.part(at + 4, size - 2)
            at += 2 + size


def _png(file: Span) -> Iterator[Record | Text]:
    at = 8
    while True:
        size, kind = file.number(at, 4), file.read(at + 4, 4)
        body = file.part(at + 8, size)
        if kind == b"IEND":
            return
        if kind == b"caBX":
            yield Record("c2pa", body)
        elif kind == b"eXIf":
            yield Record("exif", body)
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            with suppress(Unreadable, zlib.error):
                yield _png_text(kind, body)
        at += size + 12


def _png_text(kind: bytes, body: Span) -> Text:
    """Read a text: a keyword of at most 79 bytes, what the kind has besides, and the text."""
    keyword, end, _ = body.head(80).partition(b"\0")
    if not end:
        raise Unreadable("no keyword")
    name, at = keyword.decode("latin-1").lower(), len(keyword) + 1
    packed = kind == b"zTXt"
    if packed:
        at += 1
    elif kind == b"iTXt":
        packed = body.read(at, 1) == b"\1"
        # Language and translated keyword, each with a zero at its end.
        rest = body.part(at + 2).head(4 * 80)
        places = rest.split(b"\0", 2)
        if len(places) < 3:
            raise Unreadable("no end of the keyword")
        at += 2 + len(places[0]) + len(places[1]) + 2
    text = body.part(at)
    if not packed:
        data = text.head(LONGEST_TEXT)
    else:
        data = zlib.decompressobj().decompress(text.head(LONGEST_TEXT), LONGEST_TEXT)
        body.looks.spend(len(data))
    if kind == b"iTXt":
        return Text(name, data.decode("utf-8", "replace"))
    # Of Latin-1 by the standard; many tools write UTF-8.
    with suppress(UnicodeDecodeError):
        return Text(name, data.decode())
    return Text(name, data.decode("latin-1"))


def _webp(file: Span) -> Iterator[Record | Text]:
    at = 12
    while True:
        kind, size = file.read(at, 4), int.from_bytes(file.read(at + 4, 4), "little")
        body = file.part(at + 8, size)
        if kind == b"C2PA":
            yield Record("c2pa", body)
        elif kind == b"XMP ":
            yield _text(XMP, body)
        elif kind == b"EXIF":
            # By the standard it begins with the TIFF; some write JPEG's header before it.
            headed = body.head(len(_EXIF)) == _EXIF
            yield Record("exif", body.part(len(_EXIF)) if headed else body)
        at += 8 + size + size % 2


def _boxes(file: Span) -> Iterator[Record | Text]:
    """Read the boxes at the top of HEIF, AVIF and JPEG XL, and the items of the first two."""
    for box in boxes(file):
        if box.kind == b"uuid" and box.body.size > 16:
            kind = box.body.read(0, 16)
            if kind == _UUID_C2PA:
                # Version and flags, what it is for, and where more of it is.
                purpose = box.body.part(20).head(32).partition(b"\0")[0]
                yield Record("c2pa", box.body.part(20 + len(purpose) + 1 + 8))
            elif kind == _UUID_XMP:
                yield _text(XMP, box.body.part(16))
        elif box.kind == b"jumb":
            yield Record("c2pa", box.whole)
        elif box.kind == b"Exif":
            yield Record("exif", box.body.part(4))
        elif box.kind == b"xml ":
            yield _text(XMP, box.body)
        elif box.kind == b"meta":
            with suppress(Unreadable):
                yield from _items(file)


def _items(file: Span) -> Iterator[Record | Text]:
    items = items_of(file)
    for number, content in items.contents.items():
        kind = items.kinds.get(number)
        with suppress(Unreadable):
            if kind == b"Exif":  # Before it is how far away it begins.
                yield Record("exif", content.part(4 + content.number(0, 4)))
            elif kind == b"application/rdf+xml":
                yield _text(XMP, content)


def _tiff(file: Span) -> Iterator[Record | Text]:
    yield Record("exif", file)
    found = exif.tags(file)
    if exif.C2PA in found:
        yield Record("c2pa", found[exif.C2PA])
    if exif.XMP in found:
        yield _text(XMP, found[exif.XMP])
