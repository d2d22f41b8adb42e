"""The long-lived tables of scheduled scans, in Delta: names, schemas, merging.

See docs/scheduled.md. Every write is a merge on the table's key, so that doing it again changes
nothing. Binary columns come last, statistics are kept of the columns before them that people ask
by, and tables are clustered by these.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession

from noisescope_core.errors import NoiseScopeError
from noisescope_core.spark.tables import SCHEMAS, names_in

LONG_LIVED = {
    "images": """
        image_id string, width int, height int, status string, reason string, format string,
        quality int, watermark string, first_scan long, last_scan long, paths array<string>""",
    "verdicts": f"{SCHEMAS['verdicts']}, registry_version long, scan long",
    "fingerprints": f"""
        registry_version long, state string, first_scan long, last_scan long,
        {SCHEMAS["fingerprints"]}""",
    "quarantine": "path string, image_id string, reason string, scan long",
    "runs": """
        scan long, images string, reference string, version string, config_hash string,
        started timestamp, finished timestamp, files long, scored long, unscored long,
        quarantined long, fake long, rejudged long, found long, registry_version long""",
    "sizes": """
        width int, height int, waiting long, reference long, decided_scan long, searched_scan long,
        reason string""",
    "lease": "name string, owner string, until timestamp",
    "waiting": f"scan long, {SCHEMAS['residuals']}",
}
"""Schemas by table. `waiting` holds residuals of images that no fingerprint claims."""

KEYS = {
    "images": ("image_id",),
    "verdicts": ("path", "registry_version"),
    "fingerprints": ("fingerprint_id",),
    "quarantine": ("path", "scan"),
    "runs": ("scan",),
    "sizes": ("width", "height"),
    "lease": ("name",),
    "waiting": ("image_id",),
}
"""What a row of each table is told by; tables are clustered by it."""

_UNCOUNTED = ("binary", "array<", "boolean")
"""Types of which no statistics are kept."""


@dataclass(frozen=True)
class Store:
    """The tables under a location: a folder or a cloud URI."""

    spark: SparkSession
    location: str

    def create(self) -> None:
        """Create the tables that are missing.

        Raises
        ------
        NoiseScopeError
            If another scan is about it.
        """
        try:
            with ThreadPoolExecutor() as pool:
                list(pool.map(self._create, LONG_LIVED))
        except Exception as error:
            if is_conflict(error):
                raise NoiseScopeError(
                    f"{self.location}: another scan was started just now"
                ) from error
            raise

    def _create(self, table: str) -> None:
        fields = [column.split() for column in LONG_LIVED[table].split(",")]
        counted = [name for name, kind in fields if not kind.startswith(_UNCOUNTED)]
        self.spark.sql(
            f"CREATE TABLE IF NOT EXISTS {self.name(table)} ({LONG_LIVED[table]}) USING DELTA "
            f"CLUSTER BY ({', '.join(KEYS[table])}) "
            f"TBLPROPERTIES ('delta.dataSkippingStatsColumns' = '{','.join(counted)}')"
        )

    def name(self, table: str) -> str:
        """How SQL calls a table."""
        location = f"{self.location.rstrip('/')}/{table}".replace("`", "``")
        return f"delta.`{location}`"

    @property
    def scans(self) -> str:
        """Folder where the scans keep what is no table."""
        return f"{self.location.rstrip('/')}/_scans"

    def read(self, table: str) -> DataFrame:
        """Read a table as it is now."""
        return self.spark.table(self.name(table))

    def merge(
        self,
        table: str,
        rows: DataFrame,
        update: Mapping[str, str] | None = None,
        scan: int | None = None,
    ) -> None:
        """Insert the rows whose key is new, and update those whose key is there.

        Parameters
        ----------
        rows : the table's columns, no key twice
        update : column to an SQL expression of `old` and `new` rows; None leaves rows as they are
        scan : the only scan that can have written a row with one of these keys, so that no other
            file of the table is looked at; None looks at all
        """
        view = f"noisescope_{table}"
        rows.select(*columns_of(table)).createOrReplaceTempView(view)
        same = " AND ".join(f"old.{key} <=> new.{key}" for key in KEYS[table])
        if scan is not None:
            same += f" AND old.scan = {scan}"
        changed = ""
        if update:
            changes = ", ".join(f"{name} = {told}" for name, told in update.items())
            differ = " OR ".join(f"NOT (old.{name} <=> ({told}))" for name, told in update.items())
            changed = f"WHEN MATCHED AND ({differ}) THEN UPDATE SET {changes}"
        self.spark.sql(
            f"MERGE INTO {self.name(table)} old USING {view} new ON {same} {changed} "
            "WHEN NOT MATCHED THEN INSERT *"
        )

    def delete(self, table: str, keys: DataFrame) -> None:
        """Delete the rows with these keys, each of which comes once."""
        self._change(table, keys, "DELETE")

    def update(
        self, table: str, rows: DataFrame, changes: Mapping[str, str], where: str = "true"
    ) -> None:
        """Change the rows with the keys of others, each of which comes once.

        Parameters
        ----------
        changes : column to an SQL expression of `old` and `new` rows
        where : SQL condition on both
        """
        told = ", ".join(f"{name} = {value}" for name, value in changes.items())
        self._change(table, rows, f"UPDATE SET {told}", where)

    def _change(self, table: str, rows: DataFrame, change: str, where: str = "true") -> None:
        view = f"noisescope_{table}_changes"
        rows.createOrReplaceTempView(view)
        same = " AND ".join(f"old.{key} <=> new.{key}" for key in KEYS[table])
        self.spark.sql(
            f"MERGE INTO {self.name(table)} old USING {view} new ON {same} AND {where} "
            f"WHEN MATCHED THEN {change}"
        )


def is_conflict(error: BaseException) -> bool:
    """Whether Delta refused a change because of another that came in between."""
    return "concurrent" in f"{type(error).__name__} {error}".lower()


def columns_of(table: str) -> list[str]:
    """Names of a table's columns, in order."""
    return names_in(LONG_LIVED[table])
