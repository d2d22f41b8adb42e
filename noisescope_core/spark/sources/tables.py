"""Images in the rows of a Parquet or Delta table, as platforms and Hugging Face keep them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, DataType, StringType, StructType

from noisescope_core.app.places import VOLUMES
from noisescope_core.archives import MARK
from noisescope_core.config import Config
from noisescope_core.errors import NoiseScopeError, UsageError, first_line
from noisescope_core.images.decode import refused_size
from noisescope_core.spark.sources.files import TAKEN_AS_IT_IS, spark_files, uri_of

ENDING = ".parquet"
"""How names of a table's files end."""

LOG = "_delta_log"
"""Folder that makes a folder of Parquet files a Delta table."""

DELTA, PARQUET = "delta", "parquet"
"""Formats of tables, as Spark names them."""

KEYS = ("path", "__key__")
"""Columns that name a row, and after them the `path` of Hugging Face's struct."""

HOLDS_NONE = "row without bytes: the column of images is null there"


@dataclass(frozen=True)
class Table:
    """A table of images.

    Attributes
    ----------
    format : `DELTA` or `PARQUET`
    rows : of the table
    image : its column of bytes
    named : column of what names a row to what it is; `` numbers the rows of each file
    """

    location: str
    format: str
    rows: DataFrame
    image: Column
    named: Mapping[str, Column]


def format_of(spark: SparkSession, location: str) -> str:
    """Tell whether a folder of Parquet files is a Delta table, as far as Spark can see."""
    try:
        spark_files(spark, f"{location}/{LOG}")
    except NoiseScopeError:  # Whatever a store says of a folder that is not there.
        return PARQUET
    return DELTA


def table_rows(spark: SparkSession, location: str, format: str) -> DataFrame:
    """Read a table whose location is taken as it is written; raises what Spark does."""
    if format == DELTA:
        return spark.read.format(DELTA).load(location)
    reader = spark.read.options(**TAKEN_AS_IT_IS).option("recursiveFileLookup", "true")
    return reader.option("pathGlobFilter", f"*{ENDING}").parquet(uri_of(location))


def open_table(spark: SparkSession, location: str, format: str, config: Config) -> Table:
    """Open a table and find the columns that hold images and their names.

    Raises
    ------
    UsageError
        If it has no such column, or several, or not those that `source` names.
    NoiseScopeError
        If it cannot be read.
    """
    try:
        rows = table_rows(spark, location, format)
        schema = rows.schema
    except Exception as error:
        raise NoiseScopeError(f"{location}: cannot be read ({first_line(error)})") from error
    kinds = {field.name: field.dataType for field in schema.fields}
    name = _image_column(location, kinds, config)
    image = F.col(f"`{name}`")
    of_struct = isinstance(kinds[name], StructType)
    named = _names(location, kinds, config)
    if of_struct and not config.source.key:
        named[f"{name}.path"] = image["path"]
    if not config.source.key and format == PARQUET:
        # Files of a Delta table are rewritten, and Spark numbers no rows of them.
        named[""] = F.concat_ws(MARK, _plain(F.col("_metadata.file_path")), "_metadata.row_index")
    if not named:
        raise UsageError(
            f"{location}: no column names its rows; source.key takes one of {_list(kinds)}"
        )
    return Table(location, format, rows, image["bytes"] if of_struct else image, named)


def _plain(uri: Column) -> Column:
    """Write the URI of a file as its path, as `places.plain_path` does."""
    path = F.url_decode(F.replace(uri, F.lit("+"), F.lit("%2B")))
    return F.regexp_replace(F.regexp_replace(path, "^file:/+", "/"), f"^dbfs:/*{VOLUMES}", VOLUMES)


