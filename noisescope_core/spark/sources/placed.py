"""Bytes read by the executors themselves: members of archives, and files that Spark passed over."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import groupby
from typing import IO, Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from noisescope_core.archives import MARK, STREAMS, Member, content, is_zip, members
from noisescope_core.archives import unpacked as unpacked_archive
from noisescope_core.config import Config
from noisescope_core.images.decode import refused_size
from noisescope_core.spark.session.workers import map_batches
from noisescope_core.tables.opened import OpenedFile, UnreadError
from noisescope_core.tables.schemas import CONTENT, SCHEMAS, UNREADABLE, arrow_schema

TASK_BYTES = 16 << 20
"""Bytes that a task reads, about; chosen: seconds of work."""

MOST_TASKS = 10_000
"""Tasks of a query, at most; chosen: what a driver of Spark schedules without strain."""

READ_AHEAD = 4 << 20
"""Bytes asked for at once where most of an archive is read; chosen: some dozens of small images."""

LISTING_AHEAD = 256 << 10
"""Bytes asked for at once to find headers, and members of which few are read; chosen: a header is
half a kilobyte, and a small image is jumped over without a request."""

LEAST_READ = 8 << 10
"""Bytes asked for at once of the smallest file."""

GUESSED_BYTES = 1 << 20
"""Bytes of a file whose size is not known, to share out work; chosen."""

GIVEN_UP = 20
"""Files in a row that could not be read, after which a task asks once for each: its store is
down."""

_FILES, _CONTENT = arrow_schema(SCHEMAS["files"]), arrow_schema(CONTENT)

Batches = Iterator[pa.RecordBatch]


def tasks(size: int) -> int:
    """Say in how many tasks so many bytes are read."""
    return min(MOST_TASKS, -(-size // TASK_BYTES) or 1)


def members_listed(archives: DataFrame, count: int, config: Config) -> DataFrame:
    """List archives, rows of `files`, each in a task of its own: rows of `files`, of members.

    Parameters
    ----------
    count : of the archives, one or more
    """
    apart = archives.repartition(min(MOST_TASKS, count))
    return map_batches(apart, _lister(config), SCHEMAS["files"])


def _lister(config: Config) -> Callable[[Batches], Batches]:
    attempts, limit, batch_rows = config.source.attempts, config.decode.max_bytes, 10_000

    def list_members(batches: Batches) -> Batches:
        rows: list[dict[str, Any]] = []
        for batch in batches:
            for archive in batch.to_pylist():
                for row in _members_of(archive, attempts, limit):
                    rows.append(row)
                    if len(rows) >= batch_rows:
                        yield pa.RecordBatch.from_pylist(rows, _FILES)
                        rows = []
        yield pa.RecordBatch.from_pylist(rows, _FILES)

    return list_members


def _members_of(archive: dict[str, Any], attempts: int, limit: int) -> Iterator[dict[str, Any]]:
    path, empty = archive["path"], True
    try:
        with io.BufferedReader(OpenedFile(path, attempts), LISTING_AHEAD) as file:
            for member in members(file, path):
                empty = False
                yield archive | _row(path, member, limit)
    except UnreadError as error:
        yield archive | {"reason": f"archive that {error}"}
        return
    if empty:
        yield archive | {"reason": "archive without a file in it"}


def _row(archive: str, member: Member, limit: int) -> dict[str, Any]:
    if not member.name:
        return {"reason": member.reason}
    return {
        "path": f"{archive}{MARK}{member.name}",
        "bytes": member.bytes,
        "reason": member.reason or refused_size(member.bytes, limit),
        "place": archive,
        "offset": member.offset,
        "stored": member.stored,
        "packing": member.packing,
    }


def is_member(path: str, place: str) -> bool:
    """Whether a file is a member of the archive at a place; else it is that place itself."""
    return path != place


def content_of_each(files: DataFrame, config: Config, size: int | None = None) -> DataFrame:
    """Read files by the executors, whatever they are: rows of `CONTENT`, one for each.

    Parameters
    ----------
    files : rows of `files`; one without a place is itself the place of its bytes
    size : bytes that will be read, about; None adds them up
    """
    placed = files.withColumns(
        {
            "place": F.coalesce("place", "path"),
            "offset": F.coalesce("offset", F.lit(0)),
            "stored": F.coalesce("stored", "bytes", F.lit(GUESSED_BYTES)),
        }
    )
    if size is None:
        size = placed.agg(F.sum("stored")).collect()[0][0] or 0
    return placed_content(placed, size, config)


def placed_content(files: DataFrame, size: int, config: Config) -> DataFrame:
    """Read what lies at places of its own (`place`, `offset`): rows of `CONTENT`.

    Parameters
    ----------
    files : rows of `files`
    size : bytes that will be read, about
    """
    names = ("path", "place", "offset", "stored", "packing", "bytes")
    # A tar that is packed whole is read from its beginning, so by one task.
    together = ["place", f"if(packing in ({', '.join(map(repr, STREAMS))}), 0, offset) as start"]
    sorted_rows = (
        files.selectExpr(*names, together[1])
        .repartitionByRange(tasks(size), "place", "start")
        .sortWithinPartitions("place", "offset")
        .select(*names)
    )
    return map_batches(sorted_rows, _reader(config), CONTENT)


def _reader(config: Config) -> Callable[[Batches], Batches]:
    most = config.spark.batch_bytes

    def read(batches: Batches) -> Batches:
        cells: list[dict[str, Any]] = []
        held = 0
        with _Places(config) as places:
            for batch in batches:
                for (place, packing), rows in groupby(batch.to_pylist(), _place_of):
                    wanted = list(rows)
                    places.open(place, packing, wanted)
                    for row in wanted:
                        cells.append({"path": row["path"], **places.read(row)})
                        held += len(cells[-1].get("content", b""))
                        if held >= most:
                            yield pa.RecordBatch.from_pylist(cells, _CONTENT)
                            cells, held = [], 0
        yield pa.RecordBatch.from_pylist(cells, _CONTENT)

    return read


def _place_of(row: dict[str, Any]) -> tuple[str, str]:
    return row["place"], row["packing"] or ""


class _Places:
    """The place that a task reads from, kept open from one batch to the next."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._open: ExitStack = ExitStack()
        self._file: IO[bytes] | None = None
        self._opened: tuple[object, ...] = ()
        self._failed = 0

    def __enter__(self) -> _Places:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def open(self, place: str, packing: str, rows: list[dict[str, Any]]) -> None:
        """Open a place, unless it is open; `rows` decide how much is asked for at once."""
        wanted = sum(row["stored"] for row in rows)
        span = rows[-1]["offset"] + rows[-1]["stored"] - rows[0]["offset"]
        dense = packing in STREAMS or 4 * wanted > span
        opened = place, packing, dense
        if opened == self._opened:
            return
        self._open.close()
        self._open = ExitStack()
        attempts = self._config.source.attempts if self._failed < GIVEN_UP else 1
        raw = OpenedFile(place, attempts)
        ahead = READ_AHEAD if dense else LISTING_AHEAD
        buffered = io.BufferedReader(raw, min(ahead, max(span + 1, LEAST_READ)))
        self._file = unpacked_archive(self._open.enter_context(buffered), packing)
        self._opened = opened

    def read(self, row: dict[str, Any]) -> dict[str, Any]:
        """Read one file: its `content`, or `status` and `reason`."""
        assert self._file is not None
        limit = self._config.decode.max_bytes
        try:
            if is_member(row["path"], row["place"]):
                member = Member(
                    row["path"], row["bytes"], row["offset"], row["stored"], row["packing"]
                )
                data = content(self._file, member, is_zip(row["place"]))
            else:
                self._file.seek(0)
                data = self._file.read(min(row["stored"], limit) + 1)
                if len(data) > row["stored"]:
                    data += self._file.read(limit + 1 - len(data))
        except UnreadError as error:
            self._failed += error.passing
            self._opened = ()
            return {"status": UNREADABLE if error.passing else "quarantined", "reason": str(error)}
        except ValueError as error:
            return {"status": "quarantined", "reason": str(error)}
        self._failed = 0
        if reason := refused_size(len(data), limit):
            return {"status": "quarantined", "reason": reason}
        return {"content": data}
