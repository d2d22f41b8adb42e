"""What IPTC's standards and XMP say of an image: its source type, its program, its credit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

from noisescope_core.images.records.exif import make_and_model
from noisescope_core.images.records.spans import Span
from noisescope_core.images.records.texts import JOB_OF_MIDJOURNEY
from noisescope_core.images.records.words import is_generator, is_trained, made_with

_OCCURRENCES = 64
"""Times that a property is looked for in a packet. Chosen: once is usual, edited files repeat."""

_VALUE = 400
"""Characters of a property that are looked at. Chosen: addresses and names are shorter."""

_PREFIX = 64
"""Characters before a property's name that may be its prefix. Chosen: usual ones have ten."""

_ATTRIBUTE = re.compile(r"""\s*=\s*(?:"([^"<]*)"|'([^'<]*)')""")
_RESOURCE = re.compile(r"""\s[^<>]*?\brdf:resource\s*=\s*["']([^"'<>]*)""")
_ELEMENT = re.compile(r"(?:\s[^<>]*)?>\s*(?:<rdf:(?:Alt|Bag|Seq|li)\b[^<>]*>\s*)*([^<>]+)")

_RESOURCES = 0x0404
"""Number of the resource in which Photoshop keeps IPTC's older records."""

_PROGRAM, _CREDIT = 65, 110
"""Datasets of record 2 (IPTC-NAA IIM 4.2): originating program, credit."""

_MARK = b"\x1c\x02"
"""Begins a dataset of record 2."""


def claim_of_xmp(packet: str) -> tuple[bool, str | None]:
    """Read whether a packet of XMP says that the image was generated, and by what."""
    credit = next(properties(packet, "Credit"), None)
    tools = [*properties(packet, "AISystemUsed"), *properties(packet, "CreatorTool")]
    if any(is_trained(value) for value in properties(packet, "DigitalSourceType")):
        return True, next(iter(tools), credit)
    named = [tool for tool in tools if is_generator(tool)]
    if credit and (made_with(credit) or is_generator(credit)):
        named.append(credit)
    if JOB_OF_MIDJOURNEY.search(packet):
        named.append("Midjourney")
    return (True, named[0]) if named else (False, None)


def properties(packet: str, name: str) -> Iterator[str]:
    """Find the values of a property, as attribute, element or resource, under any prefix.

    No XML is parsed: a packet may be broken, and entities may explode.

    Examples
    --------
    >>> list(properties('<x a:Tool="One"/><a:Tool>Two</a:Tool>', "Tool"))
    ['One', 'Two']
    """
    at = 0
    for _ in range(_OCCURRENCES):
        at = packet.find(f":{name}", at)
        if at < 0:
            return
        # The tag that ends an element has its name, too.
        ends = packet[max(0, at - _PREFIX) : at].rpartition("<")[2].startswith("/")
        at += len(name) + 1
        after = "" if ends else packet[at : at + _VALUE]
        for pattern in (_ATTRIBUTE, _RESOURCE, _ELEMENT):
            if match := pattern.match(after):
                if value := next(filter(None, match.groups()), "").strip():
                    yield unescape(value)
                break


def camera_of_xmp(packet: str) -> str | None:
    """Name the camera by EXIF's tags in XMP."""
    make, model = (next(properties(packet, name), "") for name in ("Make", "Model"))
    return make_and_model(make, model)


def claim_of_iim(resources: Span) -> tuple[bool, str | None]:
    """Read whether IPTC's older records name a generator as program or credit."""
    for number, content in _resources(resources):
        if number == _RESOURCES:
            for dataset, text in _datasets(content):
                if is_generator(text) and (dataset == _PROGRAM or made_with(text)):
                    return True, text
    return False, None


def _resources(span: Span) -> Iterator[tuple[int, Span]]:
    """List Photoshop's resources: number and content of each."""
    at = 0
    while at + 12 <= span.size and span.read(at, 4) == b"8BIM":
        number = span.number(at + 4, 2)
        # A name with its length, and a content, each filled up to an even number of bytes.
        at += 6 + (span.number(at + 6, 1) // 2 + 1) * 2
        size = span.number(at, 4)
        yield number, span.part(at + 4, size)
        at += 4 + size + size % 2


def _datasets(span: Span) -> Iterator[tuple[int, str]]:
    """List the program and the credit in IPTC's records."""
    at = 0
    while at + 5 <= span.size and span.read(at, 1) == _MARK[:1]:
        size = span.number(at + 3, 2)
        if size & 0x8000:  # A length of lengths: none of these has one.
            return
        dataset = span.number(at + 2, 1)
        if span.read(at, 2) == _MARK and dataset in (_PROGRAM, _CREDIT):
            yield dataset, span.read(at + 5, size).decode("utf-8", "replace")
        at += 5 + size