def _image_column(location: str, kinds: Mapping[str, DataType], config: Config) -> str:
    holding = [name for name, kind in kinds.items() if _holds_images(kind)]
    if (wanted := config.source.column) is not None:
        if wanted not in holding:
            raise UsageError(
                f"source.column: {location} has no column {wanted} of bytes, but {_list(holding)}"
            )
        return wanted
    if len(holding) != 1:
        found = f"several columns of bytes: {_list(holding)}" if holding else "no column of bytes"
        advice = "; name one with source.column" if holding else f", but {_list(kinds)}"
        raise UsageError(f"{location}: {found}{advice}")
    return holding[0]


def _holds_images(kind: DataType) -> bool:
    if isinstance(kind, StructType):
        fields = {field.name: field.dataType for field in kind.fields}
        return isinstance(fields.get("bytes"), BinaryType)
    return isinstance(kind, BinaryType)


def _names(location: str, kinds: Mapping[str, DataType], config: Config) -> dict[str, Column]:
    """List the columns that may name a row, in the order in which they are taken."""
    if (wanted := config.source.key) is not None:
        if wanted not in kinds:
            raise UsageError(f"source.key: {location} has no column {wanted}, but {_list(kinds)}")
        return {wanted: F.col(f"`{wanted}`").cast("string")}
    return {key: F.col(key) for key in KEYS if isinstance(kinds.get(key), StringType)}


def _list(names: Mapping[str, DataType] | list[str]) -> str:
    return ", ".join(names) or "none"


def chosen_key(table: Table) -> str:
    """Choose what names the rows: the first column in which no name is missing or comes twice.

    Raises
    ------
    UsageError
        If there is none, saying of each what is wrong.
    """
    counts = [F.count("*").alias("rows")]
    for number, name in enumerate(table.named.values()):
        counts.append(F.count(name).alias(f"named_{number}"))
        counts.append(F.count_distinct(name).alias(f"names_{number}"))
    columns = {key: value for key, value in table.named.items() if key}
    counted = table.rows.agg(*counts[: 1 + 2 * len(columns)]).collect()[0]
    wrong = []
    for number, key in enumerate(columns):
        named, names = counted[f"named_{number}"], counted[f"names_{number}"]
        if counted["rows"] == named == names:
            return key
        missing = counted["rows"] - named
        wrong.append(
            f"{key} ({missing:,} rows without one)"
            if missing
            else f"{key} ({names:,} names of {named:,} rows)"
        )
    if "" in table.named:
        return ""
    raise UsageError(
        f"{table.location}: rows need names of their own, which are missing or come twice in "
        f"{', '.join(wrong)}; name another column with source.key"
    )


def rows_listed(table: Table, key: str, role: str) -> DataFrame:
    """List the rows of a table: rows of `files`. No image is read for it."""
    named = table.rows.select(table.named[key].alias("path"))
    columns = {"role": role, "folder": table.location, "key": key, "packing": table.format}
    return named.withColumns({name: F.lit(value) for name, value in columns.items()})


def bytes_in(table: Table) -> int:
    """Add up the bytes of a table's files, of all its columns."""
    files = table.rows.select("_metadata.file_path", "_metadata.file_size").distinct()
    return int(files.agg(F.sum("file_size")).collect()[0][0] or 0)


def row_content(table: Table, key: str, config: Config) -> DataFrame:
    """Read the rows of a table: rows of `CONTENT`."""
    limit = config.decode.max_bytes
    size = F.octet_length(table.image)
    fits = size.between(1, limit)
    limited = f" bytes, limit {limit:,} (decode.max_bytes)"
    too_large = F.concat(F.lit("image of "), size.cast("string"), F.lit(limited))
    reason = F.when(size.isNull(), HOLDS_NONE).when(size == 0, refused_size(0, limit))
    return table.rows.select(
        table.named[key].alias("path"),
        F.when(fits, table.image).alias("content"),
        F.when(~fits | size.isNull(), "quarantined").alias("status"),
        F.when(~fits | size.isNull(), F.coalesce(reason, too_large)).alias("reason"),
    )
