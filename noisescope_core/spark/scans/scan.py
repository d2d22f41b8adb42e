"""A scheduled scan: what is new is tested against the registry, what nothing claims is searched.

A scan reads the batches that its stream has staged, searches the images that wait for a claim,
adds new fingerprints to the registry, and writes verdicts. Its row in `runs` is written last and
commits it. Until then everything is a merge of what the staged batches say, so a scan that died is
done again by the next, to the same end.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import Window
from pyspark.sql import functions as F

from noisescope_core import __version__
from noisescope_core.app.alerts import alerts
from noisescope_core.config import Config
from noisescope_core.errors import NoiseScopeError
from noisescope_core.spark.scans.arrivals import (
    arrivals_in,
    merge_images,
    noted_batches,
    staged_batches,
    staged_run,
)
from noisescope_core.spark.scans.context import Scan, run_of
from noisescope_core.spark.scans.judge import judge
from noisescope_core.spark.scans.lease import leased
from noisescope_core.spark.scans.registry import RegistryState, registry_state, take_in
from noisescope_core.spark.scans.retest import retest
from noisescope_core.spark.scans.search import search_waiting, without_search
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.scans.tested import registry_tests
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.tables.frames import frame
from noisescope_core.tables.rows import RunRow
from noisescope_core.tables.schemas import LONG_LIVED

_PARTS = {"arrivals": "arrivals", "decisions": "tables", "merge": "tables", "verdicts": "tables"}
"""Stage to the part of a scan whose seconds `runs` has; all other stages are the search's."""


def scan(
    store: Store, config: Config, progress: Progress, images: str, reference: str
) -> dict[str, Any]:
    """Scan what is new in a folder, and finish a scan that died before.

    Parameters
    ----------
    images : folder or URI that grows
    reference : folder or URI of photographs known real

    Returns
    -------
    dict
        The row of `runs`.

    Raises
    ------
    NoiseScopeError
        If another scan holds the tables, or the folders cannot be listed.
    """
    store.create()
    with leased(store, config.scan.lease_minutes) as check_lease:
        started = datetime.now(UTC)
        row = _scan(_begun(store, config, progress, images, reference), started)
        check_lease()
        store.merge("runs", frame(store.spark, [row], LONG_LIVED["runs"]), scan=row.scan)
        tidy(store, config, row.scan)
    _check_unreadable(store, config, row)
    return dict(vars(row))


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


def _begun(store: Store, config: Config, progress: Progress, images: str, reference: str) -> Scan:
    """Begin the scan after the last one that ended, or once more the one that died."""
    runs = store.read("runs").select("scan", "registry_version", "reference", "reference_images")
    rows = runs.collect()
    last = max(rows, default=None)
    number, version = (last.scan + 1, last.registry_version) if last else (1, 0)
    searches = [
        (row.scan, row.reference_images)
        for row in rows
        if row.reference == reference and row.reference_images is not None
    ]
    searched, reference_images = max(searches, default=(0, None))
    # What the last scan may have died before taking away.
    tidy(store, config, number - 1)
    registry = _noted_registry(store, config, number)
    tests = registry_tests(store, config, registry, run_of(store, number))
    return Scan(
        store, config, progress, images, reference, number, version, searched, reference_images,
        registry, tests,
    )  # fmt: skip


def _noted_registry(store: Store, config: Config, number: int) -> RegistryState:
    """Note the registry that this scan goes by, also when it is done again."""
    run = run_of(store, number)
    text = run.text("registry.json")
    if text:
        return RegistryState.from_json(text)
    registry = registry_state(store, config.scan, number)
    run.write_text("registry.json", registry.to_json())
    return registry


def _scan(scan: Scan, started: datetime) -> RunRow:
    """Do all of a scan but its commit."""
    store, progress = scan.store, scan.progress
    retest(scan)
    batches = staged_batches(scan)
    with progress.stage("merge") as stage:
        arrivals = arrivals_in(scan, batches)
        if arrivals.files:
            merge_images(scan, arrivals.rows)
        stage.done(f"{len(arrivals.files):,} files")
    search = search_waiting(scan) if arrivals.files else without_search(scan)
    with progress.stage("verdicts") as stage:
        new = _register(scan) if search.done else 0
        # Of each path there is one verdict to a version.
        changed = bool(new or scan.registry.decisions or search.decides)
        version = scan.version + changed
        counts = judge(scan, arrivals, search, version)
        take_in(store, scan.registry, version, scan.number)
        stage.done(f"new fingerprints: {new}, images that carry one: {counts.fake:,}")
    row = RunRow(
        scan=scan.number, run_id=progress.run_id, images=scan.images, reference=scan.reference,
        reference_images=search.reference_images, version=__version__,
        config_hash=config_hash(scan.config), started=started, finished=datetime.now(UTC),
        **_seconds(progress), files=len(arrivals.files), **vars(counts), found=new,
        registry_version=version,
    )  # fmt: skip
    earlier = store.read("runs").where(F.col("scan") < scan.number).collect()
    texts = alerts(vars(row), [run.asDict() for run in earlier], scan.config.alerts)
    return replace(row, alerts=texts)


def _register(scan: Scan) -> int:
    """Enter the generators' fingerprints that a search found: how many."""
    flagged = scan.run.read("fingerprints").where("flagged")
    count = flagged.count()
    if count:
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


def config_hash(config: Config) -> str:
    """Tell configurations apart that can give other verdicts."""
    deciding = config.model_dump(exclude={"alerts", "observe", "report", "spark"})
    text = json.dumps(deciding, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def tidy(store: Store, config: Config, number: int) -> None:
    """Take away what a finished scan needs no more: staged files, images claimed or too many."""
    run = run_of(store, number)
    batches = noted_batches(run)
    if batches is None:
        return
    claimed = store.read("verdicts").where((F.col("scan") == number) & F.col("is_fake"))
    newest = Window.partitionBy("width", "height").orderBy(F.desc("scan"), "image_id")
    waiting = store.read("waiting").select("width", "height", "scan", "image_id")
    placed = waiting.withColumn("place", F.row_number().over(newest))
    too_many = placed.where(F.col("place") > config.scan.waiting).select("image_id")
    claimed = waiting.join(claimed.select("image_id"), "image_id", "left_semi").select("image_id")
    store.delete("waiting", claimed.union(too_many).distinct(), seldom=True)
    for batch in batches:
        staged_run(store, batch).remove_whole()
    run.remove_whole()
