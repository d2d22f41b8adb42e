"""Features of reference images that earlier searches extracted, by content and preparation.

A search asks for the reference in the sizes and compressions of what waits, most of which are those
of the search before. The rows lie beside what scans keep between runs; what is lost of them is
extracted again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import pyarrow.dataset as ds
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from noisescope_core import __version__
from noisescope_core.config import config_hash
from noisescope_core.extraction import wanted_rows
from noisescope_core.images.reference import Header, Preparation
from noisescope_core.spark.scans.context import Scan
from noisescope_core.spark.tables.run import Run, folders_in
from noisescope_core.tables.schemas import names_in

KEPT_FROM = 64 << 20
"""Bytes of a reference from which its features are kept; chosen: less is extracted sooner than
found."""

MOST = 4
"""Times as many rows as a search asked for from which what is kept is begun anew; chosen."""

_FOLDERS = "reference-"
"""How folders begin that have such features; what they were extracted by follows."""

_TABLE = "reference_residuals"

_KEY = "image_id string, width int, height int, as_prepared string"
"""Columns that tell rows apart: `prepared`, or nothing in place of null."""

Key = tuple[int, int, str]
"""The same of one image."""


def kept_reference(scan: Scan) -> Run:
    """Find the run directory of what is kept, and remove those of other configurations."""
    name = f"{_FOLDERS}{__version__}-{config_hash(scan.config, 'scan', 'source')}"
    for other in folders_in(scan.store.scans):
        if other.startswith(_FOLDERS) and other != name:
            Run(scan.store.spark, f"{scan.store.scans}/{other}").remove_whole()
    return Run(scan.store.spark, f"{scan.store.scans}/{name}")


def stored_rows(
    kept: Run, headers: Sequence[Row], changed: Mapping[str, list[Preparation]]
) -> DataFrame | None:
    """Find the rows of images of which all that is asked for is kept; None without such images.

    Parameters
    ----------
    headers : of the reference, one for each file
    changed : what is done to reference images, by id

    Returns
    -------
    DataFrame
        Rows of `residuals`, for each file its own.
    """
    known = _keys(kept)
    wanted = []
    for header in headers:
        rows = wanted_rows(Header.of_row(header), changed.get(header.image_id, ()))
        if rows <= known[header.image_id]:
            wanted += [(header.path, header.image_id, *row) for row in rows]
    if not wanted:
        return None
    asked = kept.spark.createDataFrame(wanted, f"path string, {_KEY}")
    return _keyed(kept.read(_TABLE).drop("path")).join(F.broadcast(asked), names_in(_KEY))


def keep(kept: Run, run: Run) -> None:
    """Keep what a search has extracted of its reference, `reference_residuals`, for the next."""
    if kept.finished(_TABLE) and kept.count(_TABLE) > MOST * run.count(_TABLE):
        kept.remove(_TABLE)
    known = _keys(kept)
    new = [(name, *row) for name, rows in _keys(run).items() for row in rows - known[name]]
    if new:
        asked = F.broadcast(run.spark.createDataFrame(new, _KEY))
        rows = _keyed(run.read(_TABLE).where("status = 'scored'")).join(asked, names_in(_KEY))
        kept.append(_TABLE, rows.dropDuplicates(names_in(_KEY)))


def _keys(run: Run) -> dict[str, set[Key]]:
    """Read which images a run has features of, and how these were prepared."""
    keys = defaultdict[str, set[Key]](set)
    if run.finished(_TABLE):
        names = ["image_id", "width", "height", "prepared"]
        for batch in run.batches(_TABLE, ds.field("status") == "scored", names):
            for row in batch.to_pylist():
                key = row["width"], row["height"], row["prepared"] or ""
                keys[row["image_id"]].add(key)
    return keys


def _keyed(rows: DataFrame) -> DataFrame:
    return rows.withColumn("as_prepared", F.coalesce("prepared", F.lit("")))
