"""Correlations of all pairs by band as a blocked join: features are cut by frequency.

A correlation is a sum over bands, and each band is kept apart: so features are cut along their
values, not along the list of images. A task multiplies one part of all images, and every byte
travels once, whatever the number of images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.images import Size
from noisescope_core.spark.session.workers import one_task
from noisescope_core.spark.stages.sets import ImageSet, stored_together, without_overlay
from noisescope_core.spark.tables.cells import cells_of
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.schemas import SCHEMAS, arrow_schema
from noisescope_core.whitened.planes.bands import BANDS, PLANES, Layout, compared, parts_of
from noisescope_core.whitened.planes.pair_correlations import (
    Piece,
    add_products,
    half_scale,
    part_products,
)

_PRODUCTS = SCHEMAS["band_correlations"]


def pair_products(
    run: Run,
    config: Config,
    piles: Sequence[tuple[ImageSet, ImageSet]],
    covered: NDArray[np.bool_] | None = None,
) -> DataFrame:
    """Multiply the features of all images of each size, tested ones first, part by part.

    Parameters
    ----------
    piles : tested and reference images of a size each
    covered : (rows, columns) bool or None
        Tiles that are taken out of every image, of one size.

    Returns
    -------
    DataFrame
        Columns of `band_correlations`: a row for each block of images and piece of a band, as
        `PairProducts` has it.
    """
    side = config.whitening.side
    parts = {
        tested.size: parts_of(
            compared(tested.height, tested.width, side),
            max(1, config.spark.block_bytes // (len(tested) + len(reference))),
        )
        for tested, reference in piles
    }
    cuts = run.spark.createDataFrame(
        [
            (*size, part, pieces[0][1].start + 1, pieces[-1][1].stop - pieces[0][1].start)
            for size, of_size in parts.items()
            for part, pieces in enumerate(of_size)
        ],
        "width int, height int, part int, start int, length int",
    )
    stored = stored_together(run, piles).select("width", "height", "row", "residual")
    if covered is not None:
        stored = without_overlay(stored, covered)
    return (
        stored.join(F.broadcast(cuts), ["width", "height"])
        .select(
            "width",
            "height",
            "part",
            "row",
            F.expr("substring(residual, start, length)").alias("values"),
        )
        .groupBy("width", "height", "part")
        .applyInArrow(_multiplier(parts, side), _PRODUCTS)
    )


def _multiplier(
    parts: Mapping[Size, list[list[Piece]]], side: int
) -> Callable[[pa.Table], pa.Table]:
    schema = arrow_schema(_PRODUCTS)

    def multiply(table: pa.Table) -> pa.Table:
        width, height, part = (table[name][0].as_py() for name in ("width", "height", "part"))
        cells = cells_of(table["values"])
        features = [cells[i].view(np.int8) for i in np.argsort(table["row"].to_numpy())]
        with one_task():
            blocks = part_products(
                features, parts[width, height][part], compared(height, width, side)
            )
            rows: list[dict[str, Any]] = [
                {
                    "width": width,
                    "height": height,
                    **vars(block),
                    "products": block.products.tobytes(),
                }
                for block in blocks
            ]
        return pa.Table.from_pylist(rows, schema)

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
