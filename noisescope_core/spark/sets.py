"""The images and the reference set of each size, as the stages after extraction see them.

Images of different size do not correlate, so everything is done size by size. Exact copies
count once: the first path of an image stands for it. Images are numbered in the order of their
ids, so that neither file names nor partitions can change a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from noisescope_core.spark.tables import Run


@dataclass(frozen=True)
class ImageSet:
    """Distinct images of one size and role, sorted by id.

    Attributes
    ----------
    ids : image ids; their positions are the numbers that the stages use
    paths : the file that stands for each
    """

    role: str
    width: int
    height: int
    ids: Sequence[str]
    paths: Sequence[str]

    def __len__(self) -> int:
        return len(self.ids)

    def residuals(self, run: Run, numbers: pa.Table) -> DataFrame:
        """Join this set's residuals with what is known of them by number.

        Parameters
        ----------
        numbers : pa.Table
            Column `number` and any others, none of them called `path` or `residual`.

        Returns
        -------
        DataFrame
            The columns of `numbers` and `residual`.
        """
        paths = pa.array(self.paths, pa.string()).take(numbers["number"].combine_chunks())
        lookup = run.spark.createDataFrame(numbers.append_column("path", paths))
        pixels = run.read("residuals").where(
            (F.col("role") == self.role)
            & (F.col("width") == self.width)
            & (F.col("height") == self.height)
        )
        joined = pixels.select("path", "residual").join(F.broadcast(lookup), "path")
        return joined.select(*numbers.column_names, "residual")


def image_sets(run: Run, role: str) -> dict[tuple[int, int], ImageSet]:
    """Gather the images that have a residual, by (width, height)."""
    first = (
        run.read("residuals")
        .where((F.col("role") == role) & (F.col("status") == "scored"))
        .groupBy("width", "height", "image_id")
        .agg(F.min("path").alias("path"))
    )
    rows = sorted(first.collect(), key=lambda row: (row.width, row.height, row.image_id))
    sets: dict[tuple[int, int], tuple[list[str], list[str]]] = {}
    for width, height, image_id, path in rows:
        ids, paths = sets.setdefault((width, height), ([], []))
        ids.append(image_id)
        paths.append(path)
    return {size: ImageSet(role, *size, *lists) for size, lists in sets.items()}
