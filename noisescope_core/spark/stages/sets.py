"""The images and the reference set of each size, as the stages after extraction see them.

Images of different size do not correlate, so everything is done size by size. Copies of the same
pixels count once, in whatever files they come: the first id stands for them, and of its paths the
first. Images are numbered in the order of their
ids, so that neither file names nor partitions can change a result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from noisescope_core.config import Route
from noisescope_core.errors import NoiseScopeError
from noisescope_core.images import Size
from noisescope_core.spark.session.workers import map_batches
from noisescope_core.spark.tables.run import FEW, Run
from noisescope_core.spark.tables.sizes import of_size
from noisescope_core.tables.schemas import CELLS
from noisescope_core.whitened.makers.overlay import TILE, without_tiles
from noisescope_core.whitened.planes.bands import layout


@dataclass(frozen=True)
class ImageSet:
    """Distinct images of one size, sorted by id.

    Attributes
    ----------
    table : the table that holds their residuals
    ids : image ids; their positions are the numbers that the stages use
    paths : the file that stands for each
    covered : (rows, columns) bool or None
        Tiles of the compared part that an overlay covers: whitened residuals come without them.
    """

    table: str
    width: int
    height: int
    ids: Sequence[str]
    paths: Sequence[str]
    covered: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size(self) -> Size:
        """(width, height), pixels."""
        return self.width, self.height

    def first(self, count: int) -> ImageSet:
        """Keep the first images by id, at most so many."""
        return replace(self, ids=self.ids[:count], paths=self.paths[:count])

    def only(self, ids: AbstractSet[str]) -> ImageSet:
        """Keep the images with these ids."""
        kept = [pair for pair in zip(self.ids, self.paths, strict=True) if pair[0] in ids]
        return replace(self, ids=[name for name, _ in kept], paths=[path for _, path in kept])

    def residuals(self, run: Run, numbers: pa.Table, column: str = "residual") -> DataFrame:
        """Join this set's residuals with what is known of them by number.

        Parameters
        ----------
        numbers : pa.Table
            Column `number` and any others, none of them called `path` or `column`.
        column : str
            What to join: `residual` or `sketch`.

        Returns
        -------
        DataFrame
            The columns of `numbers` and `column`.
        """
        paths = pa.array(self.paths, pa.string()).take(numbers["number"].combine_chunks())
        lookup = run.spark.createDataFrame(numbers.append_column("path", paths))
        pixels = run.read(self.table).where(of_size(self.size))
        joined = pixels.select("path", column).join(F.broadcast(lookup), "path")
        joined = joined.select(*numbers.column_names, column)
        if column == "residual" and self.covered is not None:
            return without_overlay(joined, self.covered)
        return joined


def stored_together(run: Run, piles: Sequence[tuple[ImageSet, ImageSet]]) -> DataFrame:
    """Read tested and reference images of any number of sizes, in one query.

    Parameters
    ----------
    piles : tested and reference images of a size each

    Returns
    -------
    DataFrame
        The columns of `residuals`; `tested`; and `row`, the number among the images of the size,
        tested ones first.
    """
    tested = [(images, 0) for images, _ in piles]
    reference = [(images, len(others)) for others, images in piles]
    return _numbered(run, "residuals", tested).unionByName(
        _numbered(run, "reference_residuals", reference)
    )


def _numbered(run: Run, table: str, sets: Sequence[tuple[ImageSet, int]]) -> DataFrame:
    rows = [
        (path, *images.size, row)
        for images, first in sets
        for row, path in enumerate(images.paths, first)
    ]
    path, *numbers = zip(*rows, strict=True)
    lookup = pa.table(
        [pa.array(path, pa.string()), *(pa.array(column, pa.int32()) for column in numbers)],
        ["path", "width", "height", "row"],
    )
    listed = run.spark.createDataFrame(lookup)
    stored = run.read(table).join(F.broadcast(listed), ["path", "width", "height"])
    return stored.withColumn("tested", F.lit(table == "residuals"))


def without_overlay(table: DataFrame, covered: NDArray[np.bool_]) -> DataFrame:
    """Take the tiles that an overlay covers, (rows, columns), out of the column `residual`."""
    return map_batches(table, _uncoverer(covered), table.schema)


def _uncoverer(
    covered: NDArray[np.bool_],
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def uncover(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        bins = layout(*(side * TILE for side in covered.shape))
        for batch in batches:
            cells = [
                without_tiles(cell.as_buffer(), covered, bins).tobytes()
                for cell in batch["residual"]
            ]
            place = batch.schema.get_field_index("residual")
            yield batch.set_column(place, "residual", pa.array(cells, pa.binary()))

    return uncover


def route_of(run: Run) -> Route:
    """Read how the run's pile is searched, as it was noted when the files were listed.

    Raises
    ------
    NoiseScopeError
        If no files were listed, or an earlier version made the run, which noted it nowhere.
    """
    if run.finished("route") is None and run.finished("files") is not None:
        raise NoiseScopeError(
            f"{run.location}: made by an earlier version, which did not note how its pile is "
            "searched; start it again with noisescope detect"
        )
    (row,) = run.rows("route")
    route: Route = row["route"]
    return route


def tested_table(run: Run) -> str:
    """Name the table that has a row of every tested file, by shards `headers`.

    Of a scheduled scan that is every image that waits: `WAITING` are those whose sizes are not
    searched by themselves, which have no residual there.
    """
    return "headers" if route_of(run) == "shards" else "residuals"


def tested_images(run: Run) -> DataFrame:
    """Read what is known of the tested images that could be decoded, without pixels.

    Of a pile searched by shards these are the images whose header could be read.
    """
    table = tested_table(run)
    where = "status = 'scored'" if table == "residuals" else "reason is null"
    return run.read(table).where(where).drop(*CELLS)


def image_sets(run: Run, table: str) -> dict[Size, ImageSet]:
    """Gather the images of a table that have a residual, by (width, height)."""
    names = "width", "height", "image_id", "path"
    scored = ds.field("status") == "scored"
    rows: Sequence[tuple[Any, ...]]
    if run.count(table, scored) <= FEW:
        rows = [
            (*(row[name] for name in names), row["pixels_id"] or row["image_id"])
            for row in run.rows(table, *names, "pixels_id", where=scored)
        ]
    else:
        pixels = F.coalesce("pixels_id", "image_id")
        rows = run.read(table).where("status = 'scored'").select(*names, pixels).collect()
    sets: dict[Size, dict[str, tuple[str, str]]] = {}
    for width, height, image_id, path, pixels in sorted(rows, reverse=True):
        sets.setdefault((width, height), {})[pixels] = image_id, path
    distinct = {size: sorted(images.values()) for size, images in sorted(sets.items())}
    return {
        size: ImageSet(table, *size, [name for name, _ in images], [path for _, path in images])
        for size, images in distinct.items()
    }
