"""The registry of fingerprints as a file, for another deployment (docs/scheduled.md)."""

from __future__ import annotations

from datetime import UTC, datetime

from noisescope_core.app.packs import read_pack, write_pack
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.tables.frames import frame
from noisescope_core.tables.rows import DecisionRow
from noisescope_core.tables.schemas import LONG_LIVED, REGISTRY_FILE, names_in


def export_registry(store: Store, file: str) -> int:
    """Write the registry as a pack: how many fingerprints.

    Raises
    ------
    UsageError
        If the file cannot be written, or one that is no pack is there.
    """
    rows = store.read("fingerprints").select(*names_in(REGISTRY_FILE)).collect()
    write_pack([row.asDict() for row in rows], file)
    return len(rows)


def import_registry(store: Store, file: str, analyst: str, side: int) -> tuple[int, int]:
    """Take in the fingerprints of a file that another deployment or `noisescope pack` wrote.

    Parameters
    ----------
    side : of the centre that is compared, pixels (`whitening.side`)

    Returns
    -------
    How many were new, and how many the registry has already; these stay as they are.

    Raises
    ------
    UsageError
        If it is no such file.
    """
    rows = read_pack(file, side)
    ids = store.read("fingerprints").select("fingerprint_id").collect()
    there = {row.fingerprint_id for row in ids}
    new = [row for row in rows if row["fingerprint_id"] not in there]
    if new:
        now = datetime.now(UTC)
        decisions = [
            DecisionRow(
                fingerprint_id=row["fingerprint_id"], decided=now, state=row["state"],
                merged_into=row["merged_into"], note=row["note"], analyst=analyst,
            )
            for row in new
        ]  # fmt: skip
        spark = store.spark
        store.merge("fingerprints", frame(spark, new, LONG_LIVED["fingerprints"]))
        store.merge("decisions", frame(spark, decisions, LONG_LIVED["decisions"]))
    return len(new), len(rows) - len(new)
