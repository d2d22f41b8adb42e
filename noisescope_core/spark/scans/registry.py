"""The registry of fingerprints: what analysts decide, and what the next scan makes of it.

A decision changes the state of a fingerprint at once and is kept in `decisions`. The next scan
takes it in: it judges again the images that the decision concerns, and no others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import Row
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from noisescope_core.errors import UsageError
from noisescope_core.spark.scans.store import Store
from noisescope_core.tables.schemas import LONG_LIVED, SCHEMAS, columns, columns_of
from noisescope_core.whitened.planes.bands import BANDS, PLANES, compared

ACTIVE = ("candidate", "confirmed")
"""States of a fingerprint that images are tested against."""

FALSE_ALARM, MERGED = "false alarm", "merged"
STATES = (*ACTIVE, "retired", FALSE_ALARM, MERGED)

EXPORTED = ("state", "merged_into", "note", *columns("fingerprints"))
"""Columns of the file in which a registry travels."""

FORMAT = b"noisescope.registry"
VERSION = b"1"

State = tuple[str, str | None]
"""State of a fingerprint, and the one that it was merged into."""


@dataclass(frozen=True)
class Known:
    """The registry as a scan found it, and what has been decided since the last one.

    Attributes
    ----------
    shown_as : fingerprints that images are tested against, by the name that verdicts give them
    false_alarms : patterns known to be no generator's
    regained : of `shown_as`, those that images were not tested against before
    renamed : name that verdicts give a fingerprint, and its new one
    again : names in verdicts whose images have to be tested again
    decisions : fingerprint and time of the decisions taken in
    """

    shown_as: dict[str, str] = field(default_factory=dict)
    false_alarms: list[str] = field(default_factory=list)
    regained: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    again: list[str] = field(default_factory=list)
    decisions: list[tuple[str, str]] = field(default_factory=list)

    def text(self) -> str:
        """Write it down."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def of(text: str) -> Known:
        """Read what `text` wrote."""
        return Known(**json.loads(text))


def known(store: Store) -> Known:
    """Read the registry for a scan."""
    rows = store.read("fingerprints").select("fingerprint_id", "state", "merged_into").collect()
    after: dict[str, State] = {row.fingerprint_id: (row.state, row.merged_into) for row in rows}
    before: dict[str, State | None] = dict(after)
    decisions = _pending(store)
    for row in decisions:
        # What was decided holds even if the process died before it told the registry.
        after[row.fingerprint_id] = (row.state, row.merged_into)
    for row in reversed(decisions):
        before[row.fingerprint_id] = (row.before, row.before_into) if row.before else None
    was = {name: _meaning(name, before) for name in before}
    now = {name: _meaning(name, after) for name in after}
    regained, renamed, again = [], {}, set()
    for name, (state, shown) in sorted(now.items()):
        state_before, shown_before = was[name]
        if (state, shown) == (state_before, shown_before):
            continue
        if state == "active" and state_before == "active":
            if name == shown_before:
                renamed[name] = shown
            else:
                again.add(shown_before)
        elif state == "active":
            regained.append(name)
            again |= {name, shown_before}
        elif state == FALSE_ALARM:
            again |= {name, shown_before}
    return Known(
        {name: shown for name, (state, shown) in sorted(now.items()) if state == "active"},
        sorted(name for name, (state, _) in now.items() if state == FALSE_ALARM),
        regained,
        renamed,
        sorted(again),
        [(row.fingerprint_id, row.decided.isoformat()) for row in decisions],
    )


def _pending(store: Store) -> list[Row]:
    """Decisions that no scan has taken in, in order."""
    rows = store.read("decisions").where("scan is null").collect()
    return sorted(rows, key=lambda row: (row.decided, row.fingerprint_id))


def _meaning(name: str, states: dict[str, Any]) -> tuple[str, str]:
    """What a state means for images: `active`, `false alarm` or `none`, and the name shown."""
    state = states[name]
    while state is not None and state[0] == MERGED and state[1] in states:
        name = state[1]
        state = states[name]
    kind = "none" if state is None else state[0]
    return ("active" if kind in ACTIVE else kind if kind == FALSE_ALARM else "none"), name


