"""A scheduled scan: what is new is tested against the registry, what nothing claims is searched.

A scan reads the batches that its stream has staged, searches the images that wait for a claim,
adds new fingerprints to the registry, and writes verdicts. Its row in `runs` is written last and
commits it. Until then everything is a merge of what the staged batches say, so a scan that died is
done again by the next, to the same end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from noisescope_core import __version__
from noisescope_core.app.alerts import alerts
from noisescope_core.config import Config
from noisescope_core.images import Size
from noisescope_core.methods import method_of
from noisescope_core.spark.scans.arrivals import stage_arrivals
from noisescope_core.spark.scans.judge import claimed_again, first_decided, judge, retest
from noisescope_core.spark.scans.lease import leased
from noisescope_core.spark.scans.registry import Known, known, take_in
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.stages.calibrate import calibrate
from noisescope_core.spark.stages.cluster import cluster
from noisescope_core.spark.stages.extract import extract_reference, reference_headers
from noisescope_core.spark.stages.listing import content_of, list_files
from noisescope_core.spark.stages.methods import correlate
from noisescope_core.spark.stages.score import Tests, score, tests_of
from noisescope_core.spark.stages.whitened.sample import sample
from noisescope_core.spark.tables.run import Run, folders_in
from noisescope_core.spark.tables.sizes import of_sizes
from noisescope_core.tables.rows import FileRow, RouteRow
from noisescope_core.tables.schemas import SCHEMAS, columns_of


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
    with leased(store, config.scan.lease_minutes) as check:
        return _scan(store, config, progress, images, reference, check)


def _scan(
    store: Store, config: Config, progress: Progress, images: str, reference: str,
    check: Callable[[], None],
) -> dict[str, Any]:  # fmt: skip
    started = datetime.now(UTC)
    last = store.read("runs").orderBy(F.desc("scan")).limit(1).collect()
    number, version = (last[0].scan + 1, last[0].registry_version) if last else (1, 0)
    # What the last scan may have died before taking away.
    tidy(store, config, number - 1)
    run = _run(store, number)
    registry, tests = _begin(store, config, run)
    retest(store, config, run, registry, tests, progress, number)
    batches = _batches(store, config, progress, run, images, tests)
    with progress.stage("merge") as stage:
        arrived = _arrived(store, batches)
        files = [FileRow(**row) for batch in batches for row in _staged(store, batch).rows("files")]
        if files:
            _merge_images(store, arrived, number)
        stage.done(f"{len(files):,} files")
    sizes = _sizes_to_search(store, config, number) if files else []
    if sizes:
        _search(store, config, progress, run, reference, sizes)
    with progress.stage("verdicts") as stage:
        found = _register(store, run, version, number) if sizes else 0
        # Of each path there is one verdict to a version.
        changed = bool(found or registry.decisions or first_decided(store, sizes, number))
        version += changed
        counts = judge(store, config, run, registry, files, arrived, sizes, version, number)
        take_in(store, registry, version, number)
        stage.done(f"new fingerprints: {found}, images that carry one: {counts['fake']:,}")
    row = {
        "scan": number, "run_id": progress.run_id, "images": images, "reference": reference,
        "version": __version__, "config_hash": config_hash(config), "started": started,
        "finished": datetime.now(UTC), **_seconds(progress), "files": len(files), **counts,
        "found": found, "registry_version": version,
    }  # fmt: skip
    earlier = [one.asDict() for one in store.read("runs").where(F.col("scan") < number).collect()]
    row["alerts"] = alerts(row, earlier, config.alerts)
    declared = store.read("runs").schema
    values = tuple(row[name] for name in declared.names)
    check()
    store.merge("runs", store.spark.createDataFrame([values], declared), scan=number)
    tidy(store, config, number)
    return row


def _begin(store: Store, config: Config, run: Run) -> tuple[Known, Tests]:
    """Note the registry that this scan goes by, also when it is done again, and ready its tests."""
    text = run.text("registry.json")
    registry = Known.of(text) if text else known(store)
    if not text:
        run.write_text("registry.json", registry.text())
    wanted = [*registry.shown_as, *registry.false_alarms]
    rows = store.read("fingerprints").where(F.col("fingerprint_id").isin(wanted))
    told = rows.drop("pixels").collect()
    active = [row for row in told if row.fingerprint_id in registry.shown_as]
    alarms = [row for row in told if row.fingerprint_id not in registry.shown_as]
    return registry, tests_of(store.spark, active, config, alarms)


def _seconds(progress: Progress) -> dict[str, float]:
    """Seconds of the parts of a scan."""
    parts = {"arrivals": "arrivals", "decisions": "tables", "merge": "tables", "verdicts": "tables"}
    seconds = {f"{part}_seconds": 0.0 for part in ("arrivals", "search", "tables")}
    for stage in progress.stages:
        part = parts.get(str(stage["stage"]), "search")
        seconds[f"{part}_seconds"] += float(stage["seconds"])
    return seconds


def config_hash(config: Config) -> str:
    """Tell configurations apart that can give other verdicts."""
    told = json.dumps(
        config.model_dump(exclude={"alerts", "observe", "report", "spark"}), sort_keys=True
    )
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def tidy(store: Store, config: Config, number: int) -> None:
    """Take away what a finished scan needs no more: staged files, images claimed or too many."""
    run = _run(store, number)
    batches = _noted(run)
    if batches is None:
        return
    claimed = store.read("verdicts").where((F.col("scan") == number) & F.col("is_fake"))
    newest = Window.partitionBy("width", "height").orderBy(F.desc("scan"), "image_id")
    waiting = store.read("waiting").select("width", "height", "scan", "image_id")
    many = waiting.withColumn("place", F.row_number().over(newest))
    many = many.where(F.col("place") > config.scan.waiting)
    store.delete("waiting", claimed.select("image_id").union(many.select("image_id")).distinct())
    for batch in batches:
        _staged(store, batch).remove_whole()
    run.remove_whole()


def _run(store: Store, number: int) -> Run:
    return Run(store.spark, f"{store.scans}/{number:09d}")


def _staged(store: Store, batch: str) -> Run:
    return Run(store.spark, f"{store.scans}/arrived/{batch}")


def _noted(run: Run) -> list[str] | None:
    """Batches that a scan noted as its own before it began to merge them."""
    text = run.text("batches.json")
    return None if text is None else [str(batch) for batch in json.loads(text)]


def _batches(
    store: Store, config: Config, progress: Progress, run: Run, images: str, tests: Tests
) -> list[str]:
    """Stage what is new, unless a scan that died has begun to merge what it had staged."""
    noted = _noted(run)
    if noted is not None:
        return noted
    with progress.stage("arrivals") as stage:
        stage_arrivals(store.spark, config, images, store.scans, tests, stage)
        staged = [
            batch for batch in folders_in(f"{store.scans}/arrived")
            if _staged(store, batch).finished("files")
        ]  # fmt: skip
        stage.done(f"{len(staged)} batches, known fingerprints: {tests.fingerprints}")
    run.write_text("batches.json", json.dumps(staged))
    return staged


def _arrived(store: Store, batches: list[str]) -> DataFrame:
    """Rows of `arrivals` of all batches."""
    rows = store.spark.createDataFrame([], SCHEMAS["arrivals"])
    for batch in batches:
        rows = rows.unionByName(_staged(store, batch).read("arrivals"))
    return rows


def _merge_images(store: Store, arrived: DataFrame, number: int) -> None:
    """Merge what arrived into `images`, and what nothing claims into `waiting`."""
    about = [
        name for name in columns_of("images") if name in arrived.columns and name != "image_id"
    ]
    images = (
        arrived.groupBy("image_id")
        .agg(
            F.min_by(F.struct(*about), "path").alias("about"),
            F.array_sort(F.collect_set("path")).alias("paths"),
        )
        .select("image_id", "about.*", "paths")
        .withColumns({"first_scan": F.lit(number), "last_scan": F.lit(number)})
    )
    store.merge(
        "images",
        images,
        {
            "last_scan": "greatest(old.last_scan, new.last_scan)",
            "paths": "array_sort(array_union(old.paths, new.paths))",
        },
    )
    claimed = F.coalesce(F.col("score") > F.col("threshold"), F.lit(False))
    new = store.read("images").where(F.col("first_scan") == number).select("image_id")
    first = Window.partitionBy("image_id").orderBy("path")
    unclaimed = (
        arrived.where((F.col("status") == "scored") & ~claimed & F.col("false_alarm").isNull())
        .join(new, "image_id")
        .withColumn("place", F.row_number().over(first))
        .where("place = 1")
        .withColumn("scan", F.lit(number))
    )
    store.merge("waiting", unclaimed)


def _sizes_to_search(store: Store, config: Config, number: int) -> list[Size]:
    """Sizes of which enough images wait, and enough of them are new or none was searched yet."""
    searched = {
        (row.width, row.height)
        for row in store.read("sizes").where(F.col("searched_scan") < number).collect()
    }
    counts = (
        store.read("waiting")
        .groupBy("width", "height")
        .agg(F.count("*").alias("images"), F.count(F.when(F.col("scan") == number, 1)).alias("new"))
        .collect()
    )
    return sorted(
        (row.width, row.height)
        for row in counts
        if row.images >= method_of(config).least_images(config)
        and (row.new >= config.scan.gather or (row.width, row.height) not in searched)
        and row.new
    )


def _search(
    store: Store, config: Config, progress: Progress, run: Run, reference: str, sizes: list[Size]
) -> None:
    """Run the stages of `detect` on the images that wait, but for their extraction."""
    if run.finished("verdicts"):
        return
    sources, readable = list_files(run, config, progress, {"reference": reference})
    waiting = store.read("waiting").where(of_sizes(sizes))
    if (claimed := claimed_again(run)) is not None:
        waiting = waiting.join(claimed, "image_id", "left_anti")
    paths = [row.path for row in waiting.select("path").collect()]
    listed = [FileRow(**row) for row in run.rows("files")]
    run.write_rows("files", [FileRow("image", "", path) for path in sorted(paths)] + listed)
    route = method_of(config).route(len(paths), config)
    # Features of images that wait are stored, however many they are.
    route = "spectral" if route == "shards" else route
    run.write_rows("route", [RouteRow(route, len(paths))])
    run.write("residuals", waiting)
    content = content_of(sources["reference"], config)
    headers = reference_headers(content, config)
    extract_reference(run, config, progress, content, readable["reference"], headers)
    for stage in (calibrate, sample, correlate, cluster, score):
        stage(run, config, progress)


def _register(store: Store, run: Run, version: int, number: int) -> int:
    """Enter the generators' fingerprints that a search found: how many."""
    found = run.read("fingerprints").where("flagged")
    count = found.count()
    if count:
        store.merge(
            "fingerprints",
            found.withColumns(
                {
                    "registry_version": F.lit(version + 1),
                    "state": F.lit("candidate"),
                    "merged_into": F.lit(None),
                    "note": F.lit(None),
                    "first_scan": F.lit(number),
                    "last_scan": F.lit(number),
                }
            ),
        )
    return count
