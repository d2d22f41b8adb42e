"""Stage 1: list the files, decode them, write a noise residual for every image."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from noisescope_core.compression import Compression
from noisescope_core.config import Config
from noisescope_core.decode import read_header, refused_size
from noisescope_core.errors import NoiseScopeError, first_line
from noisescope_core.extraction import residual_rows, too_small
from noisescope_core.reference import Header, Preparation, preparations
from noisescope_core.spark.progress import Progress
from noisescope_core.spark.session import one_task
from noisescope_core.spark.sets import tested_images
from noisescope_core.spark.tables import SCHEMAS, Run

TABLES = {"image": "residuals", "reference": "reference_residuals"}
"""Roles of a file, and the table that its residual goes to."""

_RESIDUALS = pa.schema(
    [
        ("path", pa.string()),
        ("image_id", pa.string()),
        ("bytes", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("format", pa.string()),
        ("quality", pa.int32()),
        ("quantization", pa.binary()),
        ("watermark", pa.string()),
        ("prepared", pa.string()),
        ("thumbnail", pa.binary()),
        ("sketch", pa.binary()),
        ("residual", pa.binary()),
    ]
)

_HEADERS = pa.schema(
    [
        ("path", pa.string()),
        ("image_id", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("format", pa.string()),
        ("quantization", pa.binary()),
        ("reason", pa.string()),
    ]
)


def extract(run: Run, config: Config, progress: Progress, images: str, reference: str) -> None:
    """List two folders and write `files`, `residuals` (or `headers`) and `reference_residuals`.

    `files` is the list that the run answers for: what cannot be read later is missing from
    the residuals and found out by the difference. Of a pile that is searched by shards no residual
    is stored here, only what the headers say.

    Raises
    ------
    NoiseScopeError
        If a folder cannot be listed or holds no file.
    """
    # They would say that this pile is searched as an earlier one was.
    for table in ("headers", "sample", "scans"):
        run.remove(table)
    folders = dict(zip(TABLES, (images, reference), strict=True))
    sources, readable = list_files(run, config, progress, folders)
    known = content_of(sources["reference"], config)
    with (
        ThreadPoolExecutor() as pool,
        progress.stage("extract", len(readable["image"]), "images") as stage,
    ):
        # What the reference files say of themselves takes little, and is ready when it is needed.
        headers = pool.submit(reference_headers, known, config)
        content = content_of(sources["image"], config)
        if config.route(len(readable["image"])) == "shards":
            run.write("headers", content.mapInArrow(header_reader(config), SCHEMAS["headers"]))
            stage.done(f"headers of {_amount(readable['image'])}")
        else:
            run.write("residuals", residuals(content, "image", config, {}))
            stage.done(_amount(readable["image"]))
    extract_reference(run, config, progress, known, readable["reference"], headers.result())


def extract_reference(
    run: Run,
    config: Config,
    progress: Progress,
    content: DataFrame,
    sizes: list[int],
    headers: list[Row],
) -> None:
    """Write `reference_residuals`, of images made like the tested ones where they differ.

    Parameters
    ----------
    content : `path` and `content` of the reference files
    sizes : of these, bytes
    headers : from `reference_headers`
    """
    with progress.stage("reference", len(sizes), "images") as stage:
        changed: dict[str, list[Preparation]] = {}
        if config.method == "whitened":
            changed = _preparations(run, headers, config)
        run.write("reference_residuals", residuals(content, "reference", config, changed))
        made = f", {len(changed):,} made like the test set" if changed else ""
        stage.done(_amount(sizes) + made)


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
            found = pool.map(
                lambda role: _list_files(sources[role], folders[role], config), folders
            )
            listed = [
                (role, folder, *row)
                for (role, folder), rows in zip(folders.items(), found, strict=True)
                for row in rows
            ]
        run.write_rows("files", listed)
        readable = {
            role: [r[3] for r in listed if r[0] == role and r[4] is None] for role in folders
        }
        names = {"image": "files to test", "reference": "reference files"}
        counts = [f"{len(readable[role]):,} {names[role]}" for role in folders]
        megabytes = sum(map(sum, readable.values())) / 1e6
        stage.done(f"{', '.join(counts)}, {megabytes:,.1f} MB")
    return sources, readable


def _amount(sizes: list[int]) -> str:
    return f"{len(sizes):,} files, {sum(sizes) / 1e6:,.1f} MB"


def residuals(
    content: DataFrame, role: str, config: Config, changed: Mapping[str, list[Preparation]]
) -> DataFrame:
    """Decode files (`path`, `content`) and extract: a row of `residuals` for each.

    Parameters
    ----------
    changed : what is done to reference images, by id
    """
    return content.mapInArrow(extractor(role, config, changed), SCHEMAS["residuals"])


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
    local = [one for one in locations if "://" not in one and os.path.exists(one)]
    if len(local) == len(locations):
        # A name taken as it is: brackets and stars in a folder's name are not a pattern.
        reader = reader.option("__globPaths__", "false")
        locations = tuple(f"file://{os.path.abspath(one)}" for one in locations)
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


def reference_headers(content: DataFrame, config: Config) -> list[Row]:
    """Read what the reference files say of themselves, as far as the method asks for it."""
    if config.method == "paper":
        return []
    headers = content.mapInArrow(header_reader(config), SCHEMAS["headers"]).drop("path")
    return headers.where("reason is null").distinct().collect()


def _preparations(run: Run, reference: list[Row], config: Config) -> dict[str, list[Preparation]]:
    tested = (
        tested_images(run)
        .groupBy("width", "height", "format", "quantization")
        .agg(F.countDistinct("image_id").alias("images"))
    )
    return preparations(
        {
            ((row.width, row.height), Compression(row.format, bytes(row.quantization))): row.images
            for row in tested.collect()
        },
        [
            Header(
                row.image_id,
                (row.width, row.height),
                Compression(row.format, bytes(row.quantization)),
            )
            for row in reference
        ],
        config.least_images(),
        config.least_reference(),
        config.discovery.reference,
        config.seed,
    )


def header_reader(
    config: Config,
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Make the function that turns batches of files into batches of `headers`."""
    limits = config.decode.max_pixels, config.decode.max_bytes

    def read_headers(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = []
            for path, content in zip(*batch.columns, strict=True):
                data = content.as_py()
                header, _ = read_header(data, *limits)
                row: dict[str, Any] = {
                    "path": plain_path(path.as_py()),
                    "image_id": hashlib.sha256(data).hexdigest(),
                    "width": header.width or None,
                    "height": header.height or None,
                    "reason": header.reason or too_small(header.height, header.width, config),
                }
                if header.compression is not None:
                    row["format"] = header.compression.format
                    row["quantization"] = header.compression.tables
                rows.append(row)
            yield pa.RecordBatch.from_pylist(rows, _HEADERS)

    return read_headers


def extractor(
    role: str, config: Config, changed: Mapping[str, list[Preparation]]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Make the function that turns batches of files into batches of `residuals`."""

    def extract_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        rows: list[dict[str, Any]] = []
        held = 0
        with one_task():
            for batch in batches:
                for path, content in zip(*batch.columns, strict=True):
                    for row in residual_rows(content.as_py(), config, role, changed):
                        rows.append({"path": plain_path(path.as_py()), **row})
                        held += len(row.get("residual", b""))
                        if held >= config.spark.batch_bytes:
                            yield pa.RecordBatch.from_pylist(rows, _RESIDUALS)
                            rows, held = [], 0
        if rows:
            yield pa.RecordBatch.from_pylist(rows, _RESIDUALS)

    return extract_batches
