"""Tables of earlier versions: what these knew is put where it is looked for now."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from noisescope_core.archives import MARK
from noisescope_core.spark.scans.store import MADE, MARKED, Store
from noisescope_core.tables.schemas import CELLS, REVISION, long_lived_columns

_BEFORE = 0
"""Number of a scan before all others: what is added in its name is added once."""


def open_tables(store: Store) -> None:
    """Make the tables that are missing, and bring those of an earlier version up to date.

    Raises
    ------
    NoiseScopeError
        As `Store.create` does.
    """
    if store.is_made(REVISION):
        return
    store.create()
    _fill(store)
    store.note(MARKED, MADE, str(REVISION))


def _fill(store: Store) -> None:
    """Fill the tables that an earlier version did not have, once.

    It kept paths in its stream's list and in `images`, and images that wait in a table `waiting`.
    """
    verdicts = store.read("verdicts")
    if verdicts.isEmpty() or not store.read("seen").isEmpty():
        return
    store.append("current_verdicts", latest(verdicts), _BEFORE)
    if (waiting := store.read_other("waiting")) is not None:
        features = sum(
            (F.coalesce(F.octet_length(name), F.lit(0)) for name in CELLS), start=F.lit(0)
        )
        known = set(waiting.columns)
        missing = {
            name: F.lit(None)
            for name in long_lived_columns("arrivals")
            if name not in known and name != "features"
        }
        store.append("arrivals", waiting.withColumns(missing | {"features": features}), _BEFORE)
    # Last: it says that all is done. Of the files it has no times, which match any.
    archive = F.substring_index("path", MARK, 1).alias("path")
    seen = verdicts.select(archive).distinct().withColumn("scan", F.lit(_BEFORE))
    nothing = {name: F.lit(None) for name in ("bytes", "modified")}
    store.append("seen", seen.withColumns(nothing), _BEFORE)


def latest(verdicts: DataFrame) -> DataFrame:
    """Take the verdict that holds of each path, out of rows of `verdicts`."""
    newest = F.struct("registry_version", "scan")
    row = F.max_by(F.struct(*long_lived_columns("verdicts")), newest)
    return verdicts.groupBy("path").agg(row.alias("row")).select("row.*")
