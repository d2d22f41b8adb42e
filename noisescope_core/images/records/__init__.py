"""What image files say of themselves: who made them, with what, or that they were generated.

Records are read from the bytes of a file under a bound, and believed as they stand: nothing is
verified, anybody can write or strip them. They are told beside verdicts and change none.

A record *claims* that an image is generated if it says so (a source type of IPTC or C2PA), or if
it is of a tool that only generates, by the names that it writes.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

from noisescope_core.images.records import c2pa, exif, iptc, texts
from noisescope_core.images.records.containers import XMP, Record, Text, records
from noisescope_core.images.records.spans import BOUND, Span, Unreadable
from noisescope_core.images.records.words import cleaned

TRUST = ("c2pa", "iptc", "png-text", "exif")
"""Records that may claim, the one first that counts if several do, before a watermark. Chosen: the
first is signed, the second made to say it, the others are habits of tools."""


@dataclass(frozen=True)
class Said:
    """What a file says of itself.

    Attributes
    ----------
    claimed_by : one of `TRUST` or `watermark`, None if nothing claims that the image is generated
    claimed_generator : as that record names it, one line of at most 200 characters, None without
    camera : make and model by EXIF or XMP, likewise
    """

    claimed_by: str | None = None
    claimed_generator: str | None = None
    camera: str | None = None

    def with_watermark(self, name: str | None) -> Said:
        """Let a known watermark in the pixels claim where no record does."""
        if name is None or self.claimed_by is not None:
            return self
        return replace(self, claimed_by="watermark", claimed_generator=name)


def said_by(data: bytes) -> Said:
    """Read what a file says of itself. No file raises.

    Examples
    --------
    >>> said_by(b"no image")
    Said(claimed_by=None, claimed_generator=None, camera=None)
    """
    try:
        claims, camera = read(Span.of(data, BOUND))
    except Exception:  # One file must not cost the run, whatever is wrong with it.
        claims, camera = {}, None
    by = next((kind for kind in TRUST if kind in claims), None)
    return Said(by, cleaned(claims[by]) if by else None, cleaned(camera))


def read(file: Span) -> tuple[dict[str, str | None], str | None]:
    """Read the claims of a file by kind of record, and its camera.

    Returns
    -------
    dict
        Kind of record to the generator that it names, of those that claim.
    str or None
        Make and model, EXIF's before XMP's.
    """
    heard = _Heard()
    for record in records(file):
        with suppress(Unreadable):
            heard.hear(record)
    if (tool := texts.tool_of(heard.texts)) is not None:
        heard.claims["png-text"] = tool
    return heard.claims, next(filter(None, heard.cameras.values()), None)


class _Heard:
    """What the records of a file said so far; the first of a kind counts."""

    def __init__(self) -> None:
        self.claims: dict[str, str | None] = {}
        self.texts: dict[str, str] = {}
        self.cameras: dict[str, str | None] = {"exif": None, "xmp": None}

    def hear(self, record: Record | Text) -> None:
        if isinstance(record, Record):
            self._bytes(record)
        elif record.keyword == XMP:
            self._claim("iptc", *iptc.claim_of_xmp(record.text))
            self._camera("xmp", iptc.camera_of_xmp(record.text))
        else:
            self.texts.setdefault(record.keyword, record.text)

    def _bytes(self, record: Record) -> None:
        if record.kind == "c2pa":
            self._claim("c2pa", *c2pa.claim(record.span))
        elif record.kind == "iim":
            self._claim("iptc", *iptc.claim_of_iim(record.span))
        else:
            tags = exif.tags(record.span)
            self._camera("exif", exif.camera_of(tags))
            tool = exif.claim_of(tags)
            self._claim("exif", tool is not None, tool)

    def _claim(self, kind: str, says_so: bool, generator: str | None) -> None:
        if says_so and not self.claims.get(kind):
            self.claims[kind] = generator

    def _camera(self, kind: str, camera: str | None) -> None:
        self.cameras[kind] = self.cameras[kind] or camera
