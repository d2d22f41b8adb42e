"""One way to list images and to read them again, wherever they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from noisescope_core.app.places import plain_path
from noisescope_core.archives import is_archive, split_member
from noisescope_core.config import Config
from noisescope_core.errors import UsageError
from noisescope_core.spark.sources import tables
from noisescope_core.spark.sources.files import content_of, files_listed, spark_files
from noisescope_core.spark.sources.placed import members_listed, placed_content
from noisescope_core.spark.tables.frames import frame
from noisescope_core.tables.rows import FileRow
from noisescope_core.tables.schemas import CONTENT, SCHEMAS, columns

IMAGES = (
    ".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".heic", ".heif", ".avif",
    ".jxl", ".jp2",
)  # fmt: skip
"""How names of images end: where they lie among a table's files they would be lost."""


@dataclass(frozen=True)
class Listing:
    """What a location holds.

    Attributes
    ----------
    rows : of `files`, of what the driver listed
    others : rows of `files` that executors list, members and rows of tables; None without any
    files : what Spark reads of it, where that is all that has no place of its own
    bytes : of a table's files, else None
    """

    rows: Sequence[FileRow]
    others: DataFrame | None = None
    files: DataFrame | None = None
    bytes: int | None = None

    def frame(self, spark: SparkSession) -> DataFrame:
        """Put all rows of `files` together."""
        rows = frame(spark, self.rows, SCHEMAS["files"])
        return rows if self.others is None else rows.unionByName(self.others)


def list_source(spark: SparkSession, location: str, role: str, config: Config) -> Listing:
    """List a folder or a store, with archives in it, an archive, or a table.

    Raises
    ------
    UsageError
        If it holds tables and images, or a table without what `source` names.
    NoiseScopeError
        If it cannot be listed, or holds nothing.
    """
    place = plain_path(location)
    files = spark_files(spark, place)
    rows = files_listed(files, place, role, config)
    if any(row.path.endswith(tables.ENDING) for row in rows):
        return _table_listed(spark, place, role, rows, config)
    archives = [replace(row, reason=None) for row in rows if is_archive(row.path) and row.bytes]
    if not archives:
        return Listing(rows, files=files)
    packed = {row.path for row in archives}
    kept = [row for row in rows if row.path not in packed]
    return Listing(
        kept, members_listed(frame(spark, archives, SCHEMAS["files"]), len(archives), config)
    )


def _table_listed(
    spark: SparkSession, place: str, role: str, rows: Sequence[FileRow], config: Config
) -> Listing:
    lost = [row.path for row in rows if row.path.lower().endswith(IMAGES) or is_archive(row.path)]
    if lost:
        raise UsageError(f"{place}: holds tables and images ({lost[0]}); name the folder of either")
    table = tables.open_table(spark, place, tables.format_of(spark, place), config)
    key = tables.chosen_key(table)
    listed = tables.rows_listed(table, key, role).select(
        *(
            F.col(name)
            if name in ("role", "folder", "path", "packing", "key")
            else F.lit(None).cast("string").alias(name)
            for name in columns("files")
        )
    )
    return Listing([], listed, bytes=tables.bytes_in(table))


def files_named(spark: SparkSession, paths: Sequence[str], config: Config) -> DataFrame:
    """List some tested files and members of archives by their paths: rows of `files`."""
    of_archives = {path: member[0] for path in paths if (member := split_member(path))}
    plain = [FileRow("image", "", path) for path in paths if path not in of_archives]
    named = frame(spark, plain, SCHEMAS["files"])
    if not of_archives:
        return named
    archives = [FileRow("image", "", path) for path in sorted(set(of_archives.values()))]
    wanted = frame(spark, ({"path": path} for path in of_archives), "path string")
    of_files = frame(spark, archives, SCHEMAS["files"])
    members = members_listed(of_files, len(archives), config).where("reason is null")
    return named.unionByName(members.join(F.broadcast(wanted), "path", "left_semi"))


def read_listed(
    spark: SparkSession,
    listed: DataFrame,
    config: Config,
    files: DataFrame | None = None,
    whole: bool = True,
) -> DataFrame:
    """Read what is listed: rows of `CONTENT`.

    Parameters
    ----------
    listed : rows of `files` that have no reason
    files : from `Listing`, of the same; None lists their folders again
    whole : whether these are all files of their folders
    """
    placed = F.col("place").isNotNull()
    groups = (
        listed.groupBy("folder", "key", "packing", placed.alias("placed"))
        .agg(F.sum("stored").alias("stored"))
        .collect()
    )
    parts = []
    if stored := [group.stored for group in groups if group.placed]:
        parts.append(placed_content(listed.where(placed), sum(stored), config))
    for group in groups:
        if group.key is not None:
            table = tables.open_table(spark, group.folder, group.packing, config)
            content = tables.row_content(table, group.key, config)
            if not whole:
                content = content.join(F.broadcast(listed.select("path")), "path", "left_semi")
            parts.append(content)
    if plain := [group.folder for group in groups if group.key is None and not group.placed]:
        if files is None and whole and not stored:
            files = spark_files(spark, *plain)
        elif files is None or stored or not whole:
            paths = listed.where(~placed & F.col("key").isNull()).select("path").collect()
            files = spark_files(spark, *sorted(row.path for row in paths))
        parts.append(content_of(files, config))
    return reduce(DataFrame.unionByName, parts or [frame(spark, [], CONTENT)])