def take_in(store: Store, taken: Known, version: int, number: int) -> None:
    """Note which scan took in the decisions, and what fingerprints came in by them."""
    if not taken.decisions:
        return
    keys = [(name, datetime.fromisoformat(decided)) for name, decided in taken.decisions]
    keyed = store.spark.createDataFrame(keys, "fingerprint_id string, decided timestamp")
    last = store.read("decisions").join(keyed, ["fingerprint_id", "decided"])
    last = last.groupBy("fingerprint_id").agg(
        F.max_by(F.struct("state", "merged_into", "note"), "decided").alias("told")
    )
    store.update(
        "fingerprints",
        last.select("fingerprint_id", "told.*"),
        {
            "state": "new.state", "merged_into": "new.merged_into", "note": "new.note",
            "registry_version": f"coalesce(old.registry_version, {version})",
            "first_scan": f"coalesce(old.first_scan, {number})",
        },
    )  # fmt: skip
    store.update("decisions", keyed, {"scan": str(number)})


def decide(
    store: Store, names: Sequence[str], state: str, note: str | None, analyst: str,
    into: str | None = None,
) -> list[str]:  # fmt: skip
    """Change the state of fingerprints; images are judged by it at the next scan.

    Parameters
    ----------
    names : fingerprint ids, or beginnings that tell them
    into : of `merged`, the fingerprint whose name images of the others get

    Returns
    -------
    list of str
        The ids.

    Raises
    ------
    UsageError
        If a name tells no fingerprint or several, or the merging would go round in a circle.
    """
    rows = store.read("fingerprints").select("fingerprint_id", "state", "merged_into").collect()
    states: dict[str, State] = {row.fingerprint_id: (row.state, row.merged_into) for row in rows}
    found = resolved(names, states)
    target = resolved([into], states)[0] if into else None
    if target and _meaning(target, states)[1] in found:
        raise UsageError(f"--into: {target} is among the fingerprints to be merged, or is in one")
    now = datetime.now(UTC).replace(tzinfo=None)
    decided = [
        (name, now, *states[name], state, target, note, analyst, None) for name in sorted(found)
    ]
    changes = store.spark.createDataFrame(decided, LONG_LIVED["decisions"])
    store.merge("decisions", changes)
    store.update(
        "fingerprints", changes,
        {"state": "new.state", "merged_into": "new.merged_into", "note": "new.note"},
    )  # fmt: skip
    return found


def resolved(names: Iterable[str], known_ids: Iterable[str]) -> list[str]:
    """Find the fingerprints whose ids begin so; raises UsageError if one does not tell one."""
    ids, found, wrong = sorted(known_ids), [], []
    for name in names:
        fitting = [name] if name in ids else [one for one in ids if one.startswith(name)]
        found += fitting[:1]
        if len(fitting) != 1:
            wrong.append(f"{name}: {'several' if fitting else 'no'} fingerprints begin so")
    if wrong:
        raise UsageError("registry: " + "; ".join(wrong) + " (noisescope registry list)")
    return list(dict.fromkeys(found))


def listed(store: Store) -> list[dict[str, Any]]:
    """Rows of the registry without pixels, the latest first, and whether a scan has yet to come."""
    pending = {row.fingerprint_id for row in _pending(store)}
    shown = [
        "fingerprint_id", "state", "merged_into", "note", "width", "height", "images", "maker",
        "first_scan", "last_scan", "registry_version",
    ]  # fmt: skip
    rows = store.read("fingerprints").select(*shown).collect()
    rows.sort(key=lambda row: (-(row.first_scan or 0), row.fingerprint_id))
    return [row.asDict() | {"pending": row.fingerprint_id in pending} for row in rows]


def shown(store: Store, name: str, most: int) -> dict[str, Any]:
    """What is known of one fingerprint: its row, decisions, and the files that carry it.

    Parameters
    ----------
    most : files that are named, those of the highest score first
    """
    ids = store.read("fingerprints").select("fingerprint_id").collect()
    (found,) = resolved([name], [row.fingerprint_id for row in ids])
    of_it = F.col("fingerprint_id") == found
    (row,) = store.read("fingerprints").where(of_it).collect()
    verdicts = store.read("verdicts").where("score is not null")
    size = (F.col("width") == row.width) & (F.col("height") == row.height)
    held = F.max_by(F.struct("is_fake", "fingerprint_id", "score", "confidence", "scan"),
                    "registry_version")  # fmt: skip
    held_now = verdicts.groupBy("path").agg(held.alias("now"), F.first("width").alias("width"),
                                            F.first("height").alias("height"))  # fmt: skip
    flat = held_now.select("path", "width", "height", "now.*")
    carrying = flat.where(of_it & F.col("is_fake"))
    others = flat.where(size & ~F.col("is_fake")).orderBy(F.xxhash64("path")).limit(_OTHERS)
    best = carrying.orderBy(F.desc("score"), "path").limit(max(most, _OTHERS)).collect()
    decisions = store.read("decisions").where(of_it).orderBy("decided").collect()
    return {
        "fingerprint": row.asDict(),
        "decisions": [one.asDict() for one in decisions],
        "files": carrying.count(),
        "best": [one.asDict() for one in best[:most]],
        "scores": [one.score for one in best],
        "others": [one.score for one in others.select("score").collect()],
    }


