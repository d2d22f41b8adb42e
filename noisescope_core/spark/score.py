"""Stage 5: test every image against the fingerprints found, and write the verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.correlation import Spectra, spectra
from noisescope_core.detection import detection_threshold, score_images
from noisescope_core.spark.extract import TABLES
from noisescope_core.spark.match import Scored, Size, Test, match_test
from noisescope_core.spark.progress import Progress
from noisescope_core.spark.session import one_task, shipped
from noisescope_core.spark.tables import SCHEMAS, Run

_SCORED = pa.schema(
    [
        ("score", pa.float64()),
        ("threshold", pa.float64()),
        ("confidence", pa.float64()),
        ("fingerprint_id", pa.string()),
        ("shift_x", pa.int32()),
        ("shift_y", pa.int32()),
    ]
)


def score(run: Run, config: Config, progress: Progress) -> None:
    """Read `residuals` and `fingerprints`, write `scores` and `verdicts`.

    The fingerprints travel to the executors with the function that uses them, see `shipped`.
    """
    found = run.read("fingerprints").where("flagged").collect()
    found.sort(key=lambda row: row.fingerprint_id)
    by_size: dict[Size, list[Any]] = {}
    for row in found:
        by_size.setdefault((row.width, row.height), []).append(row)
    paper = config.method == "paper"
    everywhere = not paper and config.detection.alignments == "all"
    matching = F.lit(everywhere and bool(found))
    for width, height in by_size:
        matching |= (F.col("width") == width) & (F.col("height") == height)
    images, reference = (
        run.read(table)
        .where((F.col("status") == "scored") & matching)
        .select(F.lit(role).alias("role"), "path", "image_id", "width", "height", "residual")
        for role, table in TABLES.items()
    )
    residuals = images.unionByName(reference)
    test = _pce_test(by_size) if paper else match_test(by_size, config)
    with progress.stage("score", residuals.count(), "images") as stage:
        run.write(
            "scores", residuals.mapInArrow(_scorer(shipped(run.spark, test)), SCHEMAS["scores"])
        )
        _write_verdicts(run, config)
        stage.done(f"generators' fingerprints: {len(found)}")


def _scorer(
    ready: Callable[[], Test],
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def score_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        test = ready()
        with one_task():
            for batch in batches:
                columns = [
                    batch.column(name) for name in ("image_id", "width", "height", "residual")
                ]
                rows = [
                    test(image_id.as_py(), (width.as_py(), height.as_py()), cell.as_buffer())
                    for image_id, width, height, cell in zip(*columns, strict=True)
                ]
                kept = batch.select(["role", "path", "image_id", "width", "height"])
                for field in _SCORED:
                    values = pa.array([getattr(row, field.name) for row in rows], field.type)
                    kept = kept.append_column(field.name, values)
                yield kept

    return score_batches


def _pce_test(by_size: dict[Size, list[Any]]) -> Test:
    """Make the paper's test: the largest PCE; the threshold needs all reference images first."""
    fingerprints: dict[Size, tuple[Spectra, list[str]]] = {}
    for size, rows in by_size.items():
        pixels = [np.frombuffer(row.pixels, np.float32).reshape(size[::-1]) for row in rows]
        fingerprints[size] = (
            spectra(np.stack(pixels), np.float64),
            [row.fingerprint_id for row in rows],
        )

    def test(image_id: str, size: Size, cell: pa.Buffer) -> Scored:
        known, ids = fingerprints[size]
        residual = np.frombuffer(cell, np.float32).reshape(known.shape)
        value, row = score_images(residual[None], known)
        return Scored(float(value[0]), ids[row[0]])

    return test


def _write_verdicts(run: Run, config: Config) -> None:
    scores = run.read("scores")
    reference = (
        scores.where("role = 'reference'").select("width", "height", "image_id", "score").distinct()
    )
    by_size: dict[Size, list[float]] = {}
    for row in reference.collect():
        by_size.setdefault((row.width, row.height), []).append(row.score)
    thresholds = {
        size: detection_threshold(values, config.detection.percentile)
        for size, values in by_size.items()
        if config.method == "paper"
    }
    sizes = run.spark.createDataFrame(
        [
            (row.width, row.height, row.reason, thresholds.get((row.width, row.height)))
            for row in run.read("calibration").collect()
        ],
        "width int, height int, undecided string, calibrated double",
    )
    listed = (
        run.read("files").where("role = 'image'").select("path", F.col("reason").alias("unread"))
    )
    images = run.read("residuals").drop("residual", "thumbnail")
    # A size that cannot be decided by itself may lie on another size's fingerprint.
    found = F.coalesce(F.col("score") > F.col("threshold"), F.lit(False))
    status = (
        F.when(F.col("status").isNull(), "quarantined")
        .when((F.col("status") == "scored") & F.col("undecided").isNotNull() & ~found, "unscored")
        .otherwise(F.col("status"))
    )
    unread = F.when(
        F.col("image_id").isNull(),
        F.coalesce(
            "unread", F.lit("could not be read: no permission, or gone since it was listed")
        ),
    )
    is_scored = F.col("status") == "scored"
    of_scored = ("score", "threshold", "confidence")
    of_fake = ("fingerprint_id", "shift_x", "shift_y")
    verdicts = (
        listed.join(images, "path", "left")
        .join(F.broadcast(sizes), ["width", "height"], "left")
        .join(scores.where("role = 'image'").select("path", *_SCORED.names), "path", "left")
        .withColumn("threshold", F.coalesce("threshold", "calibrated"))
        .withColumn("status", status)
        .withColumn("reason", F.coalesce("reason", unread, F.when(~is_scored, F.col("undecided"))))
        .withColumn("is_fake", F.when(is_scored, found))
        .withColumns({name: F.when(is_scored, F.col(name)) for name in of_scored})
        .withColumns({name: F.when(F.col("is_fake"), F.col(name)) for name in of_fake})
        .orderBy("path")
    )
    run.write("verdicts", verdicts)
