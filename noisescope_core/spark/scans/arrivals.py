"""New files of an image store: each is read once, tested against the registry, staged and merged.

Structured Streaming remembers what it has listed. A batch is staged as a run of its own: `files`,
what the stream listed, and `arrivals`, what became of them. A batch that was staged whole is not
staged again, so a scan that died reads at most the files of one batch twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.utils import is_remote

from noisescope_core.app.folders import walk
from noisescope_core.app.places import is_uri, plain_path
from noisescope_core.app.progress import Stage
from noisescope_core.archives import is_archive
from noisescope_core.config import Config
from noisescope_core.errors import NoiseScopeError, UsageError, first_line
from noisescope_core.spark.scans.context import Scan
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.session.workers import map_batches
from noisescope_core.spark.sources.files import LOCAL_AS_IT_IS, as_pattern, content_of, on_this_disk
from noisescope_core.spark.sources.placed import members_listed
from noisescope_core.spark.stages.listing import write_read
from noisescope_core.spark.stages.score import one_pass
from noisescope_core.spark.tables.frames import frame
from noisescope_core.spark.tables.run import Run, files_of, folders_in
from noisescope_core.tables.rows import FileRow
from noisescope_core.tables.schemas import (
    CONTENT,
    LONG_LIVED,
    SCHEMAS,
    UNREADABLE,
    columns,
    long_lived_columns,
)

_STREAMED = "path string, modificationTime timestamp, length long, content binary"
"""Columns of Spark's source `binaryFile`, of which a stream has to be told."""

_PLACE = ("place", "offset", "stored", "packing")
"""Columns that say where the bytes of a file are."""

_AGAIN = "again-"
"""How the batch is named that holds what earlier scans could not read."""

_STAGED = "staged"
"""Empty file that says that a batch was staged whole."""

Tested = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
"""From rows of `CONTENT` to rows of `arrivals`."""

_BATCHES = "batches.json"
"""File of a scan that lists the batches which it has begun to merge."""


@dataclass(frozen=True)
class Arrivals:
    """What arrived in a scan.

    Attributes
    ----------
    files : what the stream listed
    rows : of `arrivals`, one per file
    again : number of files that earlier scans could not read
    """

    files: list[FileRow]
    rows: DataFrame
    again: int


def staged_batches(scan: Scan) -> list[str]:
    """Stage what is new, unless a scan that died has begun to merge what it had staged.

    Returns
    -------
    list of str
        Names of the batches that this scan merges.

    Raises
    ------
    NoiseScopeError
        If the folder cannot be listed.
    """
    noted = noted_batches(scan.run)
    if noted is not None:
        return noted
    store = scan.store
    with scan.progress.stage("arrivals") as stage:
        _stage_unreadable(scan, stage)
        _stream(scan, stage)
        staged = [
            batch for batch in folders_in(f"{store.scans}/arrived")
            if _is_staged(staged_run(store, batch))
        ]  # fmt: skip
        stage.done(f"{len(staged)} batches, known fingerprints: {scan.tests.fingerprints}")
    scan.run.write_text(_BATCHES, json.dumps(staged))
    return staged


def noted_batches(run: Run) -> list[str] | None:
    """Read the batches that a scan noted as its own before it began to merge them."""
    text = run.text(_BATCHES)
    return None if text is None else [str(batch) for batch in json.loads(text)]


def staged_run(store: Store, batch: str) -> Run:
    """Find the run directory in which a batch is staged."""
    return Run(store.spark, _batch_location(store.scans, batch))


def arrivals_in(scan: Scan, batches: list[str]) -> Arrivals:
    """Read what batches staged."""
    rows = frame(scan.store.spark, [], SCHEMAS["arrivals"])
    files: list[FileRow] = []
    again = 0
    for batch in batches:
        staged = staged_run(scan.store, batch)
        of_batch = files_of(staged)
        files += of_batch
        again += len(of_batch) if batch.startswith(_AGAIN) else 0
        rows = rows.unionByName(staged.read("arrivals"))
    return Arrivals(files, rows, again)


