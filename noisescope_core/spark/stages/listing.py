"""Stage 1: list the files of a folder or a store, and read them."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from noisescope_core.app.folders import HIDDEN, spelt, walk, why_unread
from noisescope_core.app.places import is_uri
from noisescope_core.config import Config
from noisescope_core.errors import NoiseScopeError, first_line
from noisescope_core.images.decode import refused_size
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.rows import FileRow

AS_IT_IS = {
    "fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
    "fs.file.impl.disable.cache": "true",
}
"""Options by which Hadoop reads a local file whatever a checksum beside it says, which may be of a
file that it was before."""


def list_files(
    run: Run, config: Config, progress: Progress, folders: Mapping[str, str]
) -> tuple[dict[str, DataFrame], dict[str, list[int]]]:
    """List folders by role and write `files`.

    Returns
    -------
    sources : by role, what `binaryFile` reads
    readable : by role, bytes of every file that can be read
    """
    with progress.stage("list") as stage:
        sources = {role: source(run.spark, folder) for role, folder in folders.items()}
        with ThreadPoolExecutor() as pool:
            by_folder = pool.map(
                lambda role: _list_files(sources[role], folders[role], config), folders
            )
            listed = [
                FileRow(role, folder, *row)
                for (role, folder), rows in zip(folders.items(), by_folder, strict=True)
                for row in rows
            ]
        run.write_rows("files", listed)
        readable = {
            role: [row.bytes or 0 for row in listed if row.role == role and row.reason is None]
            for role in folders
        }
        names = {"image": "files to test", "reference": "reference files"}
        counts = [f"{len(readable[role]):,} {names[role]}" for role in folders]
        megabytes = sum(map(sum, readable.values())) / 1e6
        stage.done(f"{', '.join(counts)}, {megabytes:,.1f} MB")
    return sources, readable


def amount(sizes: list[int]) -> str:
    """Say how many files of these sizes, in bytes, there are, and how large they are together."""
    return f"{len(sizes):,} files, {sum(sizes) / 1e6:,.1f} MB"


def read_again(run: Run, config: Config, paths: Sequence[str] | None = None) -> DataFrame:
    """Read the tested files again: `path` and `content`.

    Parameters
    ----------
    paths : as in `files`, or None for all
    """
    if paths is None:
        listed = run.read("files").where("role = 'image'").select("folder").distinct()
        paths = [row.folder for row in listed.collect()]
    return content_of(source(run.spark, *paths), config)


def source(spark: SparkSession, *locations: str) -> DataFrame:
    """List folders or files; Spark keeps the list, so reading them does not list them again."""
    reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
    # Files that vanish or cannot be read cost themselves alone; the difference tells of them.
    reader = reader.option("ignoreMissingFiles", "true").option("ignoreCorruptFiles", "true")
    # A name is taken as it is: brackets and stars in it are not a pattern.
    reader = reader.option("__globPaths__", "false")
    places = [plain_path(place) for place in locations]
    if not all(map(is_uri, places)):
        reader = reader.options(**AS_IT_IS)
    try:
        return reader.load([path for place in places for path in _to_load(place)])
    except Exception as error:
        raise NoiseScopeError(f"{places[0]}: cannot be listed ({first_line(error)})") from error


def as_pattern(location: str) -> str:
    """Write a name so that a reader which takes patterns alone takes it for itself.

    Examples
    --------
    >>> print(as_pattern("/uploads [1]"))
    /uploads \\[1\\]
    """
    return re.sub(r"([\\*?{}\[\]])", r"\\\1", location)


def _to_load(place: str) -> list[str]:
    """Name what Spark is to list: of a folder that it would lose its way in, the files."""
    if is_uri(place) or not os.path.exists(place):
        return [place]
    walked = walk(place) if os.path.isdir(place) else None
    if walked is None or walked.is_tree or not walked.files:
        return [f"file://{os.path.abspath(place)}"]
    # Hadoop passes over hidden names below a folder alone.
    hidden = [os.path.relpath(path, place).split(os.sep) for path in walked.files]
    return [
        f"file://{path}"
        for path, parts in zip(walked.files, hidden, strict=True)
        if spelt(path) == path and not any(part.startswith(HIDDEN) for part in parts)
    ]


def _list_files(
    source: DataFrame, location: str, config: Config
) -> list[tuple[str, int, str | None]]:
    rows = source.select("path", "length").collect()
    limit = config.decode.max_bytes
    listed: dict[str, tuple[int, str | None]] = {}
    for path, size in rows:
        listed[plain_path(path)] = (size, refused_size(size, limit))
    if os.path.isdir(location):
        listed |= _unlisted(location, listed)
    # Spark plans no task for an empty file, so it is in the file index but not in the rows.
    for uri in source.inputFiles():
        path = plain_path(unquote(uri))
        if is_uri(path) or os.path.exists(path):
            listed.setdefault(path, (0, refused_size(0, limit)))
    if not listed:
        raise NoiseScopeError(f"{location}: holds no file")
    return [(path, *listed[path]) for path in sorted(listed)]


def _unlisted(location: str, listed: Collection[str]) -> dict[str, tuple[int, str | None]]:
    """Find what lies in a local folder and is not among the files that Spark reads."""
    walked = walk(location)
    found: dict[str, tuple[int, str | None]] = {}
    for path in walked.files:
        if path in listed:
            continue
        size = os.path.getsize(path) if os.path.isfile(path) else None
        reason = refused_size(0, 1) if size == 0 else why_unread(path, location)
        found[spelt(path)] = (size or 0, reason)
    return found | {spelt(path): (0, reason) for path, reason in walked.closed.items()}


def plain_path(path: str) -> str:
    """Write the path of a local file without its scheme."""
    return "/" + path.removeprefix("file:").lstrip("/") if path.startswith("file:") else path


def content_of(source: DataFrame, config: Config) -> DataFrame:
    """Take `path` and `content` of the files that are not too large."""
    return source.where(F.col("length") <= config.decode.max_bytes).select("path", "content")
