"""The long-lived tables of scheduled scans, in Delta: names, schemas, merging.

See docs/scheduled.md. Every write is a merge on the table's key, so that doing it again changes
nothing. Binary columns come last, statistics are kept of the columns before them that people ask
by, and tables are clustered by these.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from noisescope_core.errors import NoiseScopeError, first_line
from noisescope_core.tables.schemas import (
    KEYS,
    LONG_LIVED,
    REVISION,
    long_lived_columns,
    types_in,
)

_UNCOUNTED = ("binary", "array<", "boolean")
"""Types of which no statistics are kept: nobody asks for rows by them."""

_PART = r"([\w-]+|`(?:[^`]|``)+`)"
_SCHEMA_NAME = re.compile(rf"{_PART}\.{_PART}")
"""``catalog.schema``; a part with other characters is written in backticks."""

_REVISION = "noisescope.revision"
"""Property of a table: revision of the declarations that it was made or last upgraded by."""

_FRAMES = re.compile(r"^\s+at .*$", re.MULTILINE)
_CONFLICT = re.compile(r"concurrent(?!\.)", re.IGNORECASE)
"""What Delta's refusals say, and neither lines of a stack nor packages such as
``java.util.concurrent``."""

CONFLICTS = 5
"""Times that a change is tried when others come in between; chosen, with a second more to wait
each time: an analyst's decision takes less."""