_OTHERS = 20_000
"""Scores that are drawn at most, of files that carry a fingerprint and of others."""


def export_registry(store: Store, file: str) -> int:
    """Write the registry to one Parquet file (docs/scheduled.md): how many fingerprints."""
    rows = store.read("fingerprints").select(*EXPORTED).orderBy("fingerprint_id").collect()
    schema = _file_schema(store)
    cells = [dict(zip(EXPORTED, row, strict=True)) for row in rows]
    pq.write_table(pa.Table.from_pylist(cells, schema), file, compression="zstd")
    return len(rows)


def import_registry(store: Store, file: str, analyst: str, side: int) -> tuple[int, int]:
    """Take in the fingerprints of a file that another deployment wrote.

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
    schema = _file_schema(store)
    try:
        table = pq.read_table(file)
        told = (table.schema.metadata or {}).get(FORMAT)
        if told != VERSION:
            raise ValueError("no registry of this format" if told is None else f"format {told!r}")
        rows = table.cast(schema).to_pylist()
        for row in rows:
            _check_fingerprint(row, side)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise UsageError(f"{file}: cannot be imported ({str(error).splitlines()[0]})") from error
    there = {row[0] for row in store.read("fingerprints").select("fingerprint_id").collect()}
    new = [row for row in rows if row["fingerprint_id"] not in there]
    if new:
        now = datetime.now(UTC).replace(tzinfo=None)
        names = ("fingerprint_id", "decided", "before", "before_into", "state", "merged_into",
                 "note", "analyst", "scan")  # fmt: skip
        decided = [{"decided": now, "analyst": analyst, **row} for row in new]
        changes = [tuple(row.get(name) for name in names) for row in decided]
        entries = [tuple(row.get(name) for name in columns_of("fingerprints")) for row in new]
        store.merge(
            "fingerprints", store.spark.createDataFrame(entries, LONG_LIVED["fingerprints"])
        )
        store.merge("decisions", store.spark.createDataFrame(changes, LONG_LIVED["decisions"]))
    return len(new), len(rows) - len(new)


def _file_schema(store: Store) -> pa.Schema:
    declared = store.spark.createDataFrame([], f"state string, merged_into string, note string, "
                                               f"{SCHEMAS['fingerprints']}").schema  # fmt: skip
    return to_arrow_schema(declared).with_metadata({FORMAT: VERSION})


def _check_fingerprint(row: dict[str, Any], side: int) -> None:
    """Raise ValueError if a fingerprint of a file cannot be one of ours."""
    name, width, height = row["fingerprint_id"], row["width"], row["height"]
    if row["state"] not in STATES:
        raise ValueError(f"{name}: state {row['state']!r}")
    if missing := [column for column in _NEEDED if row[column] is None]:
        raise ValueError(f"{name}: without {', '.join(missing)}")
    values = len(PLANES) * compared(height, width, side).values
    told: dict[str, tuple[NDArray[Any], int]] = {
        "pixels": (np.frombuffer(row["pixels"], np.float32), width * height),
        "whitened": (np.frombuffer(row["whitened"], np.float32), values),
        "weights": (np.array(row["weights"], np.float64), len(BANDS)),
        "centres": (np.array(row["centres"], np.float64), len(BANDS)),
    }
    for column, (cells, count) in told.items():
        if len(cells) != count or not np.isfinite(cells).all():
            raise ValueError(f"{name}: {column} are no {count:,} numbers of {width} x {height}")


_NEEDED = (
    "fingerprint_id", "width", "height", "members", "weights", "centres", "threshold",
    "reference_centre", "reference_spread", "member_mean", "member_spread", "prior", "pixels",
    "whitened",
)  # fmt: skip
