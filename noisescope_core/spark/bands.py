"""Stage 3 of the whitened method: correlations of all pairs by band, as a blocked join.

Tested images and reference images are one list here, tested images first: the reference is what
discovery holds them against. A size with more images than discovery takes is sampled; ids are
hashes, so the first of them are a random draw that does not depend on names or order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.errors import NoiseScopeError
from noisescope_core.overlay import TILE
from noisescope_core.spark.progress import Progress
from noisescope_core.spark.session import one_task
from noisescope_core.spark.sets import ImageSet, image_sets
from noisescope_core.spark.tables import SCHEMAS, Run, cells_of
from noisescope_core.whitening import BANDS, PLANES, STEPS, Layout, band_correlations, compared

_PRODUCTS = "block_pair long, compared long, first array<long>, second array<long>, bands binary"

_PART = ("compared", "first", "second", "bands")

BLOCK_ROWS = 1024
"""Images in a block at most: what Spark Connect hands over in one message ends at 128 MiB."""


@dataclass(frozen=True)
class Searched:
    """What discovery looks at of one size: `images` tested ones, then `reference` ones.

    `bins` is the layout of the part of them that is compared, `covered` (rows, columns) says which
    tiles of it are left out.
    """

    tested: ImageSet
    known: ImageSet
    images: int
    reference: int
    bins: Layout

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Tiles that an overlay covers."""
        if self.tested.covered is not None:
            return self.tested.covered
        return np.zeros([side // TILE for side in self.bins.shape], bool)

    def beneath(self, covered: NDArray[np.bool_]) -> Searched:
        """The same images without these tiles."""
        return replace(
            self,
            tested=replace(self.tested, covered=covered),
            known=replace(self.known, covered=covered),
        )

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.tested.width, self.tested.height

    @property
    def rows(self) -> int:
        """Images in the list."""
        return self.images + self.reference

    @property
    def pairs(self) -> int:
        """Pairs of different images in the list."""
        return self.rows * (self.rows - 1) // 2


def searched_sizes(run: Run, config: Config) -> list[Searched]:
    """List what is searched of every size that has enough images."""
    tested, known = image_sets(run, "residuals"), image_sets(run, "reference_residuals")
    if run.finished("sample"):
        drawn = {row.image_id for row in run.read("sample").select("image_id").collect()}
        tested = {size: images.only(drawn) for size, images in tested.items()}
    rows = run.read("calibration").where("reason is null").select("width", "height").collect()
    return [
        Searched(
            tested[size], known[size],
            min(len(tested[size]), config.discovery.images),
            min(len(known[size]), config.discovery.reference),
            compared(size[1], size[0], config.whitening.side),
        )
        for size in sorted((row.width, row.height) for row in rows)
    ]  # fmt: skip


def correlate_bands(run: Run, config: Config, progress: Progress) -> None:
    """Read `residuals` and `calibration`, write `band_correlations`: a row per pair of blocks."""
    sizes = searched_sizes(run, config)
    pairs = sum(searched.pairs for searched in sizes)
    with progress.stage("correlate", pairs, "pairs") as stage:
        stage.note(f"{pairs:,} pairs of {sum(searched.rows for searched in sizes):,} images")
        table = run.spark.createDataFrame([], SCHEMAS["band_correlations"])
        for searched in sizes:
            width, height = searched.size
            found = _block_products(run, config, searched).select(
                F.lit(width).alias("width"), F.lit(height).alias("height"), "*"
            )
            table = table.unionByName(found)
        run.write("band_correlations", table)
        stage.done(f"{pairs:,} pairs in {len(BANDS)} bands of {len(PLANES)} planes")


def gathered(run: Run, config: Config, searched: Searched) -> NDArray[np.float32]:
    """Put the correlations of one size together on the driver.

    They are those of `band_correlations`, or beneath an overlay computed anew.

    Returns
    -------
    (33, n, n) float32, symmetric; n is bounded by `discovery.images` and `discovery.reference`.

    Raises
    ------
    NoiseScopeError
        If the table lacks a pair.
    """
    width, height = searched.size
    if searched.covered.any():
        table = _block_products(run, config, searched)
        parts = table.select(*_PART).toArrow().to_batches()
    else:
        table = run.read("band_correlations").where(
            (F.col("width") == width) & (F.col("height") == height)
        )
        parts = _one_by_one(table)
    whole = np.empty((len(BANDS), searched.rows, searched.rows), np.float32)
    scale = _scale(searched.bins)
    compared = 0
    for batch in parts:
        for count, first, second, cell in zip(
            *batch.columns[:3], cells_of(batch["bands"]), strict=True
        ):
            # A block's rows are consecutive.
            rows, columns = (
                slice(numbers.values[0].as_py(), numbers.values[-1].as_py() + 1)
                for numbers in (first, second)
            )
            part = whole[:, rows, columns]
            np.divide(cell.view(np.float16).reshape(part.shape), scale, out=part, dtype=np.float32)
            whole[:, columns, rows] = part.transpose(0, 2, 1)
            compared += count.as_py()
    if compared != searched.pairs:
        raise NoiseScopeError(
            f"{run.path('band_correlations')}: {compared:,} of {searched.pairs:,} pairs of "
            f"{width} x {height}; remove it and run correlate again"
        )
    return whole


def _one_by_one(table: DataFrame) -> Iterator[pa.RecordBatch]:
    """Fetch pairs of blocks: all at once are too much for the heap beside a driver's executors."""
    for row in table.select("block_pair").distinct().collect():
        one = table.where(F.col("block_pair") == row.block_pair)
        yield from one.select(*_PART).toArrow().to_batches()


def _scale(bins: Layout) -> np.float32:
    # Unrelated images then correlate by about 1, where half precision is at its best.
    return np.float32(np.sqrt(bins.values))


def _block_products(run: Run, config: Config, searched: Searched) -> DataFrame:
    cell = len(PLANES) * searched.bins.values
    # Features are used where they lie; the paper's residuals take as much again as spectra.
    by_bytes = -(-searched.rows * cell // (2 * config.spark.block_bytes))
    blocks = max(by_bytes, -(-searched.rows // BLOCK_ROWS))
    block_pairs = [(i, j) for i in range(blocks) for j in range(i, blocks)]
    rows = np.arange(searched.rows)
    block = rows * blocks // searched.rows
    pairs_of = [[k for k, pair in enumerate(block_pairs) if b in pair] for b in range(blocks)]

    def of(images: ImageSet, first: int, count: int) -> DataFrame:
        part = slice(first, first + count)
        numbers = {
            "number": pa.array(range(count), pa.int64()),
            "row": pa.array(rows[part]),
            "block": pa.array(block[part]),
            "block_pairs": pa.array([pairs_of[b] for b in block[part]], pa.list_(pa.int64())),
        }
        return images.residuals(run, pa.table(numbers))

    joined = of(searched.tested, 0, searched.images).unionByName(
        of(searched.known, searched.images, searched.reference)
    )
    return (
        joined.withColumn("block_pair", F.explode("block_pairs"))
        .select("block_pair", "block", "row", "residual")
        .groupBy("block_pair")
        .applyInArrow(_multiplier(block_pairs, searched.bins), _PRODUCTS)
    )


def _multiplier(block_pairs: list[tuple[int, int]], bins: Layout) -> Callable[[pa.Table], pa.Table]:
    def multiply_blocks(table: pa.Table) -> pa.Table:
        pair = table["block_pair"][0].as_py()
        left, right = block_pairs[pair]
        with one_task():
            first, a = _features(table, left, bins)
            second, b = (first, a) if left == right else _features(table, right, bins)
            products = band_correlations(a, b, bins)
            products *= _scale(bins) / STEPS**2
        n, m = len(first), len(second)
        cells = products.astype(np.float16).tobytes()
        return pa.table(
            {
                "block_pair": [pair],
                "compared": [n * (n - 1) // 2 if left == right else n * m],
                "first": [first],
                "second": [second],
                "bands": pa.array([cells], pa.binary()),
            }
        )

    return multiply_blocks


def _features(
    table: pa.Table, block: int, bins: Layout
) -> tuple[NDArray[np.int64], list[NDArray[np.int8]]]:
    """Find the rows of a block in order, and their features where they lie."""
    cells = cells_of(table["residual"])
    rows, blocks = table["row"].to_numpy(), table["block"].to_numpy()
    order = np.argsort(rows)
    order = order[blocks[order] == block]
    shape = (len(PLANES), bins.values)
    return rows[order], [cells[i].view(np.int8).reshape(shape) for i in order]
