"""What a run would do and cost: counts from the listing and some headers, rates from a trial."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.cost import JOB_SECONDS, Rates, SizeCounts, SizePlan
from noisescope_core.images import Size
from noisescope_core.lattice.tiles import VALUES
from noisescope_core.methods import method_of, plan_size
from noisescope_core.spark.session.workers import map_batches, one_task
from noisescope_core.spark.sources.source import list_source, read_listed
from noisescope_core.spark.stages.extract import extractor, header_reader
from noisescope_core.spark.tables.frames import frame
from noisescope_core.tables.schemas import SCHEMAS
from noisescope_core.whitened.detection.alignment import best_alignment, pattern_of
from noisescope_core.whitened.discovery.acceptance import shared_sets
from noisescope_core.whitened.discovery.correlations import Roles, arrange
from noisescope_core.whitened.planes.bands import BANDS, PLANES, layout
from noisescope_core.whitened.planes.products import band_correlations

HEADERS = 1000
"""Files whose headers are read: a size that one image in a hundred has is among them."""

TRIALS = 24
"""Files that are extracted, twice each, to see how long it takes."""

SIDE = 256
ROWS = 256
SEARCHED = 400
"""Of the images that the trial multiplies and searches: side in pixels, and numbers."""

_RATES = pa.schema(
    [("what", pa.string()), ("width", pa.int32()), ("height", pa.int32()), ("value", pa.float64())]
)


def plan(spark: SparkSession, config: Config, images: str, reference: str | None) -> dict[str, Any]:
    """Plan a run over two folders, without running it.

    Parameters
    ----------
    reference : folder, or None: then every size is taken to have as many as the method uses

    Returns
    -------
    dict
        `files`, `bytes`, `looked_at` (headers read), `route`, `rates`, and `sizes`, the largest
        first: fields of `noisescope_core.cost.SizePlan`.
    """
    files, size_of_file, drawn = _listed(spark, config, images, "image")
    counts = _sizes(spark, config, drawn)
    scale = files / max(1, len(drawn))
    of_reference: Counter[Size] = Counter()
    if reference is not None:
        others, _, of_others = _listed(spark, config, reference, "reference")
        share = others / max(1, len(of_others))
        looked_at = _sizes(spark, config, of_others)
        of_reference = Counter({size: round(share * count) for size, count in looked_at.items()})
    rates = _measured(spark, config, drawn[:TRIALS], list(counts))
    method = method_of(config)
    route = method.route(files, config)
    assumed = method.assumed_reference(config)
    sizes = [
        plan_size(
            SizeCounts(
                size,
                round(scale * count),
                of_reference[size] if reference is not None else assumed,
                size_of_file,
                route,
            ),
            config,
            rates,
        )
        for size, count in counts.most_common()
    ]
    known = sum(of_reference.values()) if reference is not None else assumed
    lattices = _lattices(sizes, known, config, rates) if method.lattice else None
    in_place = sum(stage.seconds for size in sizes for stage in size.stages)
    return {
        "images": images,
        "reference": reference,
        "method": config.method,
        "files": files,
        "bytes": round(files * size_of_file),
        "looked_at": len(drawn),
        "route": route,
        "rates": {
            "cores": rates.cores,
            "gflops": round(rates.flops / 1e9, 1),
            "milliseconds": {
                f"{width} x {height}": round(1e3 * value, 2)
                for (width, height), value in rates.extract.items()
            },
        },
        "seconds": round(in_place + (lattices["seconds"] if lattices else 0), 1),
        "sizes": [asdict(size) for size in sizes],
        "lattices": lattices,
    }


def _lattices(
    sizes: Sequence[SizePlan], reference: int, config: Config, rates: Rates
) -> dict[str, Any]:
    """Plan the search among images of all sizes, and the extraction of those of no other."""
    images = sum(size.images for size in sizes)
    searched, known = min(images, config.lattice.images), min(reference, config.lattice.reference)
    alone = sum(size.images * rates.extract[size.size] for size in sizes if not size.stages)
    # Every image with every other, twice, and with the reference: on the driver, by one core.
    products = 4.0 * searched * (searched + known) * VALUES / rates.flops
    return {
        "images": images,
        "searched": searched,
        "reference": known,
        "seconds": round(alone / rates.cores + products + JOB_SECONDS, 1),
    }


def _listed(
    spark: SparkSession, config: Config, location: str, role: str
) -> tuple[int, float, list[Row]]:
    """Count files and their mean bytes, and draw some: rows of `files`."""
    listing = list_source(spark, location, role, config)
    listed = listing.frame(spark).where("reason is null")
    count, size = listed.agg(F.count("*"), F.sum("bytes")).collect()[0]
    drawn = listed.orderBy(F.xxhash64("path"), "path").limit(HEADERS).collect()
    return count, (listing.bytes or size or 0) / max(1, count), drawn


def _content(spark: SparkSession, config: Config, files: Sequence[Row]) -> DataFrame:
    listed = frame(spark, (row.asDict() for row in files), SCHEMAS["files"])
    return read_listed(spark, listed, config, whole=False)


def _sizes(spark: SparkSession, config: Config, files: Sequence[Row]) -> Counter[Size]:
    content = _content(spark, config, files)
    headers = map_batches(content, header_reader(config), SCHEMAS["headers"])
    rows = headers.where("reason is null").groupBy("width", "height").count().collect()
    return Counter({(row.width, row.height): row["count"] for row in rows})


def _measured(
    spark: SparkSession, config: Config, files: Sequence[Row], sizes: list[Size]
) -> Rates:
    """Let every core extract, multiply and search at once."""
    cores = spark.range(100_000).select(F.spark_partition_id()).distinct().count()
    content = _content(spark, config, files).repartition(cores)
    extract = extractor("image", config, {})

    def tried(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        rows = []
        with one_task():
            rows += _trial()
            for batch in batches:
                for k in range(len(batch)):
                    file = batch.slice(k, 1)
                    (row,) = extract(iter([file]))
                    start = time.perf_counter()
                    list(extract(iter([file])))
                    if row["residual"][0].is_valid:
                        size = row["width"][0].as_py(), row["height"][0].as_py()
                        rows.append(("extract", *size, time.perf_counter() - start))
        named = [dict(zip(_RATES.names, row, strict=True)) for row in rows]
        yield pa.RecordBatch.from_pylist(named, _RATES)

    measured: dict[tuple[str, Size], list[float]] = {}
    for row in map_batches(
        content, tried, "what string, width int, height int, value double"
    ).collect():
        measured.setdefault((row.what, (row.width, row.height)), []).append(row.value)
    values = {key: median(seconds) for key, seconds in measured.items()}
    pixel = median(
        [v / (w * h) for (what, (w, h)), v in values.items() if what == "extract"] or [1.2e-7]
    )
    return Rates(
        cores,
        {size: values.get(("extract", size), pixel * size[0] * size[1]) for size in sizes},
        values["flops", (SIDE, SIDE)],
        values["search", (SIDE, SIDE)],
        values["align", (SIDE, SIDE)],
    )


def _trial() -> list[tuple[str, int, int, float]]:
    bins = layout(SIDE, SIDE)
    rng = np.random.default_rng(0)
    features = rng.integers(-20, 20, (ROWS, len(PLANES), bins.values)).astype(np.int8)
    start = time.perf_counter()
    band_correlations(features, features, bins)
    flops = 2 * ROWS**2 * features[0].size / (time.perf_counter() - start)
    pairs = rng.standard_normal((len(BANDS), SEARCHED, SEARCHED), np.float32)
    pairs = (pairs + pairs.transpose(0, 2, 1)) * np.float32(1 / np.sqrt(2 * features[0].size))
    half, rows = SEARCHED // 2, np.arange(SEARCHED)
    start = time.perf_counter()
    searching, held_out = np.array_split(rows[half:], 2)
    shared_sets(arrange(pairs, Roles(half, searching, held_out), bins.shares()))
    search_seconds = 1e6 * (time.perf_counter() - start) / SEARCHED**2
    mean = features[0].astype(np.float32)
    pattern = pattern_of("", (SIDE, SIDE), mean, np.ones(len(BANDS)), SIDE)
    best_alignment(mean, (SIDE, SIDE), [pattern], SIDE)
    start = time.perf_counter()
    best_alignment(mean, (SIDE, SIDE), [pattern], SIDE)
    align = time.perf_counter() - start
    return [
        (what, SIDE, SIDE, value)
        for what, value in (("flops", flops), ("search", search_seconds), ("align", align))
    ]
