"""Stage 1: list the files of a folder or a store, and read them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.errors import NoiseScopeError, first_line
from noisescope_core.images.decode import refused_size
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.rows import FileRow


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
    local = [place for place in locations if "://" not in place and os.path.exists(place)]
    if len(local) == len(locations):
        # A name taken as it is: brackets and stars in a folder's name are not a pattern.
        reader = reader.option("__globPaths__", "false")
        locations = tuple(f"file://{os.path.abspath(place)}" for place in locations)
    try:
        return reader.load(list(locations))
    except Exception as error:
        raise NoiseScopeError(f"{locations[0]}: cannot be listed ({first_line(error)})") from error


def _list_files(
    source: DataFrame, location: str, config: Config
) -> list[tuple[str, int, str | None]]:
    rows = source.select("path", "length").collect()
    limit = config.decode.max_bytes
    listed: dict[str, tuple[int, str | None]] = {}
    for path, size in rows:
        listed[plain_path(path)] = (size, refused_size(size, limit))
    # Spark plans no task for an empty file, so it is in the file index but not in the rows.
    for uri in source.inputFiles():
        listed.setdefault(plain_path(unquote(uri)), (0, refused_size(0, limit)))
    if os.path.isdir(location):
        for folder, _, names in os.walk(os.path.abspath(location)):
            for name in names:
                reason = "not listed by Spark: hidden name (. or _), broken link or no permission"
                # A name that is not UTF-8 is spelt as Java spells it.
                path = os.fsencode(os.path.join(folder, name)).decode("utf-8", "replace")
                listed.setdefault(path, (0, reason))
    if not listed:
        raise NoiseScopeError(f"{location}: holds no file")
    return [(path, *listed[path]) for path in sorted(listed)]


def plain_path(path: str) -> str:
    """Write the path of a local file without its scheme."""
    return "/" + path.removeprefix("file:").lstrip("/") if path.startswith("file:") else path


def content_of(source: DataFrame, config: Config) -> DataFrame:
    """Take `path` and `content` of the files that are not too large."""
    return source.where(F.col("length") <= config.decode.max_bytes).select("path", "content")
