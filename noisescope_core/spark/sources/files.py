"""Files of a folder or a store, as Spark lists and reads them, and what it passes over."""

from __future__ import annotations

import os
from collections.abc import Collection
from urllib.parse import unquote

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.utils import is_remote

from noisescope_core.app.folders import spelt, walk, why_unread
from noisescope_core.app.places import is_uri, is_volume, plain_path
from noisescope_core.config import Config
from noisescope_core.errors import NoiseScopeError, first_line
from noisescope_core.images.decode import refused_size
from noisescope_core.tables.rows import FileRow

LOCAL_AS_IT_IS = {
    # A local file is read whatever a checksum beside it says, which may be of one that it was.
    "fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
    "fs.file.impl.disable.cache": "true",
}
"""Options with which Hadoop reads the bytes of local files as they are."""

TAKEN_AS_IT_IS = LOCAL_AS_IT_IS | {"__globPaths__": "false"}
"""Options with which Spark reads what was named: brackets and stars are not a pattern."""


def spark_files(spark: SparkSession, *locations: str) -> DataFrame:
    """List folders or files; Spark keeps the list, so reading them does not list them again."""
    reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
    # A file that vanishes or cannot be read costs itself alone, and is read again by itself.
    reader = reader.option("ignoreMissingFiles", "true").option("ignoreCorruptFiles", "true")
    reader = reader.options(**TAKEN_AS_IT_IS)
    places = [plain_path(place) for place in locations]
    try:
        return reader.load([path for place in places for path in _to_load(place)])
    except Exception as error:
        raise NoiseScopeError(f"{places[0]}: cannot be listed ({first_line(error)})") from error


def on_this_disk(location: str) -> bool:
    """Whether a location is a folder or file of this machine's disk, which executors share.

    Over Spark Connect a path is the server's, and a volume of Databricks is the platform's.
    """
    return (
        not is_uri(location)
        and not is_volume(location)
        and not is_remote()
        and os.path.exists(location)
    )


def uri_of(place: str) -> str:
    """Write a path so that Spark looks for it on this machine's disk, if that is where it is."""
    return f"file://{os.path.abspath(place)}" if on_this_disk(place) else place


def _to_load(place: str) -> list[str]:
    """Name what Spark is to list: of a folder that it would lose its way in, the files."""
    walked = walk(place) if on_this_disk(place) and os.path.isdir(place) else None
    if walked is None or walked.is_tree or not walked.files:
        return [uri_of(place)]
    return [f"file://{path}" for path in walked.files if spelt(path) == path]


def files_listed(source: DataFrame, location: str, role: str, config: Config) -> list[FileRow]:
    """List what `spark_files` found, and what lies there besides: rows of `files`.

    Raises
    ------
    NoiseScopeError
        If there is no file.
    """
    limit = config.decode.max_bytes
    listed: dict[str, FileRow] = {}
    for path, size in source.select("path", "length").collect():
        plain = plain_path(path)
        listed[plain] = FileRow(role, location, plain, size, refused_size(size, limit))
    local = on_this_disk(location)
    if local and os.path.isdir(location):
        listed |= _unlisted(location, role, listed, limit)
    # Spark plans no task for an empty file, so it is in the file index but not in the rows.
    for uri in source.inputFiles():
        path = plain_path(unquote(uri))
        if not local or os.path.exists(path):
            listed.setdefault(path, FileRow(role, location, path, 0, refused_size(0, limit)))
    if not listed:
        raise NoiseScopeError(f"{location}: holds no file")
    return [listed[path] for path in sorted(listed)]


def _unlisted(location: str, role: str, listed: Collection[str], limit: int) -> dict[str, FileRow]:
    """Find what lies in a local folder and is not among the files that Spark reads."""
    walked = walk(location)
    found: list[FileRow] = [
        FileRow(role, location, spelt(path), 0, reason) for path, reason in walked.closed.items()
    ]
    for path in walked.files:
        if path in listed:
            continue
        size = os.path.getsize(path) if os.path.isfile(path) else 0
        reason = why_unread(path) or (None if size else refused_size(0, limit))
        row = FileRow(role, location, spelt(path), size, reason)
        if reason is None:
            # Spark passes over the name, which says nothing of the file.
            reason = refused_size(size, limit)
            row = FileRow(role, location, path, size, reason, path, 0, size, "")
        found.append(row)
    return {row.path: row for row in found}


def without_scheme(column: str) -> Column:
    """Write a column of URIs of this machine's disk and of volumes as paths."""
    return F.regexp_replace(column, "^(file:/+|dbfs:/+(?=Volumes/))", "/")


def content_of(source: DataFrame, config: Config) -> DataFrame:
    """Read the files that are not too large: rows of `CONTENT`."""
    nothing = F.lit(None).cast("string")
    return source.where(F.col("length") <= config.decode.max_bytes).select(
        "path", "content", nothing.alias("status"), nothing.alias("reason")
    )
