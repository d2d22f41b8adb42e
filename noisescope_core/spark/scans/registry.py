"""The registry of fingerprints: what analysts decide, and what the next scan makes of it.

A decision is a row of `decisions`, so that whoever decides is in nobody's way. The next scan takes
it in: it gives the fingerprint its state, and judges again the images that the decision concerns,
and no others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import Row
from pyspark.sql import functions as F

from noisescope_core.app.registry import (
    FALSE_ALARM,
    Standing,
    meaning,
    passed_over,
    resolve_names,
    unmet,
)
from noisescope_core.config import Scan as Limits
from noisescope_core.errors import UsageError
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.tables.frames import frame
from noisescope_core.spark.tables.sizes import of_size
from noisescope_core.tables.rows import DecisionRow
from noisescope_core.tables.schemas import LONG_LIVED, REGISTRY_LIST

DECIDED = ("state", "merged_into", "note")
"""Columns of a fingerprint that a decision changes."""

DRAWN = 20_000
"""Scores that a page draws at most, of files that carry a fingerprint and of others; chosen: so
many show how scores are spread, and fit the driver with ease."""


PROGRAM = "noisescope"
"""Analyst of the decisions that a scan takes by itself."""

_ENTRY = ("fingerprint_id", "state", "merged_into", "first_scan", "last_scan")


@dataclass(frozen=True)
class RegistryState:
    """The registry as a scan found it, and what has been decided since the last one.

    Attributes
    ----------
    shown_as : fingerprints that images are tested against, by the name that verdicts give them
    false_alarms : patterns known to be no generator's
    regained : of `shown_as`, those that images were not tested against before
    renamed : name that verdicts give a fingerprint, and its new one
    retested : names in verdicts whose images have to be tested again
    decisions : fingerprint and time of the decisions taken in
    met : the last scan that was noted in which an image met each fingerprint, 0 if none was
    """

    shown_as: dict[str, str] = field(default_factory=dict)
    false_alarms: list[str] = field(default_factory=list)
    regained: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    retested: list[str] = field(default_factory=list)
    decisions: list[tuple[str, str]] = field(default_factory=list)
    met: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """Write it down."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> RegistryState:
        """Read what `to_json` wrote, in an earlier version too, which called `retested` `again`."""
        fields = json.loads(text)
        if "again" in fields:
            fields["retested"] = fields.pop("again")
        return RegistryState(**fields)


def registry_state(store: Store, limits: Limits, scan: int) -> RegistryState:
    """Read the registry for a scan, and retire the candidates that no image has met for long.

    Parameters
    ----------
    limits : section `scan` of the configuration
    scan : number of the scan
    """
    rows = store.read("fingerprints").select(*_ENTRY).collect()
    after = {row.fingerprint_id: Standing(row.state, row.merged_into) for row in rows}
    before: dict[str, Standing | None] = dict(after)
    # An imported one has been met by no scan yet.
    met = {row.fingerprint_id: row.last_scan or row.first_scan or scan for row in rows}
    decisions: list[Any] = _pending(store)
    for row in decisions:
        after[row.fingerprint_id] = Standing(row.state, row.merged_into)
        met.setdefault(row.fingerprint_id, scan)
    if names := unmet(after, met, scan, limits.candidate_scans):
        note = f"no image met it in {limits.candidate_scans:,} scans"
        decisions += _decided(store, names, after, "retired", note, PROGRAM)
        after |= dict.fromkeys(names, Standing("retired", None))
    for row in reversed(decisions):
        earlier = Standing(row.before, row.before_into) if row.before else None
        before[row.fingerprint_id] = earlier
    too_many, too_many_before = (
        passed_over(standings, met, limits.candidates) for standings in (after, before)
    )
    meanings = {name: meaning(name, after) for name in sorted(after)}
    regained, renamed, retested = [], {}, set()
    for name, now in meanings.items():
        was = meaning(name, before)
        if now == was:
            continue
        if now.kind == "active" and was.kind == "active":
            if name == was.shown_as:
                renamed[name] = now.shown_as
            else:
                retested.add(was.shown_as)
        elif now.kind == "active":
            regained.append(name)
            retested |= {name, was.shown_as}
        elif now.kind == FALSE_ALARM:
            retested |= {name, was.shown_as}
    tested = {
        name: now.shown_as
        for name, now in meanings.items()
        if now.kind == "active" and name not in too_many
    }
    return RegistryState(
        tested,
        [name for name, now in meanings.items() if now.kind == FALSE_ALARM],
        [name for name in tested if name in regained or name in too_many_before],
        renamed,
        sorted(retested),
        [(row.fingerprint_id, row.decided.astimezone(UTC).isoformat()) for row in decisions],
        {row.fingerprint_id: row.last_scan or 0 for row in rows},
    )


def read_standings(store: Store, pending: Sequence[Row] = ()) -> dict[str, Standing]:
    """Read how fingerprints stand.

    Parameters
    ----------
    pending : decisions that count, too, in order; none reads the registry as the last scan left it
    """
    rows = store.read("fingerprints").select("fingerprint_id", "state", "merged_into").collect()
    standings = {row.fingerprint_id: Standing(row.state, row.merged_into) for row in rows}
    for row in pending:
        if row.fingerprint_id in standings:
            standings[row.fingerprint_id] = Standing(row.state, row.merged_into)
    return standings


