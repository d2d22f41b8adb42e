"""Stage 4 of small piles: each size is searched whole by one task, all sizes side by side.

What a task holds is bounded (`piles.cost.fits_one_task`). So sizes may be as many as images of
them: one job searches all, and only what was found leaves the tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.extraction import placed_image
from noisescope_core.method import Feature, Found, Note
from noisescope_core.spark.session.workers import one_task
from noisescope_core.spark.stages.sets import route_of, stored_together
from noisescope_core.spark.stages.whitened.pile import StoredPile
from noisescope_core.spark.tables.cells import cells_of
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.rows import ClusterRow, FingerprintRow
from noisescope_core.tables.schemas import SCHEMAS, arrow_schema, columns
from noisescope_core.whitened.find import array_pile, find

_SEARCHED = arrow_schema(SCHEMAS["searched"])

_OF_IMAGE = (
    "width", "height", "image_id", "format", "quantization", "watermark", "sketch", "residual",
    "tested",
)  # fmt: skip
"""Columns of what a task gets; `stands_for` comes besides."""


def search_whole(
    run: Run, config: Config, piles: Sequence[StoredPile], note: Note
) -> tuple[Found, list[StoredPile]]:
    """Search the piles that one task can hold, write `searched`.

    Returns
    -------
    Found
        Of all of them together.
    list of StoredPile
        The piles that are too large for it.
    """
    small = [pile for pile in piles if pile.is_small]
    if len(small) > 1:
        note(f"{len(small):,} of {len(piles):,} sizes are searched side by side, each by one task")
    if small:
        together = stored_together(run, [(pile.tested, pile.reference) for pile in small])
        if route_of(run) == "pairs":
            together = together.withColumn("stands_for", F.lit(None).cast("double"))
        else:
            drawn = run.read("sample").select("width", "height", "image_id", "stands_for")
            keys = ["width", "height", "image_id"]
            together = together.join(F.broadcast(drawn), keys, "left")
        found = (
            together.select(*_OF_IMAGE, "stands_for")
            .groupBy("width", "height")
            .applyInArrow(_searcher(config), SCHEMAS["searched"])
        )
        run.write("searched", found)
    else:
        run.write_rows("searched", [])
    clusters = _rows(run, "clusters", ds.field("round").is_valid())
    fingerprints = _rows(run, "fingerprints", ds.field("fingerprint_id").is_valid())
    return (
        Found([FingerprintRow(**row) for row in fingerprints], [ClusterRow(**r) for r in clusters]),
        [pile for pile in piles if not pile.is_small],
    )


def _searcher(config: Config) -> Callable[[pa.Table], pa.Table]:
    def search_size(table: pa.Table) -> pa.Table:
        sides: dict[bool, list[Feature]] = {True: [], False: []}
        weights: dict[str, float] = {}
        # Cells of noise stay where they lie; a row of Python's would be a copy.
        cells = cells_of(table["residual"])
        for row, cell in zip(table.drop_columns("residual").to_pylist(), cells, strict=True):
            sides[row["tested"]].append(placed_image(row | {"residual": cell}, config))
            if row["tested"] and row["stands_for"] is not None:
                weights[row["image_id"]] = row["stands_for"]
        size = table["width"][0].as_py(), table["height"][0].as_py()
        with one_task():
            pile = array_pile(sides[True], sides[False], size, config)
            if weights:
                pile = replace(pile, stands_for=np.array([weights[name] for name in pile.ids]))
            found = find(pile, config)
        images = len(pile.tested) + len(pile.reference)
        rows: list[dict[str, Any]] = [
            {"width": size[0], "height": size[1], "compared": images * (images - 1) // 2},
            *map(vars, found.clusters),
            *map(vars, found.fingerprints),
        ]
        return pa.Table.from_pylist(rows, _SEARCHED)

    return search_size


def _rows(run: Run, table: str, where: ds.Expression) -> list[dict[str, Any]]:
    batches = run.batches("searched", where, columns(table))
    return [row for batch in batches for row in batch.to_pylist()]
