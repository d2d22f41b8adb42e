"""One file in the tables of scans, for its explanation: verdicts, fingerprints, decisions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from pyspark.sql import functions as F

from noisescope_core.app.original import read_original
from noisescope_core.app.places import absolute
from noisescope_core.app.registry import meaning
from noisescope_core.config import Config
from noisescope_core.errors import UsageError
from noisescope_core.spark.scans.registry import describe_fingerprint, read_standings
from noisescope_core.spark.scans.store import Store
from noisescope_core.tables.results import Results, Scores
from noisescope_core.tables.schemas import SCHEMAS, arrow_schema, names_in


@dataclass(frozen=True)
class ScannedFile(Results):
    """What the tables of scans hold of one file, read as the results of a run are.

    Attributes
    ----------
    store : the tables
    verdicts : rows that hold, of the file and of others of the same bytes
    history : every verdict of the file, the oldest first, with `finished`, when its scan ended
    decisions : about the fingerprints that these name, the oldest first
    """

    store: Store
    verdicts: Sequence[Mapping[str, Any]]
    history: Sequence[Mapping[str, Any]]
    decisions: Sequence[Mapping[str, Any]]

    def table(
        self, name: str, columns: Sequence[str] | None = None, where: ds.Expression | None = None
    ) -> pa.Table:
        """Give the rows that concern the file; scans keep no `files`."""
        rows: Sequence[Mapping[str, Any]] = ()
        if name == "verdicts":
            rows = self.verdicts
        elif name == "fingerprints":
            rows = self._fingerprints()
        table = pa.Table.from_pylist(list(rows), arrow_schema(SCHEMAS[name]))
        table = table if where is None else table.filter(where)
        return table if columns is None else table.select(list(columns))

    def _fingerprints(self) -> list[dict[str, Any]]:
        """The fingerprint that the verdict names, under all of its names; else all in use."""
        stored = self.store.read("fingerprints")
        standings = read_standings(self.store)
        named = {row["fingerprint_id"] for row in self.verdicts} - {None}
        wanted = [
            name for name in standings
            if name in named
            or (meant := meaning(name, standings)).shown_as in named
            or (not named and meant.kind == "active")
        ]  # fmt: skip
        of_these = stored.where(F.col("fingerprint_id").isin(wanted))
        return [
            row.asDict() for row in of_these.select(*names_in(SCHEMAS["fingerprints"])).collect()
        ]

    def scores(self, fingerprint: Mapping[str, Any]) -> Scores:
        """Read the scores around a fingerprint; those of the reference are not kept by scans."""
        details = describe_fingerprint(self.store, fingerprint["fingerprint_id"], 0)
        found = (np.sort(np.array(details[name], float)) for name in ("scores", "others"))
        return Scores(np.zeros(0), *found)


def scanned_file(store: Store, config: Config, file: str) -> ScannedFile:
    """Look a file up in the tables of scans.

    Parameters
    ----------
    file : path or URI of an image, or ``ARCHIVE!/MEMBER``; it need not be there any more
    """
    path = absolute(file)
    of_it = F.col("path") == path
    try:
        image_id = hashlib.sha256(read_original(path, None, config)).hexdigest()
    except UsageError:
        same = of_it
    else:
        same = of_it | (F.col("image_id") == image_id)
    verdicts = store.read("verdicts")
    when = store.read("runs").select("scan", "finished")
    rows = verdicts.where(of_it).join(F.broadcast(when), "scan", "left")
    history = [row.asDict() for row in rows.orderBy("registry_version", "scan").collect()]
    named = [name for name in {row["fingerprint_id"] for row in history} if name]
    decisions = store.read("decisions").where(F.col("fingerprint_id").isin(named))
    return ScannedFile(
        store.location, {"config": config.model_dump()}, store,
        [row.asDict() for row in store.read("current_verdicts").where(same).collect()], history,
        [row.asDict() for row in decisions.orderBy("decided").collect()],
    )  # fmt: skip
