"""Stage 3 of the spectral route: leading directions of a whole pile, and the sample they point to.

Every round reads the stored features once. The directions travel to the executors inside the
function, each task adds up what its images contribute, and the sums are added up by direction, so
the driver gets one block whatever the number of images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from noisescope_core.app.progress import Stage
from noisescope_core.config import Config
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.session.workers import map_batches, one_task, shipped
from noisescope_core.spark.stages.sets import ImageSet, image_sets
from noisescope_core.spark.tables.cells import added, cells_of
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.rows import SampleRow
from noisescope_core.whitened.piles import directions as spectral
from noisescope_core.whitened.piles.shards import drawn
from noisescope_core.whitened.planes.bands import compared

_SUMS = "direction int, total binary"
_ENTRIES = "row long, entries binary"

Batches = Iterator[pa.RecordBatch]


def find_directions(run: Run, config: Config, progress: Progress) -> None:
    """Read `residuals`, `calibration` and `reference_residuals`, write `sample`."""
    tested, reference = image_sets(run, "residuals"), image_sets(run, "reference_residuals")
    decided = run.read("calibration").where("reason is null").select("width", "height").collect()
    sizes = sorted((row.width, row.height) for row in decided)
    images = sum(len(tested[size]) for size in sizes)
    with progress.stage("directions", images, "images") as stage:
        stage.note(
            f"{images:,} images are more than all pairs can serve: their leading directions first, "
            f"in {spectral.POWER_ROUNDS} rounds"
        )
        rows = [
            row
            for size in sizes
            for row in _sample(run, config, tested[size], reference[size], stage)
        ]
        run.write_rows("sample", rows)
        stage.done(f"{len(rows):,} of {images:,} images drawn")


def _sample(
    run: Run, config: Config, tested: ImageSet, reference: ImageSet, stage: Stage
) -> list[SampleRow]:
    """Draw the images of a size that are searched for good: rows of `sample`."""
    most, images = config.discovery.images, len(tested)
    groups: list[list[str]] = []
    if images > most:
        along = _entries(run, config, tested, reference, stage)
        groups = [
            [tested.ids[row] for row in group]
            for group in spectral.gathered(along[:images], along[images:])
        ]
        stage.note(f"{len(groups)} groups of {sum(map(len, groups)):,} images stand out")
    weights = drawn(groups, tested.ids, images, images, most)
    path_of = dict(zip(tested.ids, tested.paths, strict=True))
    size = tested.width, tested.height
    return [SampleRow(*size, name, path_of[name], weights[name]) for name in sorted(weights)]


def _entries(
    run: Run, config: Config, tested: ImageSet, reference: ImageSet, stage: Stage
) -> NDArray[np.float32]:
    """Entries of all tested images, then of all reference images, along the leading directions."""
    bins = compared(tested.height, tested.width, config.whitening.side)
    features = _features(run, tested, 0).unionByName(_features(run, reference, len(tested)))
    block = spectral.first_block(bins, config.seed)
    for number in range(spectral.POWER_ROUNDS):
        stage.note(
            f"{tested.width} x {tested.height}: round {number + 1} of {spectral.POWER_ROUNDS}"
        )
        sums = map_batches(features, _adder(shipped(run.spark, block)), _SUMS)
        rows = sums.groupBy("direction").applyInArrow(added, _SUMS).collect()
        rows.sort(key=lambda row: row.direction)
        total = np.stack([np.frombuffer(row.total) for row in rows])
        block = spectral.next_block(total, block, bins)
    along = np.zeros((len(tested) + len(reference), len(block)), np.float32)
    for row in map_batches(features, _projector(shipped(run.spark, block)), _ENTRIES).collect():
        along[row.row] = np.frombuffer(row.entries, np.float32)
    return along


def _features(run: Run, images: ImageSet, first: int) -> DataFrame:
    numbers = np.arange(len(images))
    table = pa.table({"number": pa.array(numbers), "row": pa.array(numbers + first)})
    return images.residuals(run, table).select("row", "residual")


def _stacked(batch: pa.RecordBatch) -> NDArray[np.int8]:
    return np.stack(cells_of(batch["residual"])).view(np.int8)


def _adder(ready: Callable[[], NDArray[np.float32]]) -> Callable[[Batches], Batches]:
    def add(batches: Batches) -> Batches:
        block = ready()
        total = np.zeros(block.shape)
        with one_task():
            for batch in batches:
                if len(batch):
                    total += spectral.contribution(_stacked(batch), block)
        cells = [row.tobytes() for row in total]
        yield pa.record_batch(
            [pa.array(range(len(cells)), pa.int32()), pa.array(cells, pa.binary())],
            ["direction", "total"],
        )

    return add


def _projector(ready: Callable[[], NDArray[np.float32]]) -> Callable[[Batches], Batches]:
    def project(batches: Batches) -> Batches:
        block = ready()
        with one_task():
            for batch in batches:
                if len(batch):
                    cells = [row.tobytes() for row in spectral.entries(_stacked(batch), block)]
                    yield pa.record_batch(
                        [batch["row"], pa.array(cells, pa.binary())], ["row", "entries"]
                    )

    return project
