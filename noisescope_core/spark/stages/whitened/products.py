"""Correlations of all pairs by band as a blocked join: features are cut by frequency.

A correlation is a sum over bands, and each band is kept apart: so features are cut along their
values, not along the list of images. A task multiplies one part of all images, and every byte
travels once, whatever the number of images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.spark.session.workers import one_task
from noisescope_core.spark.stages.sets import ImageSet
from noisescope_core.spark.tables.cells import cells_of
from noisescope_core.spark.tables.run import Run
from noisescope_core.whitened.planes.bands import BANDS, PLANES, Layout, parts_of
from noisescope_core.whitened.planes.pair_correlations import (
    Piece,
    add_products,
    half_scale,
    part_products,
)

_PRODUCTS = "band long, values long, first long, compared long, products binary"


def pair_products(
    run: Run, config: Config, tested: ImageSet, reference: ImageSet, bins: Layout
) -> DataFrame:
    """Multiply the features of all images of two sets, tested ones first, part by part.

    Returns
    -------
    DataFrame
        A row for each block of images and piece of a band, as `PairProducts` has it.
    """
    images = len(tested) + len(reference)
    parts = parts_of(bins, max(1, config.spark.block_bytes // images))
    joined = _numbered(run, tested, 0).unionByName(_numbered(run, reference, len(tested)))
    cut = [
        F.struct(
            F.lit(number).alias("part"),
            F.substring("residual", pieces[0][1].start + 1, _length(pieces)).alias("values"),
        )
        for number, pieces in enumerate(parts)
    ]
    return (
        joined.select("row", F.explode(F.array(*cut)).alias("cut"))
        .select("row", "cut.part", "cut.values")
        .groupBy("part")
        .applyInArrow(_multiplier(parts, bins), _PRODUCTS)
    )


def _numbered(run: Run, images: ImageSet, first: int) -> DataFrame:
    numbers = {
        "number": pa.array(range(len(images)), pa.int64()),
        "row": pa.array(range(first, first + len(images)), pa.int64()),
    }
    return images.residuals(run, pa.table(numbers))


def _length(pieces: list[Piece]) -> int:
    return int(pieces[-1][1].stop - pieces[0][1].start)


def _multiplier(parts: list[list[Piece]], bins: Layout) -> Callable[[pa.Table], pa.Table]:
    def multiply(table: pa.Table) -> pa.Table:
        pieces = parts[table["part"][0].as_py()]
        cells = cells_of(table["values"])
        features = [cells[i].view(np.int8) for i in np.argsort(table["row"].to_numpy())]
        rows: list[dict[str, Any]] = []
        with one_task():
            for block in part_products(features, pieces, bins):
                rows.append({**vars(block), "products": block.products.tobytes()})
        return pa.Table.from_pylist(rows)

    return multiply


def gathered(batches: Iterable[pa.RecordBatch], images: int, bins: Layout) -> NDArray[np.float32]:
    """Put the products of all pairs of one size together on the driver.

    Parameters
    ----------
    batches : rows of `pair_products`
    images : number of images, tested and reference; bounded by the configuration

    Returns
    -------
    (33, n, n) float32, symmetric

    Raises
    ------
    ValueError
        If a pair is missing.
    """
    correlations = np.zeros((len(BANDS), images, images), np.float32)
    multiplied = 0
    for batch in batches:
        columns = (batch[name].to_pylist() for name in ("band", "values", "first", "compared"))
        cells = cells_of(batch["products"])
        for band, values, first, pairs, cell in zip(*columns, cells, strict=True):
            add_products(correlations[band], first, cell.view(np.float16))
            multiplied += values * pairs
    wanted = images * (images - 1) // 2 * len(PLANES) * bins.values
    if multiplied != wanted:
        raise ValueError(f"{multiplied / wanted:.1%} of the correlations")
    correlations /= half_scale(bins)
    return correlations
