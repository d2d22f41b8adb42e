"""New files of an image store: each is read once, tested against the registry, and staged.

Structured Streaming remembers what it has listed. A batch is staged as a run of its own: `files`,
what the stream listed, and `arrivals`, what became of them. A batch that was staged whole is not
staged again, so a scan that died reads at most the files of one batch twice.
"""

from __future__ import annotations

import json
from urllib.parse import unquote

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.utils import is_remote

from noisescope_core.app.progress import Stage
from noisescope_core.config import Config
from noisescope_core.errors import NoiseScopeError, first_line
from noisescope_core.images.decode import refused_size
from noisescope_core.spark.stages.listing import plain_path
from noisescope_core.spark.stages.score import Tests, one_pass
from noisescope_core.spark.tables.run import Run, bytes_of
from noisescope_core.tables.rows import FileRow
from noisescope_core.tables.schemas import SCHEMAS

_FILES = "path string, modificationTime timestamp, length long, content binary"


def stage_arrivals(
    spark: SparkSession, config: Config, images: str, folder: str, tests: Tests, stage: Stage
) -> None:
    """Stage every file that is new since the last time, in batches, under ``folder/arrived``.

    Parameters
    ----------
    images : folder or URI
    folder : where the stream keeps what it remembers, too
    tests : the registry's fingerprints

    Raises
    ------
    NoiseScopeError
        If the folder cannot be listed.
    """
    checkpoint = f"{folder}/stream"
    arrive = one_pass(config, tests, "arrivals")
    # Over Spark Connect the function runs on the server: it may hold neither session nor terminal.
    note = None if is_remote() else stage.note

    def stage_batch(batch: DataFrame, number: int) -> None:
        run = Run(batch.sparkSession, batch_location(folder, number))
        if run.finished("files"):
            return
        if note:
            note(f"batch {number}")
        if not run.finished("arrivals"):
            run.write("arrivals", batch.mapInArrow(arrive, SCHEMAS["arrivals"]))
        listed = _listed(batch.sparkSession, checkpoint, number)
        run.write_rows("files", _files(run, config, images, listed))

    reader = (
        spark.readStream.format("binaryFile")
        .schema(_FILES)
        .option("recursiveFileLookup", "true")
        .option("maxFilesPerTrigger", str(config.scan.batch_files))
        # By default Spark leaves out what arrives a week late.
        .option("maxFileAge", f"{config.scan.remember_days}d")
        .option("ignoreMissingFiles", "true")
        .option("ignoreCorruptFiles", "true")
    )
    try:
        # Larger files are not read: Spark asks for their length first.
        content = reader.load(images).where(F.col("length") <= config.decode.max_bytes)
        query = (
            content.select("path", "content")
            .writeStream.foreachBatch(stage_batch)
            .option("checkpointLocation", checkpoint)
            .trigger(availableNow=True)
            .start()
        )
        query.awaitTermination()
    except Exception as error:
        raise NoiseScopeError(f"{images}: cannot be scanned ({first_line(error)})") from error


def batch_location(folder: str, number: int) -> str:
    """Where a batch is staged."""
    return f"{folder}/arrived/{number:09d}"


def _listed(spark: SparkSession, checkpoint: str, number: int) -> list[str]:
    """Find the files of a batch in the stream's own list: empty files have no row."""

    def offset(batch: int) -> int:
        if batch < 0:
            return -1
        lines = spark.read.text(f"{checkpoint}/offsets/{batch}").collect()
        return int(json.loads(lines[-1].value)["logOffset"])

    paths = []
    for log in range(offset(number - 1) + 1, offset(number) + 1):
        lines = spark.read.text(f"{checkpoint}/sources/0/{{{log},{log}.compact}}")
        # Every tenth holds all before it.
        of_batch = F.get_json_object("value", "$.batchId") == str(log)
        path = F.get_json_object("value", "$.path").alias("path")
        paths += [unquote(row.path) for row in lines.where(of_batch).select(path).collect()]
    return sorted({plain_path(path) for path in paths})


def _files(run: Run, config: Config, images: str, listed: list[str]) -> list[FileRow]:
    """Rows of `files`; what was not read is looked at again to say why."""
    read = {row["path"] for row in run.rows("arrivals", "path")}
    limit = config.decode.max_bytes
    files: list[FileRow] = []
    for path in listed:
        size = reason = None
        if path not in read:
            size = bytes_of(path)
            reason = "gone since it was listed"
            if size is not None:
                changed = "could not be read: no permission, or changed while it was"
                reason = refused_size(size, limit) or changed
        files.append(FileRow("image", images, path, size, reason))
    return files
