"""The images of all sizes in the tables of a run, as the lattice search takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.extraction import OF_LATTICES, RESIZED, is_resized, lattice_image
from noisescope_core.lattice.background import Background, views_of
from noisescope_core.lattice.directions import leading_directions, moment_of, standing_out
from noisescope_core.lattice.tiles import VALUES, stacked
from noisescope_core.method import LatticeFeature, LatticePile, Note
from noisescope_core.spark.session.workers import map_batches, one_task, shipped
from noisescope_core.spark.stages.sets import tested_table
from noisescope_core.spark.tables.cells import added, cells_of
from noisescope_core.spark.tables.run import FEW, Run
from noisescope_core.tables.schemas import SCHEMAS, types_in

PARTS = 12
"""Parts in which second moments travel and are added up, 1.6 MB each."""

_MOMENT = "part int, total binary"
_STANDING = "image_id string, standing float"

Batches = Iterator[pa.RecordBatch]


def lattice_pile(run: Run, config: Config, note: Note) -> LatticePile:
    """Collect the tiles of tested and reference images, 3 KB each, as many as are searched."""
    limits, table = config.lattice, tested_table(run)
    reference = _reference(run, config)
    if run.count(table) <= limits.images:
        collected = _first_by_id(run, table, limits.images)
        return LatticePile(collected, reference, len(collected))
    tested = _first_of_each(run.read(table))
    images = tested.count()
    if images > limits.images and len(reference) >= config.discovery.least_reference:
        note(f"lattices: {limits.images:,} of {images:,} images stand out most")
        tested = _standing_out(run, tested, images, reference, limits.images)
    return LatticePile(_collected(tested.limit(limits.images)), reference, images)


def small_pile(run: Run, config: Config) -> tuple[list[LatticeFeature], list[LatticeFeature]]:
    """Collect reference images, and tested ones by id, each as many as are searched."""
    tested = _first_by_id(run, tested_table(run), config.lattice.images)
    return _reference(run, config), tested


def _reference(run: Run, config: Config) -> list[LatticeFeature]:
    return _first_by_id(run, "reference_residuals", config.lattice.reference)


def _first_by_id(run: Run, table: str, most: int) -> list[LatticeFeature]:
    """Collect the first images by id, each pixels once: of few past Spark's JVM."""
    if run.count(table) > FEW:
        return _collected(_first_of_each(run.read(table)).orderBy("image_id").limit(most))
    stored = types_in(SCHEMAS[table])
    columns = [name for name in (*OF_LATTICES, "pixels_id") if name in stored]
    rows = [row for row in run.rows(table, *columns) if row["tile"] and not is_resized(row)]
    firsts: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: (row["image_id"], row.get("prepared") or "")):
        firsts.setdefault(row["pixels_id"] or row["image_id"], row)
    return [lattice_image(row) for row in islice(firsts.values(), most)]


def _first_of_each(stored: DataFrame) -> DataFrame:
    """One row of the same pixels: of a reference image the one that is not resized."""
    known = stored.where(F.col("tile").isNotNull())
    first_by = [F.col("image_id")]
    if "prepared" in stored.columns:
        prepared = F.coalesce("prepared", F.lit(""))
        known = known.where(~prepared.startswith(RESIZED))
        first_by.append(prepared)
    columns = [name for name in OF_LATTICES if name in stored.columns]
    first = F.min_by(F.struct(*columns), F.struct(*first_by)).alias("first")
    return known.groupBy(F.coalesce("pixels_id", "image_id")).agg(first).select("first.*")


def _collected(stored: DataFrame) -> list[LatticeFeature]:
    return [lattice_image(row.asDict()) for row in stored.collect()]


def _standing_out(
    run: Run, tested: DataFrame, images: int, reference: Sequence[LatticeFeature], most: int
) -> DataFrame:
    """Keep the images that stand out most along the leading directions of all."""
    photographs = stacked([image.tile for image in reference])
    # No tested image is looked at yet, only their sums.
    views = views_of(photographs[:0], photographs)
    tiles = tested.select("image_id", "tile")
    parts = map_batches(tiles, _adder(shipped(run.spark, views.whole)), _MOMENT)
    rows = parts.groupBy("part").applyInArrow(added, _MOMENT).collect()
    rows.sort(key=lambda row: row.part)
    moment = np.concatenate([np.frombuffer(row.total) for row in rows]).reshape(VALUES, VALUES)
    directions = leading_directions(moment, images, views)
    look = _looker(shipped(run.spark, (views.whole, directions)))
    standing = map_batches(tiles, look, _STANDING)
    chosen = standing.orderBy(F.desc("standing"), "image_id").limit(most).select("image_id")
    return tested.join(F.broadcast(chosen), "image_id")


def _units(background: Background, batch: pa.RecordBatch) -> NDArray[np.float32]:
    # Tiles at other sizes may follow that of the image as it is.
    cells = [cell.view(np.float16)[:VALUES] for cell in cells_of(batch["tile"])]
    return background.units(stacked(cells))


def _adder(ready: Callable[[], Background]) -> Callable[[Batches], Batches]:
    def add(batches: Batches) -> Batches:
        background = ready()
        total = np.zeros((VALUES, VALUES))
        with one_task():
            for batch in batches:
                if len(batch):
                    total += moment_of(_units(background, batch))
        cells = [part.tobytes() for part in np.split(total, PARTS)]
        yield pa.record_batch(
            [pa.array(range(PARTS), pa.int32()), pa.array(cells, pa.binary())], ["part", "total"]
        )

    return add


def _looker(
    ready: Callable[[], tuple[Background, NDArray[np.float32]]],
) -> Callable[[Batches], Batches]:
    def look(batches: Batches) -> Batches:
        background, directions = ready()
        with one_task():
            for batch in batches:
                if len(batch):
                    standing = standing_out(_units(background, batch), directions)
                    yield pa.record_batch(
                        [batch["image_id"], pa.array(standing)], ["image_id", "standing"]
                    )

    return look
