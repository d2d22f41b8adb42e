"""Stage 1: list the files, decode them, write a noise residual for every image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from noisescope_core.app.places import plain_path
from noisescope_core.config import Config
from noisescope_core.extraction import (
    header_row,
    reference_preparations,
    residual_rows,
    tile_row,
)
from noisescope_core.images import Size
from noisescope_core.images.compression import Compression
from noisescope_core.images.reference import Header, Preparation
from noisescope_core.methods import method_of
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.session.workers import map_batches, one_task
from noisescope_core.spark.stages.listing import Listed, check_unreadable, list_files, write_read
from noisescope_core.spark.stages.sets import tested_images, tested_table
from noisescope_core.spark.tables.run import FEW, Run
from noisescope_core.tables.rows import RouteRow
from noisescope_core.tables.schemas import SCHEMAS, WAITING, arrow_schema

Stored = Callable[[Sequence[Row], Mapping[str, list[Preparation]]], DataFrame | None]
"""Headers of reference images, and what is done to them, to rows of `residuals` that are stored."""

TABLES = {"image": "residuals", "reference": "reference_residuals"}
"""Roles of a file, and the table that its residual goes to."""

_RESIDUALS = arrow_schema(SCHEMAS["residuals"])

_HEADERS = arrow_schema(SCHEMAS["headers"])


def extract(run: Run, config: Config, progress: Progress, images: str, reference: str) -> None:
    """List two folders, write `files`, `route`, `residuals` or `headers`, `reference_residuals`.

    `files` is the list that the run answers for: what cannot be read later is missing from
    the residuals and found out by the difference. Of a pile that is searched by shards no residual
    is stored here, only what the headers say.

    Raises
    ------
    NoiseScopeError
        If a folder cannot be listed or holds no file.
    """
    folders = dict(zip(TABLES, (images, reference), strict=True))
    listed = list_files(run, config, progress, folders)
    tested, of_reference = listed["image"], listed["reference"]
    route = method_of(config).route(tested.files, config)
    run.write_rows("route", [RouteRow(route, tested.files)])
    with (
        ThreadPoolExecutor() as pool,
        progress.stage("extract", tested.files, "images") as stage,
    ):
        # What the reference files say of themselves takes little, and is ready when it is needed.
        headers = pool.submit(reference_headers, of_reference.content, config)
        if route == "shards":
            read_headers = header_reader(config, with_tiles=True)
            write_read(
                run, config, "headers", "image", tested.content,
                lambda content: map_batches(content, read_headers, SCHEMAS["headers"]),
            )  # fmt: skip
            stage.done(f"headers and tiles of {tested}")
        else:
            write_read(
                run, config, "residuals", "image", tested.content,
                lambda content: residuals(content, "image", config, {}),
            )  # fmt: skip
            check_unreadable(run, config, "residuals", "image")
            stage.done(str(tested))
    extract_reference(run, config, progress, of_reference, headers.result())


def extract_reference(
    run: Run,
    config: Config,
    progress: Progress,
    reference: Listed,
    headers: list[Row],
    stored: Stored | None = None,
) -> None:
    """Write `reference_residuals`, of images made like the tested ones where they differ.

    Parameters
    ----------
    reference : files of the reference
    headers : from `reference_headers`
    stored : finds what need not be extracted; None has all extracted
    """
    with progress.stage("reference", reference.files, "images") as stage:
        shared = _tested_too(run, headers)
        known = [row for row in headers if row.image_id not in shared]
        changed = _preparations(run, list({row.image_id: row for row in known}.values()), config)
        write_read(
            run, config, "reference_residuals", "reference", reference.content,
            lambda content: residuals(content, "reference", config, changed, shared),
            stored(known, changed) if stored else None,
        )  # fmt: skip
        check_unreadable(run, config, "reference_residuals", "reference")
        alike = f", {len(changed):,} made like the test set" if changed else ""
        left_out = f", {len(shared):,} left out that are tested, too" if shared else ""
        stage.done(f"{reference}{alike}{left_out}")


def _tested_too(run: Run, reference: list[Row]) -> set[str]:
    """Find the reference images that are among the tested ones: ids."""
    if not reference:
        return set()
    table, ids = tested_table(run), {row.image_id for row in reference}
    if run.count(table) <= FEW:
        rows = run.rows(table, "image_id", where=ds.field("reason").is_null())
        return ids.intersection(row["image_id"] for row in rows)
    known = run.spark.createDataFrame([(name,) for name in sorted(ids)], "image_id string")
    tested = run.read(table).where("reason is null").select("image_id").distinct()
    return {row.image_id for row in tested.join(F.broadcast(known), "image_id").collect()}


def residuals(
    content: DataFrame,
    role: str,
    config: Config,
    changed: Mapping[str, list[Preparation]],
    tested: AbstractSet[str] = frozenset(),
) -> DataFrame:
    """Decode files, rows of `CONTENT`, and extract: a row of `residuals` for each.

    Parameters
    ----------
    changed : what is done to reference images, by id
    tested : ids of reference images that are tested, too
    """
    return map_batches(content, extractor(role, config, changed, tested), SCHEMAS["residuals"])


def reference_headers(content: DataFrame, config: Config) -> list[Row]:
    """Read what the reference files say of themselves, as far as the method asks for it."""
    if not method_of(config).adapts_reference:
        return []
    headers = map_batches(content, header_reader(config), SCHEMAS["headers"])
    rows = headers.where("reason is null").drop("reason", "watermark", "grey", "sketch", "tile")
    return sorted(rows.collect(), key=lambda row: (row.image_id, row.path))


def _preparations(run: Run, reference: list[Row], config: Config) -> dict[str, list[Preparation]]:
    if not method_of(config).adapts_reference:
        return {}
    in_place = tested = _counted(run, by_themselves=True)
    # A scheduled scan searches some sizes by themselves, and all images together.
    if tested_table(run) == "residuals" and run.count("residuals", ds.field("status") == WAITING):
        tested = _counted(run, by_themselves=False)
    return reference_preparations(in_place, tested, map(Header.of_row, reference), config)


def _counted(run: Run, by_themselves: bool) -> dict[tuple[Size, Compression], int]:
    """Count distinct images by size and compression.

    Parameters
    ----------
    by_themselves : whether those alone count whose sizes are searched by themselves
    """
    by, table = ("width", "height", "format", "quantization"), tested_table(run)
    # By shards every image that can be read is searched by itself.
    by_status = table == "residuals" and by_themselves
    if run.count(table) <= FEW:
        where = ds.field("status") == "scored" if by_status else ds.field("reason").is_null()
        rows = run.rows(table, *by, "image_id", "pixels_id", where=where)
        images = {(_made(row), row["pixels_id"] or row["image_id"]) for row in rows}
        return Counter(made for made, _ in images)
    tested = tested_images(run) if by_themselves else run.read(table).where("reason is null")
    count = F.countDistinct(F.coalesce("pixels_id", "image_id")).alias("images")
    return {_made(row): row["images"] for row in tested.groupBy(*by).agg(count).collect()}


def _made(row: Any) -> tuple[Size, Compression]:
    return (row["width"], row["height"]), Compression.of_row(row)


def header_reader(
    config: Config, with_tiles: bool = False
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Make the function that turns batches of files into batches of `headers`.

    Parameters
    ----------
    with_tiles : whether the pixels are decoded for what is compared of images of all sizes
    """

    def read_headers(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = [
                {
                    "path": plain_path(path.as_py()),
                    **(
                        _header(content.as_py(), config, with_tiles)
                        if content.is_valid
                        else {"reason": reason.as_py()}
                    ),
                }
                for path, content, _, reason in zip(*batch.columns, strict=True)
            ]
            yield pa.RecordBatch.from_pylist(rows, _HEADERS)

    return read_headers


def _header(data: bytes, config: Config, with_tiles: bool) -> dict[str, Any]:
    return (tile_row(data, config) if with_tiles else {}) | header_row(data, config)


def extractor(
    role: str,
    config: Config,
    changed: Mapping[str, list[Preparation]],
    tested: AbstractSet[str] = frozenset(),
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Make the function that turns batches of files into batches of `residuals`."""

    def extract_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        rows: list[dict[str, Any]] = []
        held = 0
        with one_task():
            for batch in batches:
                for path, content, status, reason in zip(*batch.columns, strict=True):
                    unread = {"status": status.as_py(), "reason": reason.as_py()}
                    extracted = (
                        residual_rows(content.as_py(), config, role, changed, tested)
                        if content.is_valid
                        else [unread]
                    )
                    for row in extracted:
                        rows.append({"path": plain_path(path.as_py()), **row})
                        held += len(row.get("residual", b""))
                        if held >= config.spark.batch_bytes:
                            yield pa.RecordBatch.from_pylist(rows, _RESIDUALS)
                            rows, held = [], 0
        if rows:
            yield pa.RecordBatch.from_pylist(rows, _RESIDUALS)

    return extract_batches
