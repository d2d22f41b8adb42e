"""PNG files brought down to what their pixels need."""

from __future__ import annotations

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
"""How a PNG begins (PNG specification, section 5.2)."""

_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))


def pixels_alone(data: bytes) -> tuple[bytes, int]:
    """Leave out of a PNG what says nothing of the stored pixels, and write the end where it lacks.

    Text, profiles and the frames of an animation are chunks that a reader may leave out. Readers
    refuse the whole file for a large one, or for a wrong checksum in one.

    Parameters
    ----------
    data : content of the file, or its beginning

    Returns
    -------
    data : the chunks without which there are no pixels
    frames : number of images, 1 where it is no animation
    """
    kept, frames, place = [SIGNATURE], 1, len(SIGNATURE)
    while place + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"IEND":
            break
        if kind == b"acTL" and size == 8 and place + 16 <= len(data):
            frames = max(1, struct.unpack_from(">I", data, place + 8)[0])
        # The first letter is a capital in the names of critical chunks (section 5.4).
        if kind[:1].isupper():
            kept.append(data[place : place + size + 12])
        place += size + 12
    return b"".join(kept) + _END, frames