def merge_images(scan: Scan, arrived: DataFrame) -> None:
    """Merge what arrived into `images`, and what nothing claims into `waiting`.

    Parameters
    ----------
    arrived : rows of `arrivals`
    """
    store, number = scan.store, scan.number
    of_arrivals = set(columns("arrivals"))
    about = [
        name for name in long_lived_columns("images") if name in of_arrivals and name != "image_id"
    ]
    images = (
        arrived.where("image_id is not null")
        .groupBy("image_id")
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


def _stream(scan: Scan, stage: Stage) -> None:
    """Stage every file that is new since the last time, batch by batch."""
    config, images, folder = scan.config, scan.images, scan.store.scans
    if on_this_disk(images) and (circles := walk(images).circles):
        # The stream's own listing follows links, and would not end.
        raise UsageError(f"{circles[0]}: a link that leads back to its own folder; remove it")
    checkpoint = f"{folder}/stream"
    test_batches = one_pass(config, scan.tests, "arrivals")
    # Over Spark Connect the function runs on the server: it may hold neither session nor terminal.
    note = None if is_remote() else stage.note

    def stage_batch(batch: DataFrame, number: int) -> None:
        run = Run(batch.sparkSession, _batch_location(folder, f"{number:09d}"))
        if _is_staged(run):
            return
        if note:
            note(f"batch {number}")
        paths = _listed_paths(batch.sparkSession, checkpoint, number)
        files = [FileRow("image", images, path) for path in paths]
        _stage_files(run, config, files, batch, test_batches)

    try:
        query = (
            new_files(scan.store.spark, config, images)
            .writeStream.foreachBatch(stage_batch)
            .option("checkpointLocation", checkpoint)
            .trigger(availableNow=True)
            .start()
        )
        query.awaitTermination()
    except Exception as error:
        raise NoiseScopeError(f"{images}: cannot be scanned ({first_line(error)})") from error


def new_files(spark: SparkSession, config: Config, images: str) -> DataFrame:
    """Stream `path` and `content` of the files of a folder or a store that are not too large."""
    reader = (
        spark.readStream.format("binaryFile")
        .schema(_STREAMED)
        .option("recursiveFileLookup", "true")
        .option("maxFilesPerTrigger", str(config.scan.batch_files))
        # By default Spark leaves out what arrives a week late.
        .option("maxFileAge", f"{config.scan.remember_days}d")
        .option("ignoreMissingFiles", "true")
        .option("ignoreCorruptFiles", "true")
    )
    if not is_uri(images):
        reader = reader.options(**LOCAL_AS_IT_IS)
    # Larger files are not read: Spark asks for their length first.
    return content_of(reader.load(as_pattern(images)), config)


def _batch_location(folder: str, batch: str) -> str:
    return f"{folder}/arrived/{batch}"


def _listed_paths(spark: SparkSession, checkpoint: str, number: int) -> list[str]:
    """Read the paths of a batch from the stream's own list: empty files have no row."""

    def offset(batch: int) -> int:
        if batch < 0:
            return -1
        lines = spark.read.text(f"{checkpoint}/offsets/{batch}").collect()
        return int(json.loads(lines[-1].value)["logOffset"])

    paths = []
    for log in range(offset(number - 1) + 1, offset(number) + 1):
        lines = spark.read.text(f"{checkpoint}/sources/0/{{{log},{log}.compact}}")
        # Every tenth log file holds all before it.
        of_batch = F.get_json_object("value", "$.batchId") == str(log)
        path = F.get_json_object("value", "$.path").alias("path")
        paths += [unquote(row.path) for row in lines.where(of_batch).select(path).collect()]
    return sorted({plain_path(path) for path in paths})


def _stage_files(
    run: Run, config: Config, files: list[FileRow], content: DataFrame, test_batches: Tested
) -> None:
    """Write `files`, with members of archives in place of these, and `arrivals`."""
    archives = [row for row in files if row.place is None and is_archive(row.path)]
    if archives:
        plain = [row for row in files if row not in archives]
        of_archives = members_listed(run.spark, archives, config)
        run.write("files", frame(run.spark, plain, SCHEMAS["files"]).unionByName(of_archives))
    else:
        run.write_rows("files", files)
    wanted = run.read("files").where("place is null and reason is null").select("path")
    content = content.join(F.broadcast(wanted), "path", "left_semi") if archives else content
    write_read(
        run, config, "arrivals", "image", content,
        lambda read: map_batches(read, test_batches, SCHEMAS["arrivals"]),
    )  # fmt: skip
    run.write_text(_STAGED, "")


def _is_staged(run: Run) -> bool:
    return run.text(_STAGED) is not None


def _stage_unreadable(scan: Scan, stage: Stage) -> None:
    """Stage once more the files that earlier scans could not read, the longest untried first."""
    store, config = scan.store, scan.config
    run = staged_run(store, f"{_AGAIN}{scan.number:09d}")
    if _is_staged(run):
        return
    order = F.col("last_scan"), F.col("path")
    queue = store.read("unreadable").orderBy(*order).limit(config.scan.batch_files).collect()
    if not queue:
        return
    stage.note(f"{len(queue):,} files that could not be read before")
    files = [
        FileRow("image", scan.images, row.path, None, None, *(row[name] for name in _PLACE))
        for row in queue
    ]
    nothing = frame(run.spark, [], CONTENT)
    _stage_files(run, config, files, nothing, one_pass(config, scan.tests, "arrivals"))


def queue_unreadable(scan: Scan, arrivals: Arrivals, verdicts: DataFrame) -> None:
    """Keep in `unreadable` what could not be read, and take out what was.

    Parameters
    ----------
    verdicts : of what arrived
    """
    store = scan.store
    queued = store.read("unreadable").select("path")
    store.delete(
        "unreadable",
        queued.join(verdicts.where(F.col("status") != UNREADABLE), "path", "left_semi"),
    )
    failed = {
        row.path: row.reason for row in verdicts.where(F.col("status") == UNREADABLE).collect()
    }
    rows = [
        {"path": row.path, "reason": failed[row.path], "tries": 1, "first_scan": scan.number,
         "last_scan": scan.number} | {name: getattr(row, name) for name in _PLACE}
        for row in arrivals.files if row.path in failed
    ]  # fmt: skip
    tries = "CASE WHEN old.last_scan < new.last_scan THEN old.tries + 1 ELSE old.tries END"
    changes = {"tries": tries, "last_scan": "new.last_scan", "reason": "new.reason"}
    store.merge("unreadable", frame(store.spark, rows, LONG_LIVED["unreadable"]), changes)
