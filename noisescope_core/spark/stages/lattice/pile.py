"""The images of all sizes in the tables of a run, as the lattice search takes them."""

from __future__ import annotations

from pyspark.sql import functions as F

from noisescope_core.extraction import RESIDUALS_OF_LATTICES, is_resized, lattice_image
from noisescope_core.method import LatticeFeature, LatticePile
from noisescope_core.spark.tables.run import Run


def lattice_pile(run: Run) -> LatticePile:
    """Collect the tiles of tested and reference images, 3 KB each."""
    return LatticePile(_images(run, "residuals"), _images(run, "reference_residuals"))


def _images(run: Run, table: str) -> list[LatticeFeature]:
    stored = run.read(table).where((F.col("status") == "scored") & F.col("tile").isNotNull())
    rows = stored.select(*RESIDUALS_OF_LATTICES).collect()
    named = (row.asDict() for row in rows)
    return [lattice_image(row) for row in named if not is_resized(row)]
