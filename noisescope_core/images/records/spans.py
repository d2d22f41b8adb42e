"""Bytes of a file under a bound: nothing past their end is read, and no more than was agreed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

BOUND = 1 << 20
"""Bytes of a file that are looked at, inflated text included. Chosen: the text of the largest
workflows is a few hundred kilobytes, and what is passed over does not count."""

HEADER = 8
"""Bytes of a box's header: length and kind (ISO/IEC 14496-12)."""


class Unreadable(ValueError):
    """A record ends too early, is none of its kind, or lies beyond the bound."""


class Looks:
    """What is left of the bytes of a file that may be looked at.

    Parameters
    ----------
    data : content of the file
    bound : bytes that may be looked at
    """

    def __init__(self, data: bytes, bound: int = BOUND) -> None:
        self._data, self.left = data, bound

    def read(self, start: int, size: int) -> bytes:
        """Give some bytes that lie in the file."""
        self.spend(size)
        return self._data[start : start + size]

    def spend(self, size: int) -> None:
        """Count bytes; the bound is reached for good once there are too few."""
        if size > self.left:
            self.left = 0
            raise Unreadable("more bytes than are looked at")
        self.left -= size


class Span:
    """Consecutive bytes of a record, which may lie in several places of the file.

    Parameters
    ----------
    looks : the file
    places : start and size of each place, in order, all in the file
    """

    def __init__(self, looks: Looks, places: Iterable[tuple[int, int]]) -> None:
        self.looks = looks
        self._starts: list[int] = []
        self._ends: list[int] = []
        end = 0
        for start, size in places:
            end += size
            self._starts.append(start)
            self._ends.append(end)
        self._first, self.size = 0, end

    @classmethod
    def of(cls, data: bytes, bound: int = BOUND) -> Span:
        """Take a whole file."""
        return cls(Looks(data, bound), [(0, len(data))])

    def part(self, start: int, size: int | None = None) -> Span:
        """Give a part, to the end without a size; nothing is read."""
        size = self.size - start if size is None else size
        if min(start, size) < 0 or start + size > self.size:
            raise Unreadable("ends too early")
        part = Span(self.looks, ())
        part._starts, part._ends = self._starts, self._ends
        part._first, part.size = self._first + start, size
        return part

    def read(self, start: int, size: int) -> bytes:
        """Read so many bytes, no fewer."""
        if min(start, size) < 0 or start + size > self.size:
            raise Unreadable("ends too early")
        at, pieces = self._first + start, []
        place = bisect_right(self._ends, at)
        while size:
            before = self._ends[place - 1] if place else 0
            length = min(size, self._ends[place] - at)
            pieces.append(self.looks.read(self._starts[place] + at - before, length))
            at, size, place = at + length, size - length, place + 1
        return b"".join(pieces)

    def head(self, size: int) -> bytes:
        """Read the first bytes, so many at most."""
        return self.read(0, min(size, self.size))

    def number(self, start: int, size: int) -> int:
        """Read a number, most significant byte first."""
        return int.from_bytes(self.read(start, size), "big")

    def place(self, start: int) -> int:
        """Where in the file a byte lies, of a span in one place."""
        return self._starts[0] + self._first + start


class Box(NamedTuple):
    """A box of ISO's media files or of JUMBF: its kind, content, and itself with its header."""

    kind: bytes
    body: Span
    whole: Span


def boxes(span: Span) -> Iterator[Box]:
    """List the boxes that lie side by side, as far as they are whole."""
    at = 0
    while at + HEADER <= span.size:
        length, kind, header = span.number(at, 4), span.read(at + 4, 4), HEADER
        if length == 1:
            length, header = span.number(at + HEADER, 8), 2 * HEADER
        elif length == 0:
            length = span.size - at
        if length < header or at + length > span.size:
            return
        whole = span.part(at, length)
        yield Box(kind, whole.part(header), whole)
        at += length