@dataclass(frozen=True)
class Store:
    """The tables under a location.

    Attributes
    ----------
    location : a folder, a cloud URI, or a schema of a catalog (`is_schema`)
    work : folder or URI for what is no table; None for ``_scans`` in the location
    """

    spark: SparkSession
    location: str
    work: str | None = None

    def create(self) -> None:
        """Create the tables that are missing, and add the columns that an older version lacks.

        Columns that nobody declared, such as a tenant's, stay, and are null in what is written.

        Raises
        ------
        NoiseScopeError
            If another scan is about it, a later version made the tables, or one is damaged.
        """
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._create, LONG_LIVED))

    def _create(self, table: str) -> None:
        try:
            self._create_or_upgrade(table)
        except NoiseScopeError:
            raise
        except Exception as error:
            if is_conflict(error):
                raise NoiseScopeError(
                    f"{self.location}: another scan was started just now"
                ) from error
            raise NoiseScopeError(
                f"{self.location}: table {table} cannot be opened ({first_line(error)})"
            ) from error

    def _create_or_upgrade(self, table: str) -> None:
        declared = types_in(LONG_LIVED[table])
        counted = [name for name, kind in declared.items() if not kind.startswith(_UNCOUNTED)]
        statistics = f"'delta.dataSkippingStatsColumns' = '{','.join(counted)}'"
        # Otherwise a changed row copies the file that it is in, which history makes large.
        marks = "'delta.enableDeletionVectors' = 'true'"
        made_by = f"'{_REVISION}' = '{REVISION}'"
        self.spark.sql(
            f"CREATE TABLE IF NOT EXISTS {self.name(table)} ({LONG_LIVED[table]}) USING DELTA "
            f"CLUSTER BY ({', '.join(KEYS[table])}) "
            f"TBLPROPERTIES ({statistics}, {marks}, {made_by})"
        )
        there = self._stored(table).columns
        revision = self._revision(table)
        if revision > REVISION:
            raise NoiseScopeError(
                f"{self.location}: a later version made table {table} (revision {revision}, this "
                f"one knows {REVISION}); use that version"
            )
        if set(declared).difference(there):
            names = list(declared)
            placed = [
                f"{name} {declared[name]} " + (f"AFTER {names[at - 1]}" if at else "FIRST")
                for at, name in enumerate(names) if name not in there
            ]  # fmt: skip
            self.spark.sql(f"ALTER TABLE {self.name(table)} ADD COLUMNS ({', '.join(placed)})")
            self.spark.sql(f"ALTER TABLE {self.name(table)} SET TBLPROPERTIES ({statistics})")
        if revision < REVISION:
            self.spark.sql(f"ALTER TABLE {self.name(table)} SET TBLPROPERTIES ({made_by})")

    def _revision(self, table: str) -> int:
        """Revision of a table's declarations; 0 if it is older than revisions are."""
        properties = self.spark.sql(f"SHOW TBLPROPERTIES {self.name(table)}").collect()
        return int({row.key: row.value for row in properties}.get(_REVISION, 0))

    def name(self, table: str) -> str:
        """How SQL calls a table."""
        if schema := _SCHEMA_NAME.fullmatch(self.location):
            return ".".join(
                part if part.startswith("`") else f"`{part}`" for part in (*schema.groups(), table)
            )
        location = f"{self.location.rstrip('/')}/{table}".replace("`", "``")
        return f"delta.`{location}`"

    @property
    def scans(self) -> str:
        """Folder where the scans keep what is no table."""
        return self.work or f"{self.location.rstrip('/')}/_scans"

    def read(self, table: str) -> DataFrame:
        """Read the declared columns of a table as it is now; those that it lacks are null.

        Raises
        ------
        NoiseScopeError
            If it cannot be read.
        """
        stored = self._stored(table)
        there = set(stored.columns)
        return stored.select(
            *(
                F.col(name) if name in there else F.lit(None).cast(kind).alias(name)
                for name, kind in types_in(LONG_LIVED[table]).items()
            )
        )

    def _stored(self, table: str) -> DataFrame:
        try:
            return self.spark.table(self.name(table))
        except Exception as error:
            raise NoiseScopeError(
                f"{self.location}: table {table} cannot be read ({first_line(error)})"
            ) from error

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
        changed = ""
        if update:
            changes = ", ".join(f"{name} = {value}" for name, value in update.items())
            differ = " OR ".join(
                f"NOT (old.{name} <=> ({value}))" for name, value in update.items()
            )
            changed = f"WHEN MATCHED AND ({differ}) THEN UPDATE SET {changes}"
        where = "true" if scan is None else f"old.scan = {scan}"
        names = long_lived_columns(table)
        # `INSERT *` asks for columns that others have added, too.
        values = ", ".join(f"new.{name}" for name in names)
        inserted = f"WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) VALUES ({values})"  # noqa: S608
        self._merge(table, rows.select(*names), where, f"{changed} {inserted}")

    def delete(
        self, table: str, rows: DataFrame, by: Sequence[str] = (), seldom: bool = False
    ) -> None:
        """Delete the rows like these, each of which comes once, by key or by the columns named.

        Parameters
        ----------
        seldom : whether there mostly are none, so that it is asked first: a merge takes longer
        """
        try:
            if seldom and rows.isEmpty():
                return
        except Exception as error:
            raise self._unchanged(table, error) from error
        self._merge(table, rows, "true", "WHEN MATCHED THEN DELETE", by)

    def update(
        self, table: str, rows: DataFrame, changes: Mapping[str, str], where: str = "true"
    ) -> None:
        """Change the rows with the keys of others, each of which comes once.

        Parameters
        ----------
        changes : column to an SQL expression of `old` and `new` rows
        where : SQL condition on both
        """
        settings = ", ".join(f"{name} = {value}" for name, value in changes.items())
        self._merge(table, rows, where, f"WHEN MATCHED THEN UPDATE SET {settings}")

    def _merge(
        self, table: str, rows: DataFrame, where: str, change: str, by: Sequence[str] = ()
    ) -> None:
        view = f"noisescope_{table}"
        rows.createOrReplaceTempView(view)
        same = " AND ".join(f"old.{key} <=> new.{key}" for key in by or KEYS[table])
        for attempt in range(1, CONFLICTS + 1):
            try:
                self.spark.sql(
                    f"MERGE INTO {self.name(table)} old USING {view} new "
                    f"ON {same} AND {where} {change}"
                )
                return
            except Exception as error:
                # Done again it reads the table anew: an analyst's decision came in between.
                if not is_conflict(error) or attempt == CONFLICTS:
                    raise self._unchanged(table, error) from error
                time.sleep(attempt)

    def _unchanged(self, table: str, error: Exception) -> NoiseScopeError:
        why = f"table {table} cannot be changed ({first_line(error)})"
        return NoiseScopeError(f"{self.location}: {why}")


def is_schema(location: str) -> bool:
    """Whether a location names a schema of a catalog; a folder with a dot is ``./a.b``.

    Examples
    --------
    >>> [is_schema(name) for name in ("my-catalog.scans", "`my catalog`.`a.b`", "./a.b", "a.b/c")]
    [True, True, False, False]
    """
    return _SCHEMA_NAME.fullmatch(location) is not None


def is_conflict(error: BaseException) -> bool:
    """Whether Delta refused a change because of another that came in between."""
    causes = (error, error.__cause__)
    told = "\n".join(f"{type(cause).__name__} {cause}" for cause in causes)
    return _CONFLICT.search(_FRAMES.sub("", told)) is not None


def latest(verdicts: DataFrame) -> DataFrame:
    """Take the verdict that holds of each path, out of rows of `verdicts`.

    A file that could not be read has another once it could, of the same version as may be.
    """
    newest = F.struct("registry_version", "scan")
    row = F.max_by(F.struct(*long_lived_columns("verdicts")), newest)
    return verdicts.groupBy("path").agg(row.alias("row")).select("row.*")
