"""The families of a run's lattices, drawn from its tables for the summary and the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow.dataset as ds
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.lattice.families import MOST_RELATED, Rescaled, rescaled_sets, trees
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.rows import FingerprintRow

NEEDED = (
    "fingerprint_id", "kind", "width", "height", "images", "flagged", "maker", "cohesion",
    "reference_centre", "reference_spread", "threshold", "member_mean", "member_spread", "prior",
    "members", "whitened", "background",
)  # fmt: skip
"""Columns of `fingerprints` that tell families."""


def families_of(run: Run, config: Config) -> list[list[dict[str, Any]]]:
    """Draw the families of a run's lattices, of the largest `MOST_RELATED` of them.

    Returns
    -------
    list of list of dict
        As `lattice.families.trees` draws them, attributes of `Branch` by name.
    """
    names = _largest(run)
    if len(names) < 2:
        return []
    rows = _rows(run, names)
    rescaled = _rescaled(run, rows) if config.lattice.rescaled else {}
    return [[dict(vars(branch)) for branch in tree] for tree in trees(rows, rescaled)]


def _largest(run: Run) -> list[str]:
    """Ids of the largest lattices, generators' before others."""
    rows = run.rows("fingerprints", "fingerprint_id", "kind", "images", "flagged")
    lattices = [row for row in rows if row["kind"] == "lattice"]
    lattices.sort(key=lambda row: (not row["flagged"], -row["images"], row["fingerprint_id"]))
    return [row["fingerprint_id"] for row in lattices[:MOST_RELATED]]


def _rows(run: Run, names: Sequence[str]) -> list[FingerprintRow]:
    """Read fingerprints; a background that they share is in memory once, not in every row."""
    backgrounds: dict[bytes, bytes] = {}
    rows = []
    for batch in run.batches("fingerprints", ds.field("fingerprint_id").isin(names), NEEDED):
        for cells in batch.to_pylist():
            cell = cells.pop("background")
            cell = backgrounds.setdefault(cell, cell)
            rows.append(FingerprintRow(**cells, background=cell))
    return rows


def _rescaled(run: Run, rows: Sequence[FingerprintRow]) -> dict[str, Rescaled]:
    """Say which lattices hold images of others; of verdicts, those of members alone are read."""
    names = [row.fingerprint_id for row in rows]
    members = run.read("fingerprints").where(F.col("fingerprint_id").isin(names))
    ids = members.select(F.explode("members").alias("image_id")).distinct()
    verdicts = run.read("verdicts").where("factor is not null")
    claims = verdicts.select("image_id", "fingerprint_id", "factor").distinct()
    found = claims.join(F.broadcast(ids), "image_id").collect()
    return rescaled_sets(rows, [row.asDict() for row in found])
