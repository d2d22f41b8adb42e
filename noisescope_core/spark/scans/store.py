"""The long-lived tables of scheduled scans, in Delta: names, schemas, merging.

See docs/scheduled.md. What a scan adds is appended once, whatever dies in between: Delta notes the
scan that appended, and passes over the second time. All else is a merge on the table's key, so that
doing it again changes nothing. Binary columns come last, statistics are kept of the columns before
them that people ask by.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from noisescope_core.errors import NoiseScopeError, first_line
from noisescope_core.spark.session.start import settings_for
from noisescope_core.tables.schemas import (
    CLUSTERED,
    KEYS,
    LONG_LIVED,
    REVISION,
    long_lived_columns,
    types_in,
)

Answer = TypeVar("Answer")

_UNCOUNTED = ("binary", "array<", "boolean")
"""Types of which no statistics are kept: nobody asks for rows by them."""

_PART = r"([\w-]+|`(?:[^`]|``)+`)"
_SCHEMA_NAME = re.compile(rf"{_PART}\.{_PART}")
"""``catalog.schema``; a part with other characters is written in backticks."""

_REVISION = "noisescope.revision"
"""Property of a table: revision of the declarations that it was made or last upgraded by."""

MADE = "noisescope.made"
"""Property of the table `MARKED`: revision as of which all tables are there and filled."""

MARKED = "erasures"
"""Table that has this property: it seldom changes, so that Spark knows its properties already."""

_FRAMES = re.compile(r"^\s+at .*$", re.MULTILINE)
_CONFLICT = re.compile(r"concurrent(?!\.)", re.IGNORECASE)
"""What Delta's refusals say, and neither lines of a stack nor packages such as
``java.util.concurrent``."""

_MARKED = ("arrivals", "fingerprints")
"""Tables whose deleted and changed rows are marked, or they would copy the pictures and features of
the rows beside them. All others can be read by programs that know no deletion vectors."""

_CUBES = "spark.databricks.delta.optimize.clustering.mergeStrategy.minCubeSize"

_FOR_FEATURES = {f"{_CUBES}.threshold": str(1 << 28), f"{_CUBES}.targetCubeSize": str(3 << 27)}
"""Settings under which small files of `arrivals` are written together: bytes of clustered rows that
later ones no longer join, and bytes that are clustered at most. Chosen: by default they are 100 and
150 GB, so that the features of all that waits would be written anew each time. Other tables stay
clustered as a whole: they are small, and asked for single paths."""

_FOR_VACUUM = {
    # By default 10,000 tasks list a table's folder.
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "64",
    # An erasure at once keeps no earlier state at all, which Delta refuses by default.
    "spark.databricks.delta.retentionDurationCheck.enabled": "false",
}
"""Settings under which a table's old files are deleted."""

