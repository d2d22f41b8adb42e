"""Values in CBOR (RFC 8949), as far as C2PA's claims and assertions use it."""

from __future__ import annotations

from typing import Any

from noisescope_core.images.records.spans import Unreadable

DEPTH = 16
"""Levels of values in values that are followed. Chosen: claims have five."""

_BREAK = object()
"""What ends a value of no stated length."""


def decoded(data: bytes) -> Any:
    """Decode the first value; what follows it is left.

    Tags are dropped, numbers with a fraction and unknown simple values become None, and of maps
    the entries are kept whose key is text or an integer.

    Raises
    ------
    Unreadable
        If the value is broken or nested too deeply.

    Examples
    --------
    >>> decoded(bytes.fromhex("a16161820102"))
    {'a': [1, 2]}
    """
    return _Reader(data).value(0)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def value(self, depth: int) -> Any:
        if depth > DEPTH:
            raise Unreadable("nested too deeply")
        major, short = divmod(self._take(1)[0], 32)
        open_ended = short == 31 and 2 <= major <= 5
        size = 0 if short == 31 else self._argument(short)
        if major == 7:
            return _BREAK if short == 31 else {20: False, 21: True}.get(short)
        if short == 31 and not open_ended:
            raise Unreadable("a number of no length")
        if major in (0, 1):
            return size if major == 0 else -1 - size
        if major in (2, 3):
            content = self._pieces(depth) if open_ended else self._take(size)
            return content.decode("utf-8", "replace") if major == 3 else content
        if major == 4:
            return self._array(None if open_ended else size, depth)
        if major == 5:
            return self._map(None if open_ended else size, depth)
        return self.value(depth + 1)  # A tag, and what it is said of.

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise Unreadable("ends too early")
        self._at += size
        return self._data[self._at - size : self._at]

    def _argument(self, short: int) -> int:
        if short < 24:
            return short
        if short > 27:
            raise Unreadable("a length of no size")
        return int.from_bytes(self._take(1 << (short - 24)), "big")

    def _pieces(self, depth: int) -> bytes:
        """Join the pieces of a string; a piece of text is taken back to its bytes."""
        pieces = []
        while (piece := self.value(depth + 1)) is not _BREAK:
            pieces.append(piece.encode() if isinstance(piece, str) else piece)
        if not all(isinstance(piece, bytes) for piece in pieces):
            raise Unreadable("a string of other values")
        return b"".join(pieces)

    def _array(self, count: int | None, depth: int) -> list[Any]:
        items: list[Any] = []
        while count is None or len(items) < count:
            item = self.value(depth + 1)
            if item is _BREAK:
                break
            items.append(item)
        return items

    def _map(self, count: int | None, depth: int) -> dict[str | int, Any]:
        entries: dict[str | int, Any] = {}
        done = 0
        while count is None or done < count:
            key = self.value(depth + 1)
            if key is _BREAK:
                break
            value = self.value(depth + 1)
            if isinstance(key, str | int):
                entries[key] = value
            done += 1
        return entries
