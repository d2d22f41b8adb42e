"""What a run left behind, read without Spark."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray
from pyarrow import fs
from pydantic import ValidationError

from noisescope_core.config import Config
from noisescope_core.errors import UsageError, first_line
from noisescope_core.tables.schemas import SCHEMAS, arrow_schema
from noisescope_core.tables.sizes import in_arrow
from noisescope_core.tables.storage import content, file_system, with_retries
from noisescope_core.tables.streams import Batches, file_streams


@dataclass(frozen=True)
class Scores:
    """Scores in place of the images of one size, sorted.

    Attributes
    ----------
    reference : (r,) float64
        Of reference photographs, each against the fingerprint that fits it best.
    flagged : (f,) float64, of images flagged for one fingerprint
    others : (o,) float64, of images that were not flagged, as of the reference
    """

    reference: NDArray[np.float64]
    flagged: NDArray[np.float64]
    others: NDArray[np.float64]


@dataclass(frozen=True)
class Results:
    """A finished run.

    Attributes
    ----------
    location : its folder, a local path or a URI
    summary : what its summary.json holds
    """

    location: str
    summary: dict[str, Any]

    @cached_property
    def config(self) -> Config:
        """The configuration it ran with, settings of Spark apart.

        Raises
        ------
        UsageError
            If another version made it, whose keys are not those of this one.
        """
        try:
            return Config.model_validate(self.summary["config"])
        except (ValidationError, KeyError) as error:
            raise UsageError(
                f"{self.location}: made by version {self.summary.get('version')}, whose "
                "configuration this one does not know; run it again"
            ) from error

    def table(
        self, name: str, columns: Sequence[str] | None = None, where: ds.Expression | None = None
    ) -> pa.Table:
        """Read a table of docs/tables.md.

        Parameters
        ----------
        columns : to read, None for all
        where : rows to read, None for all

        Raises
        ------
        UsageError
            If the run has no such table, or it was never finished.
        """
        system, path = file_system(self._finished(name))
        wanted = None if columns is None else list(columns)
        # Columns that the run's version did not know are null, as they are where Spark reads it.
        schema = arrow_schema(SCHEMAS[name])
        stored = ds.dataset(path, schema, filesystem=system, format="parquet")
        return with_retries(lambda: stored.to_table(wanted, filter=where))

    def streams(self, name: str, columns: Sequence[str] | None = None) -> list[Batches]:
        """Open the files of a table, each as a stream of batches; raises as `table` does."""
        schema = arrow_schema(SCHEMAS[name])
        wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
        return file_streams(self._finished(name), wanted)

    def _finished(self, name: str) -> str:
        location = f"{self.location.rstrip('/')}/{name}"
        system, path = file_system(location)
        finished = system.get_file_info(f"{path}/_SUCCESS").type == fs.FileType.File
        if name not in SCHEMAS or not finished:
            raise UsageError(f"{self.location}: has no finished table {name}")
        return location

    def scores(self, fingerprint: Mapping[str, Any]) -> Scores:
        """Read the scores around a fingerprint, a row of `fingerprints`.

        Raises
        ------
        UsageError
            As `table` does.
        """
        where = ds.field("shift_x").is_null()
        if fingerprint.get("kind") != "lattice":  # A lattice is looked for in images of all sizes.
            where &= in_arrow((fingerprint["width"], fingerprint["height"]))
        table = self.table("scores", ("role", "image_id", "fingerprint_id", "score"), where)
        fake = self.table("verdicts", ("image_id",), ds.field("is_fake"))["image_id"]
        is_reference = pc.equal(table["role"], "reference")
        is_fake = pc.is_in(table["image_id"], fake.combine_chunks())
        own = pc.equal(table["fingerprint_id"], fingerprint["fingerprint_id"])
        parts = (
            is_reference,
            pc.and_(pc.and_not(is_fake, is_reference), own),
            pc.invert(pc.or_(is_fake, is_reference)),
        )
        return Scores(*(np.sort(table.filter(part)["score"].to_numpy()) for part in parts))


def open_results(location: str) -> Results:
    """Open a finished run.

    Raises
    ------
    UsageError
        If there is none.
    """
    try:
        system, path = file_system(f"{location.rstrip('/')}/summary.json")
        if system.get_file_info(path).type == fs.FileType.File:
            return Results(location, json.loads(content(system, path)))
    except (OSError, ValueError) as error:
        raise UsageError(f"{location}: cannot be read ({first_line(error)})") from error
    raise UsageError(
        f"{location}: no finished run, it has no summary.json; name the --out of noisescope detect"
    )
