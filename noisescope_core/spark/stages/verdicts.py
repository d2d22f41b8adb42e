"""Stage 5: write a verdict for every file, from the answers of its test."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.images import Size
from noisescope_core.methods import method_of
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.schemas import ANSWER, SAYS, UNREADABLE, columns, names_in, types_in

_OF_SIZES = "undecided string, calibrated double"

_OF_IMAGES = ("path", "image_id", "width", "height", "status", "reason", *names_in(SAYS))


def write_verdicts(run: Run, config: Config, images: DataFrame, scores: DataFrame) -> None:
    """Read `files`, `calibration` and what is known of the images, write `verdicts`.

    Parameters
    ----------
    images : one row a file that could be read: columns of `scans`
    scores : rows of `scores`, of reference images too
    """
    thresholds = _thresholds(scores, config)
    sizes = [
        (width, height, unscored, thresholds.get((width, height)))
        for width, height, unscored in (
            row.values() for row in run.rows("calibration", "width", "height", "unscored")
        )
    ]
    listed = run.read("files").where("role = 'image'")
    run.write("verdicts", verdicts_of(listed, images, sizes, None))


def verdicts_of(
    listed: DataFrame,
    images: DataFrame,
    sizes: Sequence[tuple[int, int, str | None, float | None]],
    uncalibrated: str | None,
) -> DataFrame:
    """Make a verdict of every file that is listed.

    Parameters
    ----------
    listed : rows of `files`
    images : one row a file that could be read: columns of `scans`
    sizes : width, height, why images of it are not scored, and their threshold if it is calibrated
    uncalibrated : why images of no size are scored; None goes by `sizes`
    """
    # A size that cannot be decided by itself may lie on another size's fingerprint.
    carries = F.coalesce(F.col("score") > F.col("threshold"), F.lit(False))
    status = (
        F.when(F.col("status").isNull() & F.col("unread").isNotNull(), "quarantined")
        .when(F.col("status").isNull(), UNREADABLE)
        .when((F.col("status") == "scored") & F.col("undecided").isNotNull() & ~carries, "unscored")
        .otherwise(F.col("status"))
    )
    unread = F.when(
        F.col("image_id").isNull(),
        F.coalesce("unread", F.lit("could not be read")),
    )
    is_scored = F.col("status") == "scored"
    of_scored = ("score", "threshold", "confidence")
    of_fake = ("fingerprint_id", "shift_x", "shift_y", "factor")
    rows = listed.select("path", F.col("reason").alias("unread")).join(
        images.select(*_OF_IMAGES, *names_in(ANSWER)), "path", "left"
    )
    if sizes:
        known = listed.sparkSession.createDataFrame(
            list(sizes), f"width int, height int, {_OF_SIZES}"
        )
        rows = rows.join(F.broadcast(known), ["width", "height"], "left")
    else:
        nothing = {name: F.lit(None).cast(kind) for name, kind in types_in(_OF_SIZES).items()}
        rows = rows.withColumns(nothing)
    return (
        rows.withColumn("undecided", F.coalesce("undecided", F.lit(uncalibrated)))
        .withColumn("threshold", F.coalesce("threshold", "calibrated"))
        .withColumn("status", status)
        .withColumn("reason", F.coalesce("reason", unread, F.when(~is_scored, F.col("undecided"))))
        .withColumn("is_fake", F.when(is_scored, carries))
        .withColumns({name: F.when(is_scored, F.col(name)) for name in of_scored})
        .withColumns({name: F.when(F.col("is_fake"), F.col(name)) for name in of_fake})
        .select(*columns("verdicts"))
        .sortWithinPartitions("path")
    )


def stored_answers(run: Run, scores: DataFrame) -> DataFrame:
    """Put what is stored of the tested images together with their answers, file by file."""
    answers = scores.where("role = 'image'").select("path", *names_in(ANSWER))
    return run.read("residuals").select(*_OF_IMAGES).join(answers, "path", "left")


def _thresholds(scores: DataFrame, config: Config) -> dict[Size, float]:
    """Set the threshold of each size where the scores of its reference images decide it."""
    threshold = method_of(config).threshold
    if threshold is None:
        return {}
    reference = scores.where("role = 'reference'")
    by_size: dict[Size, list[float]] = {}
    for row in reference.select("width", "height", "image_id", "score").distinct().collect():
        by_size.setdefault((row.width, row.height), []).append(row.score)
    return {size: threshold(values, config) for size, values in by_size.items()}
