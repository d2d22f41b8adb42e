"""The bytes of one image, wherever it is: a file, a member of an archive, a row of a table."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow import fs

from noisescope_core.archives import MARK, content, is_zip, members, split_member, unpacked
from noisescope_core.config import Config
from noisescope_core.errors import UsageError, first_line
from noisescope_core.images.decode import refused_size
from noisescope_core.tables.opened import OpenedFile, UnreadError
from noisescope_core.tables.results import Results
from noisescope_core.tables.storage import content as content_of_file
from noisescope_core.tables.storage import file_system

READ_AHEAD = 256 << 10
"""Bytes of an archive asked for at once; chosen, as for its listing."""


def listed_as(run: Results, path: str) -> dict[str, Any] | None:
    """Find the row of `files` of a tested file; None if the run did not list it."""
    where = (ds.field("role") == "image") & (ds.field("path") == path)
    rows: list[dict[str, Any]] = run.table("files", where=where).to_pylist()
    return rows[0] if rows else None


def read_original(path: str, listed: dict[str, Any] | None, config: Config) -> bytes:
    """Read one image.

    Parameters
    ----------
    path : of a file, ``ARCHIVE!/MEMBER``, or the name of a table's row
    listed : from `listed_as`

    Raises
    ------
    UsageError
        If there is no such file, or it cannot be read.
    """
    try:
        if listed is not None and listed["key"] is not None:
            return _of_table(path, listed, config)
        if member := split_member(path):
            return _of_archive(*member, config)
        return _of_file(path, config)
    except (OSError, ValueError, UnreadError) as error:
        raise UsageError(f"{path}: cannot be read ({first_line(error)})") from error


def _of_file(path: str, config: Config) -> bytes:
    system, within = file_system(path)
    info = system.get_file_info(within)
    if info.type != fs.FileType.File:
        raise UsageError(f"{path}: no such file")
    if why := refused_size(info.size, config.decode.max_bytes):
        raise UsageError(f"{path}: {why}")
    return content_of_file(system, within)


def _of_archive(archive: str, name: str, config: Config) -> bytes:
    with io.BufferedReader(OpenedFile(archive, config.source.attempts), READ_AHEAD) as file:
        for member in members(file, archive):
            if member.name != name:
                continue
            if why := member.reason or refused_size(member.bytes, config.decode.max_bytes):
                raise UsageError(f"{archive}{MARK}{name}: {why}")
            file.seek(0)
            return content(unpacked(file, member.packing), member, is_zip(archive))
    raise UsageError(f"{archive}: has no member {name}")


def _of_table(path: str, listed: dict[str, Any], config: Config) -> bytes:
    key, folder = listed["key"], listed["folder"]
    # Without a name of its own a row is named by its file and its number there.
    place, _, number = path.rpartition(MARK) if not key else (folder, "", "")
    system, within = file_system(place)
    table = ds.dataset(_parquet_files(system, within), filesystem=system, format="parquet")
    image = {"image": _image_field(table.schema, config)}
    if key:
        rows = table.to_table(
            columns=image, filter=_field(table.schema, key).cast("string") == path
        )
    else:
        rows = table.scanner(columns=image).take(pa.array([int(number)]))
    if rows.num_rows != 1:
        raise UsageError(f"{path}: {folder} has {rows.num_rows:,} rows of this name by now")
    return bytes(rows["image"][0].as_py() or b"")


def _image_field(schema: pa.Schema, config: Config) -> ds.Expression:
    for field in schema:
        if config.source.column in (None, field.name):
            if pa.types.is_binary(field.type):
                return ds.field(field.name)
            if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
                return ds.field(field.name, "bytes")
    raise UsageError("source.column: the table has no column of bytes by now")


def _field(schema: pa.Schema, name: str) -> ds.Expression:
    """Name a column, or the field of a struct, as `spark.sources.tables` does."""
    return ds.field(name) if name in schema.names else ds.field(*name.rsplit(".", 1))


def _parquet_files(system: fs.FileSystem, within: str) -> list[str]:
    if system.get_file_info(within).type == fs.FileType.File:
        return [within]
    entries = system.get_file_info(fs.FileSelector(within, recursive=True))
    return [entry.path for entry in entries if entry.path.endswith(".parquet")]
