"""What a run left behind, read without Spark."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow import fs
from pydantic import ValidationError

from noisescope_core.config import Config
from noisescope_core.errors import UsageError, first_line
from noisescope_core.storage import asked_again, content, file_system


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
        system, path = file_system(f"{self.location.rstrip('/')}/{name}")
        if system.get_file_info(f"{path}/_SUCCESS").type != fs.FileType.File:
            raise UsageError(f"{self.location}: has no finished table {name}")
        wanted = None if columns is None else list(columns)
        stored = ds.dataset(path, filesystem=system, format="parquet")
        return asked_again(lambda: stored.to_table(wanted, filter=where))


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
