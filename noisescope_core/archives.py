"""Members of tar and zip archives: listed with the place of their bytes, and read from there.

An archive is listed once. What is then known of a member is enough to read it, so that many readers
may share an archive, each reading a part of it from beginning to end.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, cast

MARK = "!/"
"""What stands between the name of an archive and that of a member."""

STREAMS: dict[str, Callable[[IO[bytes]], Any]] = {
    "gz": lambda file: gzip.GzipFile(fileobj=file),
    "bz2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
}
"""Ways in which a tar is packed whole, by the end of its name: it is read from its beginning."""

TAR_ENDINGS = {".tar": "", ".tgz": "gz"} | {f".tar.{packing}": packing for packing in STREAMS}
"""How names of tars end, and how these are packed."""

DEFLATED = "deflate"
"""Packing of a single member, as in most zips."""

_ZIP_PACKING = {zipfile.ZIP_STORED: "", zipfile.ZIP_DEFLATED: DEFLATED}

ENCRYPTED = 0x1
"""Bit of a zip member's flags (APPNOTE 4.4.4)."""

LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Signature and lengths of name and extra field before a member's bytes (APPNOTE 4.3.7)."""

BLOCK = 512
"""Bytes in whose multiples a tar is written (POSIX ustar)."""

LINK = "link within an archive: it is not followed"

MOST_OF_HEADER = 1 << 20
"""Bytes of a tar's header beyond which it is taken for damage; chosen: names and records are read
whole, and a packed one may be of any length."""

_BROKEN = (
    tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, ValueError, zlib.error, lzma.LZMAError,
)  # fmt: skip


@dataclass(frozen=True)
class Member:
    """A file in an archive, or what is wrong with one, or with the archive (`name` is empty then).

    Attributes
    ----------
    name : as the archive has it; of several of one name the second has ``#2`` behind it
    bytes : of the file, unpacked
    offset : where its bytes begin: in a tar, unpacked; in a zip its local header
    stored : bytes that it takes there
    packing : a key of `STREAMS` of the whole tar, `DEFLATED`, or empty
    reason : why it is not read, or None
    """

    name: str
    bytes: int = 0
    offset: int = 0
    stored: int = 0
    packing: str = ""
    reason: str | None = None


def is_archive(path: str) -> bool:
    """Whether a file is taken for an archive, by its name.

    Examples
    --------
    >>> is_archive("shards/00001.TAR"), is_archive("tar.png")
    (True, False)
    """
    return path.lower().endswith((".zip", *TAR_ENDINGS))


def split_member(path: str) -> tuple[str, str] | None:
    """Take the path of a member apart, into its archive's and its name; None of other files.

    Examples
    --------
    >>> split_member("shards/1.tar!/a!/b.png"), split_member("a!/b.png")
    (('shards/1.tar', 'a!/b.png'), None)
    """
    for mark in re.finditer(re.escape(MARK), path):
        if is_archive(path[: mark.start()]):
            return path[: mark.start()], path[mark.end() :]
    return None


def is_zip(path: str) -> bool:
    """Whether an archive is a zip; else it is a tar."""
    return path.lower().endswith(".zip")


def members(file: IO[bytes], path: str) -> Iterator[Member]:
    """List an archive in the order of its bytes; folders are left out. No archive raises.

    Parameters
    ----------
    file : opened for reading, with `seek`
    path : its name, whose end says what it is
    """
    names: Counter[str] = Counter()
    listed = 0
    try:
        file.seek(0)
        for member in _zip_members(file) if is_zip(path) else _tar_members(file, path):
            names[member.name] += 1
            again = names[member.name]
            name = f"{member.name}#{again}" if again > 1 else member.name
            listed += 1
            yield Member(name, *list(vars(member).values())[1:])
    except _BROKEN as error:
        after = f" after {listed:,} members" if listed else ""
        why = str(error).strip() or type(error).__name__
        yield Member("", reason=f"archive that is damaged or cut off{after} ({why})")


def _tar_members(file: IO[bytes], path: str) -> Iterator[Member]:
    packing = next(
        packing for ending, packing in TAR_ENDINGS.items() if path.lower().endswith(ending)
    )
    unpacked = STREAMS[packing](file) if packing else file
    end = 0
    with tarfile.open(fileobj=cast("IO[bytes]", _Headers(unpacked)), mode="r:") as tar:
        while (entry := tar.next()) is not None:
            # Otherwise it keeps what it has listed.
            tar.members = []  # type: ignore[attr-defined]
            end = entry.offset_data
            if entry.issparse() or not (entry.isfile() or entry.isdir()):
                reason = LINK if entry.issym() or entry.islnk() else "not a plain file of a tar"
                yield Member(_spelt(entry.name), reason=reason)
            elif entry.isfile():
                end += -(-entry.size // BLOCK) * BLOCK
                name = _spelt(entry.name)
                yield Member(name, entry.size, entry.offset_data, entry.size, packing)
    # It takes what is no header for the end.
    unpacked.seek(end)
    if unpacked.read(BLOCK).strip(b"\0"):
        raise tarfile.ReadError("no header where one should be")


class _Headers:
    """A tar of which nothing but headers is read, for `tarfile`."""

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self._read = file.seek, file.tell, file.read

    def read(self, size: int) -> bytes:
        """Read so many bytes, unless they are too many for a header."""
        if size > MOST_OF_HEADER:
            raise tarfile.ReadError(f"header of {size:,} bytes")
        return self._read(size)


def _zip_members(file: IO[bytes]) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        for entry in sorted(archive.infolist(), key=lambda entry: entry.header_offset):
            if entry.is_dir():
                continue
            packing, reason = _ZIP_PACKING.get(entry.compress_type), None
            if entry.flag_bits & ENCRYPTED:
                reason = "encrypted in its archive"
            elif packing is None:
                reason = f"packed by method {entry.compress_type} of zip, which is not read"
            yield Member(
                _spelt(entry.filename),
                entry.file_size,
                entry.header_offset,
                entry.compress_size,
                packing or "",
                reason,
            )


def _spelt(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def unpacked(file: IO[bytes], packing: str) -> IO[bytes]:
    """Open an archive in which `Member.offset` counts: a tar that is packed whole is unpacked.

    Parameters
    ----------
    packing : of the members that will be read
    """
    opened: IO[bytes] = STREAMS[packing](file) if packing in STREAMS else file
    return opened


def content(file: IO[bytes], member: Member, in_zip: bool) -> bytes:
    """Read a member; those of a tar that is packed whole are read in their order.

    Parameters
    ----------
    file : from `unpacked`
    in_zip : whether the archive is a zip

    Raises
    ------
    ValueError
        If the bytes are not there or cannot be unpacked, with what is wrong.
    """
    try:
        file.seek(member.offset)
        if in_zip:
            signature, name, extra = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
            if signature != b"PK\3\4":
                raise ValueError("no member where its archive says that one is")
            file.seek(name + extra, io.SEEK_CUR)
        data = file.read(member.stored)
    except (struct.error, *_BROKEN) as error:
        raise ValueError(f"damaged or cut off in its archive ({error})") from error
    if len(data) < member.stored:
        raise ValueError("cut off in its archive")
    if member.packing != DEFLATED:
        return data
    try:
        # One byte more than it says shows a member that is larger, and no more is unpacked.
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, member.bytes + 1)
    except zlib.error as error:
        raise ValueError("damaged in its archive") from error
    if len(data) != member.bytes:
        raise ValueError("damaged in its archive: not as long as it says")
    return data
