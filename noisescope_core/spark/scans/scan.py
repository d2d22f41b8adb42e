"""A scheduled scan: what is new is tested against the registry, what nothing claims is searched.

A scan reads what its listing found, searches the images that wait for a claim, adds new
fingerprints to the registry, and writes verdicts. Its row in `runs` is written last and commits it.
Until then nothing is added to a table twice, so a scan that died is done again by the next, to the
same end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow.dataset as ds
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from noisescope_core import __version__
from noisescope_core.app.alerts import LOOKED_AT, alerts
from noisescope_core.config import Config, config_hash
from noisescope_core.errors import NoiseScopeError
from noisescope_core.spark.scans.arrivals import listing_of, read_arrivals, take
from noisescope_core.spark.scans.context import Scan, run_of
from noisescope_core.spark.scans.judge import Counts, judge
from noisescope_core.spark.scans.lease import LeaseError, leased
from noisescope_core.spark.scans.listing import list_new, unseen
from noisescope_core.spark.scans.registry import RegistryState, registry_state, take_in
from noisescope_core.spark.scans.retest import retest
from noisescope_core.spark.scans.search import search_waiting, without_search
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.scans.tested import registry_tests
from noisescope_core.spark.scans.upgrade import open_tables
from noisescope_core.spark.scans.waiting import Kept, release
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.sources.listed import top_folders
from noisescope_core.spark.tables.frames import frame
from noisescope_core.spark.tables.run import Run, folders_in
from noisescope_core.tables.rows import RunRow
from noisescope_core.tables.schemas import LONG_LIVED

_PARTS = dict.fromkeys(("listing", "take", "arrivals"), "arrivals") | dict.fromkeys(
    ("decisions", "verdicts"), "tables"
)
"""Stage to the part of a scan whose seconds `runs` has; all other stages are the search's."""


