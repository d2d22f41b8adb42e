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
from noisescope_core.spark.session import one_task
from noisescope_core.spark.tables import SCHEMAS, Run

_SCORED = pa.schema(
    [
        ("score", pa.float64()),
        ("threshold", pa.float64()),
        ("confidence", pa.float64()),
        ("fingerprint_id", pa.string()),
    ]
)


def score(run: Run, config: Config, progress: Progress) -> None:
    """Read `residuals` and `fingerprints`, write `scores` and `verdicts`.

    The fingerprints travel to the executors inside the function that uses them: Spark ships a
    large closure as a broadcast, classic and Connect alike.
    """
    found = run.read("fingerprints").where("flagged").collect()
    found.sort(key=lambda row: row.fingerprint_id)
    by_size: dict[Size, list[Any]] = {}
    for row in found:
        by_size.setdefault((row.width, row.height), []).append(row)
    matching = F.lit(False)
    for width, height in by_size:
        matching |= (F.col("width") == width) & (F.col("height") == height)
    images, reference = (
        run.read(table)
        .where((F.col("status") == "scored") & matching)
        .select(F.lit(role).alias("role"), "path", "image_id", "width", "height", "residual")
        for role, table in TABLES.items()
    )
    residuals = images.unionByName(reference)
    paper = config.method == "paper"
    test = _pce_test(by_size) if paper else match_test(by_size, config.whitening.side)
    with progress.stage("score", residuals.count(), "images") as stage:
        run.write("scores", residuals.mapInArrow(_scorer(test), SCHEMAS["scores"]))
        _write_verdicts(run, config)
        stage.done(f"generators' fingerprints: {len(found)}")


def _scorer(test: Test) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def score_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
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
                for k, field in enumerate(_SCORED):
                    values = pa.array([row[k] for row in rows], field.type)
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
        return float(value[0]), None, None, ids[row[0]]

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
    status = (
        F.when(F.col("status").isNull(), "quarantined")
        .when((F.col("status") == "scored") & F.col("undecided").isNotNull(), "unscored")
        .otherwise(F.col("status"))
    )
    unread = F.when(
        F.col("image_id").isNull(),
        F.coalesce(
            "unread", F.lit("could not be read: no permission, or gone since it was listed")
        ),
    )
    is_scored = F.col("status") == "scored"
    fake = F.coalesce(F.col("score") > F.col("threshold"), F.lit(False))
    verdicts = (
        listed.join(images, "path", "left")
        .join(F.broadcast(sizes), ["width", "height"], "left")
        .join(
            scores.where("role = 'image'").select(
                "path", "score", "threshold", "confidence", "fingerprint_id"
            ),
            "path",
            "left",
        )
        .withColumn("reason", F.coalesce("reason", unread, "undecided"))
        .withColumn("status", status)
        .withColumn("threshold", F.when(is_scored, F.coalesce("threshold", "calibrated")))
        .withColumn("is_fake", F.when(is_scored, fake))
        .withColumn("fingerprint_id", F.when(F.col("is_fake"), F.col("fingerprint_id")))
        .orderBy("path")
    )
    run.write("verdicts", verdicts)
