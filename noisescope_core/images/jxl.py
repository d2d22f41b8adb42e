"""JPEG XL files: their size from the header, their pixels as they are stored (`imagecodecs`).

The decoder gets the stream whose header was read here, without the boxes around it: what one
reader takes for the size is what the other decodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noisescope_core.images.formats import SEVERAL, not_supported
from noisescope_core.images.records.spans import Span, Unreadable, boxes

SIGNATURE = b"\xff\x0a"
"""How a stream begins (ISO/IEC 18181-1)."""

HEADER_BYTES = 64
"""Of a stream, more than what is read of its header takes."""

_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
"""Width to height, by the number under which the header has it."""


@dataclass(frozen=True)
class Stream:
    """The picture of a file.

    Attributes
    ----------
    data : the stream without boxes
    size : width and height in pixels as it is stored, before it is turned
    depth : bits of a sample, at most 16 of a picture that is read
    from_jpeg : whether the file says how to make the JPEG again that it was made from
    reason : why it is not read, None if it is
    """

    data: bytes
    size: tuple[int, int] = (0, 0)
    depth: int = 8
    from_jpeg: bool = False
    reason: str | None = None


def stream_of(data: bytes) -> Stream:
    """Find the stream of a file and read its header.

    Raises
    ------
    Unreadable
        If there is none, it is in pieces out of order, or its header is broken.
    """
    from_jpeg = False
    if not data.startswith(SIGNATURE):
        # No record is read, so there is nothing to bound but what is taken once.
        inside = list(boxes(Span.of(data, 2 * len(data))))
        from_jpeg = any(box.kind == b"jbrd" for box in inside)
        whole = [box.body for box in inside if box.kind == b"jxlc"]
        parts = [box.body for box in inside if box.kind == b"jxlp"]
        if [part.number(0, 4) & 0x7FFFFFFF for part in parts] != list(range(len(parts))):
            raise Unreadable("pieces out of order")
        pieces = whole or [part.part(4) for part in parts]
        if len(whole) > 1 or (whole and parts):
            raise Unreadable("several streams")
        data = b"".join(piece.head(piece.size) for piece in pieces)
    if not data.startswith(SIGNATURE):
        raise Unreadable("no stream")
    bits = _Bits(data[len(SIGNATURE) : HEADER_BYTES])
    size = _size(bits)
    depth, reason = _samples(bits)
    return Stream(data, size, depth, from_jpeg, reason)


class _Bits:
    """Bits of a stream, the lowest of a byte first."""

    def __init__(self, data: bytes) -> None:
        self._bits, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise Unreadable("ends too early")
        value = self._bits & ((1 << count) - 1)
        self._bits, self._left = self._bits >> count, self._left - count
        return value

    def one_of(self, *ways: tuple[int, int]) -> int:
        """Take a number that is stored in one of four ways: a base, and bits added to it."""
        base, count = ways[self.take(2)]
        return base + self.take(count)


def _samples(bits: _Bits) -> tuple[int, str | None]:
    """Read how many bits samples have, and why the picture is not read."""
    if bits.take(1):  # All is as usual: 8 bits, neither alpha nor animation.
        return 8, None
    if bits.take(1):
        bits.take(3)  # How it is turned.
        if bits.take(1):
            _size(bits)  # At which it is shown.
        if bits.take(1):
            return 8, not_supported("JPEG XL with a preview")
        if bits.take(1):
            return 8, SEVERAL
    if bits.take(1):
        depth = bits.one_of((32, 0), (16, 0), (24, 0), (1, 6))
        return depth, not_supported(f"JPEG XL of {depth}-bit floats")
    depth = bits.one_of((8, 0), (10, 0), (12, 0), (1, 6))
    if depth > 16:
        return depth, not_supported(f"JPEG XL of {depth}-bit integers")
    bits.take(1)
    others = bits.one_of((0, 0), (1, 0), (2, 4), (1, 12))
    # Alpha of 8 bits, or of the first kind, which is alpha.
    alpha = others == 1 and (bits.take(1) or not bits.one_of((0, 0), (1, 0), (2, 4), (18, 6)))
    if others and not alpha:
        return depth, not_supported("JPEG XL of more than colours and alpha")
    return depth, None


def _size(bits: _Bits) -> tuple[int, int]:
    eights = bits.take(1)
    height = _side(bits, eights)
    if ratio := _RATIOS.get(bits.take(3)):
        return height * ratio[0] // ratio[1], height
    return _side(bits, eights), height


def _side(bits: _Bits, eights: int) -> int:
    if eights:
        return 8 * (1 + bits.take(5))
    return bits.one_of((1, 9), (1, 13), (1, 18), (1, 30))


def jpeg_of(data: bytes) -> bytes:
    """Make the JPEG again from which a file was made, byte by byte.

    Raises
    ------
    Exception
        Whatever a broken file makes the decoder raise.
    """
    import imagecodecs

    return bytes(imagecodecs.jpegxl_decode_jpeg(data, numthreads=1))


def pixels_of(stream: Stream) -> NDArray[np.uint8]:
    """Decode a stream, (H, W) or (H, W, 3) uint8, RGB; more or fewer bits become 8.

    Raises
    ------
    Exception
        Whatever a broken file makes the decoder raise.
    """
    import imagecodecs

    pixels = np.asarray(imagecodecs.jpegxl_decode(stream.data, keeporientation=True, numthreads=1))
    if stream.depth < 8:
        pixels = pixels.astype(np.uint16) * 255 // (2**stream.depth - 1)
    return (pixels >> max(0, stream.depth - 8)).astype(np.uint8)