_AT_ONCE = 4
"""Tables that are cared for at once; chosen."""

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
    check : asked before every write; raises NoiseScopeError if the tables may not be changed
    """

    spark: SparkSession
    location: str
    work: str | None = None
    check: Callable[[], None] = lambda: None

    def checked(self, check: Callable[[], None]) -> Store:
        """Give the same tables, which ask `check` before every write."""
        return replace(self, check=check)

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

    def is_made(self, revision: int) -> bool:
        """Whether all tables are there, as a revision of their declarations has them."""
        try:
            return self.noted(MARKED, MADE) == str(revision)
        except AnalysisException:
            return False

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
        marks = f"'delta.enableDeletionVectors' = '{str(table in _MARKED).lower()}'"
        clustered = ", ".join(CLUSTERED.get(table, KEYS[table]))
        made_by = f"'{_REVISION}' = '{REVISION}'"
        self.spark.sql(
            f"CREATE TABLE IF NOT EXISTS {self.name(table)} ({LONG_LIVED[table]}) USING DELTA "
            f"CLUSTER BY ({clustered}) TBLPROPERTIES ({statistics}, {marks}, {made_by})"
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
        return int(self.noted(table, _REVISION) or 0)

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

    def read_other(self, table: str) -> DataFrame | None:
        """Read a table of an earlier version; None if it is not there."""
        try:
            return self.spark.table(self.name(table))
        except AnalysisException:
            return None

    def append(self, table: str, rows: DataFrame, scan: int | None = None) -> None:
        """Add rows to a table.

        Parameters
        ----------
        rows : columns of the table
        scan : whose only addition to this table it is: a second time nothing is added; None adds
            in any case
        """
        declared = types_in(LONG_LIVED[table])
        cells = (F.col(name).cast(kind).alias(name) for name, kind in declared.items())
        writer = rows.select(*cells).write.format("delta").mode("append")
        if scan is not None:
            once = {"txnAppId": f"noisescope/{table}", "txnVersion": str(scan)}
            writer = writer.options(**once)
        if is_schema(self.location):
            self._tried(table, lambda: writer.saveAsTable(self.name(table)))
        else:
            place = f"{self.location.rstrip('/')}/{table}"
            self._tried(table, lambda: writer.save(place))

    def change(self, table: str, changes: str, where: str) -> int:
        """Change rows by SQL: how many were changed."""
        # No name of a file or person is in it.
        update = f"UPDATE {self.name(table)} SET {changes} WHERE {where}"  # noqa: S608
        done = self._tried(table, lambda: self.spark.sql(update).collect())
        return int(done[0].num_affected_rows)

    def note(self, table: str, key: str, value: str) -> None:
        """Note a value in a property of a table, which takes no Spark job."""
        self.spark.sql(f"ALTER TABLE {self.name(table)} SET TBLPROPERTIES ('{key}' = '{value}')")

    def noted(self, table: str, key: str) -> str:
        """Read what `note` noted; empty if nothing."""
        rows = self.spark.sql(f"SHOW TBLPROPERTIES {self.name(table)}").collect()
        return next((str(row.value) for row in rows if row.key == key), "")

    def fence(self, owner: str) -> None:
        """Let Delta refuse all changes of these tables that are under way."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda table: self.note(table, "noisescope.fence", owner), LONG_LIVED))

    def merge(
        self,
        table: str,
        rows: DataFrame,
        update: Mapping[str, str] | None = None,
        where: str = "true",
    ) -> None:
        """Insert the rows whose key is new, and update those whose key is there.

        Parameters
        ----------
        rows : the table's columns, no key twice
        update : column to an SQL expression of `old` and `new` rows; None leaves rows as they are
        where : SQL condition on the `old` rows that can have one of these keys, by whose
            statistics Delta passes over the other files of the table
        """
        changed = ""
        if update:
            changes = ", ".join(f"{name} = {value}" for name, value in update.items())
            differ = " OR ".join(
                f"NOT (old.{name} <=> ({value}))" for name, value in update.items()
            )
            changed = f"WHEN MATCHED AND ({differ}) THEN UPDATE SET {changes}"
        names = long_lived_columns(table)
        # `INSERT *` asks for columns that others have added, too.
        values = ", ".join(f"new.{name}" for name in names)
        inserted = f"WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) VALUES ({values})"  # noqa: S608
        self._merge(table, rows.select(*names), where, f"{changed} {inserted}")

    def delete(self, table: str, rows: DataFrame, by: Sequence[str] = ()) -> int:
        """Delete rows like these, by key or by the columns named: how many.

        Parameters
        ----------
        rows : each key once
        """
        return self._merge(table, rows, "true", "WHEN MATCHED THEN DELETE", by)

    def remove_rows(self, table: str, where: str) -> None:
        """Delete rows by a condition in SQL."""
        delete = f"DELETE FROM {self.name(table)} WHERE {where}"  # noqa: S608
        self._tried(table, lambda: self.spark.sql(delete))

    def compact(self, tables: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Write small files of tables together: numbers of files before and after, by table."""
        others = [table for table in tables if table != "arrivals"]
        features = [table for table in tables if table == "arrivals"]
        done = self._at_once(others, "OPTIMIZE {table}")
        with settings_for(self.spark, _FOR_FEATURES):
            done += self._at_once(features, "OPTIMIZE {table}")
        return {
            table: (row.metrics.numFilesRemoved, row.metrics.numFilesAdded)
            for table, (row,) in zip(others + features, done, strict=True)
        }

    def rewrite_without_deleted(self, tables: Sequence[str]) -> None:
        """Write the files of tables without the rows that were deleted from them."""
        self._at_once(tables, "REORG TABLE {table} APPLY (PURGE)")

    def vacuum(self, tables: Sequence[str], hours: int) -> None:
        """Delete the files of tables that only states older than so many hours need."""
        with settings_for(self.spark, _FOR_VACUUM):
            self._at_once(tables, f"VACUUM {{table}} RETAIN {hours} HOURS")

    def _at_once(self, tables: Sequence[str], statement: str) -> list[list[Row]]:
        """Do something to several tables at once: each is mostly waiting."""
        self.check()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            asked = (statement.replace("{table}", self.name(table)) for table in tables)
            return list(pool.map(lambda text: self.spark.sql(text).collect(), asked))

    def update(
        self, table: str, rows: DataFrame, changes: Mapping[str, str], where: str = "true"
    ) -> int:
        """Change the rows with the keys of others, each of which comes once: how many.

        Parameters
        ----------
        changes : column to an SQL expression of `old` and `new` rows
        where : SQL condition on both
        """
        settings = ", ".join(f"{name} = {value}" for name, value in changes.items())
        return self._merge(table, rows, where, f"WHEN MATCHED THEN UPDATE SET {settings}")

    def _merge(
        self, table: str, rows: DataFrame, where: str, change: str, by: Sequence[str] = ()
    ) -> int:
        view = f"noisescope_{table}"
        rows.createOrReplaceTempView(view)
        same = " AND ".join(f"old.{key} <=> new.{key}" for key in by or KEYS[table])
        merge = f"MERGE INTO {self.name(table)} old USING {view} new ON {same} AND {where} {change}"
        done = self._tried(table, lambda: self.spark.sql(merge).collect())
        return int(done[0].num_affected_rows)

    def _tried(self, table: str, change: Callable[[], Answer]) -> Answer:
        """Change a table, once more where another change came in between: it reads it anew."""
        for attempt in range(1, CONFLICTS + 1):
            self.check()
            try:
                return change()
            except Exception as error:
                if not is_conflict(error) or attempt == CONFLICTS:
                    raise self._unchanged(table, error) from error
                time.sleep(attempt)
        raise AssertionError("unreachable")

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