def _pending(store: Store) -> list[Row]:
    """Decisions that no scan has taken in, in order."""
    rows = store.read("decisions").where("scan is null").collect()
    return sorted(rows, key=lambda row: (row.decided, row.fingerprint_id))


def _last_pending(store: Store) -> dict[str, Row]:
    """Find the last decision of each fingerprint that no scan has taken in."""
    return {row.fingerprint_id: row for row in _pending(store)}


def take_in(store: Store, registry: RegistryState, version: int, number: int) -> None:
    """Note which scan took in the decisions, and what fingerprints came in by them.

    Parameters
    ----------
    version : of the registry from now on
    number : of the scan
    """
    if not registry.decisions:
        return
    decisions = [
        {"fingerprint_id": name, "decided": datetime.fromisoformat(decided)}
        for name, decided in registry.decisions
    ]
    keys = frame(store.spark, decisions, "fingerprint_id string, decided timestamp")
    last = store.read("decisions").join(keys, ["fingerprint_id", "decided"])
    last = last.groupBy("fingerprint_id").agg(
        F.max_by(F.struct("state", "merged_into", "note"), "decided").alias("last")
    )
    store.update(
        "fingerprints",
        last.select("fingerprint_id", "last.*"),
        {
            "state": "new.state", "merged_into": "new.merged_into", "note": "new.note",
            "registry_version": f"coalesce(old.registry_version, {version})",
            "first_scan": f"coalesce(old.first_scan, {number})",
        },
    )  # fmt: skip
    store.update("decisions", keys, {"scan": str(number)})


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
    standings = read_standings(store, _pending(store))
    ids = _resolved(names, standings)
    target = _resolved([into], standings)[0] if into else None
    if target and meaning(target, standings).shown_as in ids:
        raise UsageError(f"--into: {target} is among the fingerprints to be merged, or is in one")
    _decided(store, ids, standings, state, note, analyst, target)
    return ids


def _decided(
    store: Store, names: Iterable[str], standings: Mapping[str, Standing], state: str,
    note: str | None, analyst: str, into: str | None = None,
) -> list[DecisionRow]:  # fmt: skip
    """Write decisions."""
    now = datetime.now(UTC)
    decisions = [
        DecisionRow(
            fingerprint_id=name, decided=now, before=standings[name].state,
            before_into=standings[name].merged_into, state=state, merged_into=into, note=note,
            analyst=analyst,
        )
        for name in sorted(names)
    ]  # fmt: skip
    store.append("decisions", frame(store.spark, decisions, LONG_LIVED["decisions"]))
    return decisions


def _resolved(names: Sequence[str], ids: Iterable[str]) -> list[str]:
    return resolve_names(names, ids, "registry", "noisescope registry list")


def list_fingerprints(store: Store) -> list[dict[str, Any]]:
    """Rows of the registry without pixels, the latest first.

    Returns
    -------
    list of dict
        Columns of `fingerprints`, and `pending`: whether a decision waits for the next scan.
    """
    pending = _last_pending(store)
    rows = store.read("fingerprints").select(*REGISTRY_LIST).collect()
    rows.sort(key=lambda row: (-(row.first_scan or 0), row.fingerprint_id))
    return [_as_decided(row.asDict(), pending) for row in rows]


def _as_decided(fingerprint: dict[str, Any], pending: Mapping[str, Row]) -> dict[str, Any]:
    """Show a fingerprint as the last decision has it, whether or not a scan has taken that in."""
    decision = pending.get(fingerprint["fingerprint_id"])
    decided = {} if decision is None else {name: decision[name] for name in DECIDED}
    return fingerprint | decided | {"pending": decision is not None}


def describe_fingerprint(store: Store, name: str, most: int) -> dict[str, Any]:
    """Tell what is known of one fingerprint: its row, decisions, and the files that carry it.

    Parameters
    ----------
    name : its id, or a beginning that tells it
    most : files that are named, those of the highest score first

    Raises
    ------
    UsageError
        If the name tells no fingerprint or several.
    """
    (fingerprint_id,) = _resolved([name], read_standings(store))
    of_it = F.col("fingerprint_id") == fingerprint_id
    (fingerprint,) = store.read("fingerprints").where(of_it).collect()
    flat = store.read("current_verdicts").where("score is not null").select(
        "path", "width", "height", "is_fake", "fingerprint_id", "score", "confidence", "scan"
    )  # fmt: skip
    carrying = flat.where(of_it & F.col("is_fake"))
    others = flat.where(~F.col("is_fake"))
    if fingerprint.kind != "lattice":
        others = others.where(of_size((fingerprint.width, fingerprint.height)))
    others = others.orderBy(F.xxhash64("path")).limit(DRAWN)
    best = carrying.orderBy(F.desc("score"), "path").limit(max(most, DRAWN)).collect()
    decisions = store.read("decisions").where(of_it).orderBy("decided").collect()
    return {
        "fingerprint": _as_decided(fingerprint.asDict(), _last_pending(store)),
        "decisions": [row.asDict() for row in decisions],
        "files": carrying.count(),
        "best": [row.asDict() for row in best[:most]],
        "scores": [row.score for row in best],
        "others": [row.score for row in others.select("score").collect()],
    }
