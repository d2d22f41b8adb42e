"""What the images that carry each fingerprint say of themselves, counted for summary and report."""

from __future__ import annotations

from typing import Any

from pyspark.sql import Window
from pyspark.sql import functions as F

from noisescope_core.spark.tables.cells import collected
from noisescope_core.spark.tables.run import Run


def records_of(run: Run) -> list[dict[str, Any]]:
    """Count images that say something, by the fingerprint that they carry.

    Returns
    -------
    list of dict
        ``fingerprint_id`` (None for images that carry none, last), ``images``, of which
        ``claiming`` say that they are generated and ``cameras`` do not and name a camera, and the
        ``generator`` that most claims name (or None), ``named`` so many times. Copies count once.
        Only where an image says something.
    """
    by_image = run.read("verdicts").where("image_id is not null").dropDuplicates(["image_id"])
    total = by_image.groupBy("fingerprint_id").agg(
        F.count("*").alias("images"),
        F.count("claimed_by").alias("claiming"),
        F.count(F.when(F.col("claimed_by").isNull(), F.col("camera"))).alias("cameras"),
    )
    # Names may be as many as images: the most frequent of each fingerprint alone is collected.
    names = by_image.where("claimed_generator is not null")
    place = F.row_number().over(
        Window.partitionBy("fingerprint_id").orderBy(F.desc("named"), "claimed_generator")
    )
    most_common = (
        names.groupBy("fingerprint_id", "claimed_generator")
        .agg(F.count("*").alias("named"))
        .withColumn("place", place)
        .where("place = 1")
    )
    counts, generators = collected(total.where("claiming + cameras > 0"), most_common)
    named = {row.fingerprint_id: (row.claimed_generator, row.named) for row in generators}
    rows = [
        row.asDict()
        | dict(zip(("generator", "named"), named.get(row.fingerprint_id, (None, 0)), strict=True))
        for row in counts
    ]
    return sorted(rows, key=lambda row: (row["fingerprint_id"] is None, row["fingerprint_id"]))