def scan(
    store: Store,
    config: Config,
    progress: Progress,
    images: str,
    reference: str,
    since: datetime | None = None,
    retry_quarantined: bool = False,
    folders: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Scan what is new in a folder, and finish a scan that died before.

    Parameters
    ----------
    images : folder or URI that grows
    reference : folder or URI of photographs known real
    since : files that were changed before are not looked at; None looks at all
    retry_quarantined : whether files that were set aside are read again
    folders : of `images` that are looked at; None looks at all

    Returns
    -------
    dict
        The row of `runs`; where nothing was new, that of the last scan with counts of nothing.

    Raises
    ------
    NoiseScopeError
        If another scan holds the tables, or the folders cannot be listed.
    """
    open_tables(store)
    started = datetime.now(UTC)
    last, undecided = _last_run(store)
    listing = list_new(store, config, progress, images, since, folders)
    due = listing.count("listed") or retry_quarantined or undecided
    if last and not (due or _is_begun(store, last)):
        listing.remove_whole()
        return dict(vars(_nothing(progress, last, started)))
    with _taken_back(listing), leased(store, config.scan.lease_minutes) as held:
        scan = _begun(held, config, progress, images, reference)
        listing = _still_new(scan, listing, last)
        row, kept = _scan(scan, listing, retry_quarantined, started)
        held.append("runs", frame(store.spark, [row], LONG_LIVED["runs"]), row.scan)
        tidy(held, config, row, kept)
    _check_unreadable(store, config, row)
    return dict(vars(row))


@contextmanager
def _taken_back(listing: Run) -> Iterator[None]:
    """Remove a listing if no scan has taken it."""
    try:
        yield
    except LeaseError:
        listing.remove_whole()
        raise


def backfill(
    store: Store,
    config: Config,
    progress: Progress,
    images: str,
    reference: str,
    since: datetime | None = None,
) -> Iterator[dict[str, Any]]:
    """Scan a store that was there before, some of its folders at a time, until nothing is new.

    Parameters
    ----------
    images, reference, since : as of `scan`

    Yields
    ------
    dict
        What `scan` returns, for every scan; a backfill that is begun again goes on with what is
        new.
    """
    at_once = config.scan.list_tasks
    parts: list[list[str] | None] = [None]
    if config.scan.listing is None:
        names = top_folders(store.spark, images, config)
        parts = [names[first : first + at_once] for first in range(0, len(names), at_once)]
    for folders in parts:
        while True:
            row = scan(store, config, progress, images, reference, since, folders=folders)
            yield row
            if not row["files"]:
                break


def _check_unreadable(store: Store, config: Config, row: RunRow) -> None:
    """Raise NoiseScopeError if too many of the files that are new could not be read."""
    if not row.unreadable:
        return
    queue = store.read("unreadable")
    failed = queue.where(F.col("first_scan") == row.scan).count()
    tried_before = row.unreadable - failed
    if failed <= config.source.unreadable * (row.files - tried_before):
        return
    reason = queue.where(F.col("last_scan") == row.scan).agg(F.mode("reason")).collect()[0][0]
    raise NoiseScopeError(
        f"{failed:,} of {row.files - tried_before:,} files are unreadable, more than the share "
        f"source.unreadable={config.source.unreadable:g} allows, mostly: {reason}. The scan is "
        "kept; the next one tries these files first"
    )


def _last(store: Store, count: int) -> DataFrame:
    """Rows of the last scans that ended, so many of them."""
    return store.read("runs").orderBy(F.desc("scan")).limit(count)


def _last_runs(store: Store) -> list[RunRow]:
    """Read the rows of the last scans that ended, the latest first."""
    return [RunRow(**row.asDict()) for row in _last(store, LOOKED_AT).collect()]


def _last_run(store: Store) -> tuple[RunRow | None, bool]:
    """Read the row of the last scan that ended, and whether decisions wait for the next."""
    one = store.read("decisions").where("scan is null").orderBy("decided").limit(1)
    decisions = one.select(F.lit(True).alias("waits"))
    # One question takes fewer jobs than two.
    rows = _last(store, 1).unionByName(decisions, allowMissingColumns=True).collect()
    found = [row.asDict() for row in rows]
    waits = [row.pop("waits") for row in found]
    runs = [RunRow(**row) for row, other in zip(found, waits, strict=True) if not other]
    return next(iter(runs), None), any(waits)


def _is_begun(store: Store, last: RunRow) -> bool:
    """Whether the last scan left something to do: files that it could not read, or it died."""
    died = any(name.isdigit() and int(name) > last.scan for name in folders_in(store.scans))
    return died or bool(last.queued)


def _nothing(progress: Progress, last: RunRow, started: datetime) -> RunRow:
    """Say of a scan that found nothing new what the last one left."""
    nothing: dict[str, Any] = dict.fromkeys(("files", "found", *vars(Counts())), 0)
    nothing |= {"real_score": None, "alerts": []} | _seconds(progress)
    return replace(
        last, run_id=progress.run_id, started=started, finished=datetime.now(UTC), **nothing
    )


def _begun(store: Store, config: Config, progress: Progress, images: str, reference: str) -> Scan:
    """Begin the scan after the last one that ended, or once more the one that died."""
    runs = _last_runs(store)
    last = runs[0] if runs else None
    number, version = (last.scan + 1, last.registry_version) if last else (1, 0)
    searches = (
        (run.scan, run.reference_images)
        for run in runs
        if run.reference == reference and run.reference_images is not None
    )
    searched, reference_images = next(searches, (0, None))
    queued = last.queued if last else 0
    if last:
        # What the last scan may have died before taking away.
        tidy(store, config, last)
    registry = _noted_registry(store, config, number)
    tests = registry_tests(store, config, registry, run_of(store, number))
    return Scan(
        store, config, progress, images, reference, number, runs, queued, version, searched,
        reference_images, registry, tests,
    )  # fmt: skip


def _still_new(scan: Scan, listing: Run, last: RunRow | None) -> Run:
    """Leave out what another scan took since the listing; a scan that died has its own."""
    if listing_of(scan.store, scan.run) is not None:
        listing.remove_whole()
    elif scan.number != (last.scan + 1 if last else 1):
        found = listing.read("listed").drop("replaced")
        now = Run(scan.store.spark, f"{listing.location}-now")
        now.write("listed", unseen(scan.store, found))
        listing.remove_whole()
        return now
    return listing


def _noted_registry(store: Store, config: Config, number: int) -> RegistryState:
    """Note the registry that this scan goes by, also when it is done again."""
    run = run_of(store, number)
    text = run.text("registry.json")
    if text:
        return RegistryState.from_json(text)
    registry = registry_state(store, config.scan, number)
    run.write_text("registry.json", registry.to_json())
    return registry


def _scan(
    scan: Scan, listing: Run, retry_quarantined: bool, started: datetime
) -> tuple[RunRow, Kept | None]:
    """Do all of a scan but its commit: its row, and what a search found stored."""
    store, progress = scan.store, scan.progress
    retest(scan)
    begun = take(scan, listing, retry_quarantined)
    arrivals = read_arrivals(scan, begun)
    search = search_waiting(scan) if arrivals.files else without_search(scan)
    with progress.stage("verdicts") as stage:
        new = _register(scan) if search.done else 0
        # Of each path there is one verdict to a version and scan.
        changed = bool(new or scan.registry.decisions or search.decides)
        version = scan.version + changed
        counts = judge(scan, arrivals, search, version)
        take_in(store, scan.registry, version, scan.number)
        stage.done(f"new fingerprints: {new}, images that carry one: {counts.fake:,}")
    row = RunRow(
        scan=scan.number, run_id=progress.run_id, images=scan.images, reference=scan.reference,
        reference_images=search.reference_images, version=__version__,
        config_hash=config_hash(scan.config), started=started, finished=datetime.now(UTC),
        **_seconds(progress), files=arrivals.files, **vars(counts), found=new,
        registry_version=version,
    )  # fmt: skip
    texts = alerts(vars(row), [vars(run) for run in scan.runs], scan.config.alerts)
    return replace(row, alerts=texts), search.waiting.kept if search.waiting else None


def _register(scan: Scan) -> int:
    """Enter the generators' fingerprints that a search found: how many."""
    count = scan.run.count("fingerprints", ds.field("flagged"))
    if count:
        flagged = scan.run.read("fingerprints").where("flagged")
        entry = {
            "registry_version": scan.version + 1,
            "state": "candidate",
            "merged_into": None,
            "note": None,
            "first_scan": scan.number,
            "last_scan": scan.number,
        }
        entries = flagged.withColumns({name: F.lit(value) for name, value in entry.items()})
        scan.store.merge("fingerprints", entries)
    return count


def _seconds(progress: Progress) -> dict[str, Any]:
    """Seconds of the parts of a scan, under the names of their columns."""
    seconds = {f"{part}_seconds": 0.0 for part in ("arrivals", "search", "tables")}
    for stage in progress.stages:
        part = _PARTS.get(str(stage["stage"]), "search")
        seconds[f"{part}_seconds"] += float(stage["seconds"])
    return seconds


def tidy(store: Store, config: Config, row: RunRow, kept: Kept | None = None) -> None:
    """Take away what a finished scan needs no more: its files, features claimed or too many.

    Parameters
    ----------
    row : of `runs`
    kept : as for `release`
    """
    run = run_of(store, row.scan)
    taken = listing_of(store, run)
    if taken is None:
        return
    release(store, config, row, kept)
    taken.remove_whole()
    run.remove_whole()
