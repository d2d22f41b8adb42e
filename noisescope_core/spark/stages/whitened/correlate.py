"""Stage 3 of the whitened method: correlations of all pairs by band, blocked by frequency.

A correlation is a sum over bands, and each band is kept apart: so features are cut along their
values, not along the list of images. A task multiplies one part of all images, and every byte
travels once, whatever the number of images.

Tested images and reference images are one list here, tested images first: the reference is what
discovery holds them against. A size with more images than discovery takes is sampled; ids are
hashes, so the first of them are a random draw that does not depend on names or order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.errors import NoiseScopeError
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.session.workers import one_task
from noisescope_core.spark.stages.sets import ImageSet, image_sets
from noisescope_core.spark.tables.cells import cells_of
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.schemas import SCHEMAS
from noisescope_core.whitened.overlay import TILE
from noisescope_core.whitened.planes.bands import BANDS, PLANES, Layout, compared, parts_of
from noisescope_core.whitened.planes.products import products_below
from noisescope_core.whitened.planes.whitening import STORED_STEPS

_PRODUCTS = "band long, values long, first long, compared long, products binary"


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
    rows = run.rows("calibration", "width", "height", "reason")
    return [
        Searched(
            tested[size], known[size],
            min(len(tested[size]), config.discovery.images),
            min(len(known[size]), config.discovery.reference),
            compared(size[1], size[0], config.whitening.side),
        )
        for size in sorted((row["width"], row["height"]) for row in rows if row["reason"] is None)
    ]  # fmt: skip


def correlate_bands(run: Run, config: Config, progress: Progress) -> None:
    """Read `residuals` and `calibration`, write `band_correlations`: by band, in blocks of rows."""
    sizes = searched_sizes(run, config)
    pairs = sum(searched.pairs for searched in sizes)
    with progress.stage("correlate", pairs, "pairs", shuffled=True) as stage:
        stage.note(f"{pairs:,} pairs of {sum(searched.rows for searched in sizes):,} images")
        table = run.spark.createDataFrame([], SCHEMAS["band_correlations"])
        for searched in sizes:
            width, height = searched.size
            found = _products(run, config, searched).select(
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
    parts: Iterable[pa.RecordBatch]
    if searched.covered.any():
        parts = _products(run, config, searched).toArrow().to_batches()
    else:
        of_size = (ds.field("width") == width) & (ds.field("height") == height)
        parts = run.batches("band_correlations", of_size)
    whole = np.zeros((len(BANDS), searched.rows, searched.rows), np.float32)
    found = 0
    for batch in parts:
        columns = (batch[name].to_pylist() for name in ("band", "values", "first", "compared"))
        cells = cells_of(batch["products"])
        for band, values, first, pairs, cell in zip(*columns, cells, strict=True):
            _add(whole[band], first, cell.view(np.float16))
            found += values * pairs
    if found != searched.pairs * len(PLANES) * searched.bins.values:
        share = found / (searched.pairs * len(PLANES) * searched.bins.values)
        raise NoiseScopeError(
            f"{run.path('band_correlations')}: {share:.1%} of the correlations of "
            f"{width} x {height}; remove it and run correlate again"
        )
    whole /= _scale(searched.bins)
    return whole


def _add(matrix: NDArray[np.float32], first: int, cell: NDArray[np.float16]) -> None:
    """Add rows from `first` on, with all columns up to their last, to a symmetric matrix."""
    # (last - first) * last values.
    last = round((first + (first**2 + 4 * len(cell)) ** 0.5) / 2)
    part = cell.reshape(last - first, last).astype(np.float32)
    matrix[first:last, :last] += part
    matrix[:first, first:last] += part[:, :first].T


def _scale(bins: Layout) -> np.float32:
    # Unrelated images then correlate by about 1, where half precision is at its best.
    return np.float32(np.sqrt(bins.values))


def _products(run: Run, config: Config, searched: Searched) -> DataFrame:
    parts = parts_of(searched.bins, max(1, config.spark.block_bytes // searched.rows))

    def of(images: ImageSet, first: int, count: int) -> DataFrame:
        numbers = {
            "number": pa.array(range(count), pa.int64()),
            "row": pa.array(range(first, first + count), pa.int64()),
        }
        return images.residuals(run, pa.table(numbers))

    joined = of(searched.tested, 0, searched.images).unionByName(
        of(searched.known, searched.images, searched.reference)
    )
    cut = [
        F.struct(
            F.lit(number).alias("part"),
            F.substring("residual", slices[0][1].start + 1, _length(slices)).alias("values"),
        )
        for number, slices in enumerate(parts)
    ]
    return (
        joined.select("row", F.explode(F.array(*cut)).alias("cut"))
        .select("row", "cut.part", "cut.values")
        .groupBy("part")
        .applyInArrow(_multiplier(parts, searched.bins), _PRODUCTS)
    )


def _length(slices: list[tuple[int, slice]]) -> int:
    return int(slices[-1][1].stop - slices[0][1].start)


def _multiplier(
    parts: list[list[tuple[int, slice]]], bins: Layout
) -> Callable[[pa.Table], pa.Table]:
    scale = _scale(bins) / np.float32(STORED_STEPS**2 * bins.values)

    def multiply(table: pa.Table) -> pa.Table:
        slices = parts[table["part"][0].as_py()]
        start = slices[0][1].start
        cells = cells_of(table["values"])
        features = [cells[i].view(np.int8) for i in np.argsort(table["row"].to_numpy())]
        within = [slice(cut.start - start, cut.stop - start) for _, cut in slices]
        rows = []
        with one_task():
            for number, first, products in products_below(features, within):
                count = len(products)
                compared = count * first + count * (count - 1) // 2
                band, cut = slices[number]
                rows.append(
                    {
                        "band": band,
                        "values": cut.stop - cut.start,
                        "first": first,
                        "compared": compared,
                        "products": (products * scale).astype(np.float16).tobytes(),
                    }
                )
        return pa.Table.from_pylist(rows)

    return multiply
