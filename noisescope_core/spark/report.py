"""What a run leaves for people: summary.json and report.html, drawn from its tables."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.methods import METHODS, method_of
from noisescope_core.report import render_report
from noisescope_core.report.figures import pixels_of, signed_root
from noisescope_core.spark.stages.sets import route_of
from noisescope_core.spark.tables.cells import collected
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.schemas import columns

BUCKET = 0.01
"""Signed roots of scores that a histogram counts together: finer than any bar of a figure."""


def report(run: Run, config: Config, summary: Mapping[str, Any]) -> str:
    """Render the report of a finished run."""
    flagged, set_aside, scores = (
        [row.asDict() for row in rows]
        for rows in collected(
            flagged_shown(run, config), _set_aside(run, config), counted_scores(run, summary)
        )
    )
    flagged.sort(key=lambda row: (row["turn"], row["place"], row["fingerprint_id"]))
    pictured = config.report.thumbnails
    return render_report(
        {**summary, "out": run.location},
        shown_fingerprints(run, config, scores),
        flagged[:pictured],
        flagged[pictured:],
        set_aside,
    )


def flagged_shown(run: Run, config: Config) -> DataFrame:
    """Choose the flagged images that are shown or listed.

    Of each fingerprint as many as of the others, from both ends of its scores. To be shown in the
    order of `turn`, `place` and `fingerprint_id`.
    """
    of_it = Window.partitionBy("fingerprint_id")
    place = F.row_number().over(of_it.orderBy(F.desc("score"), "path"))
    ranked = run.read("verdicts").where("is_fake").withColumn("place", place)
    turn = F.least("place", F.count("*").over(of_it) + 1 - F.col("place"))
    pictures = run.read("scans" if route_of(run) == "shards" else "residuals").select(
        "path", "thumbnail"
    )
    return (
        ranked.withColumn("turn", turn)
        .orderBy("turn", "place", "fingerprint_id")
        .limit(config.report.thumbnails + config.report.listed)
        .join(pictures, "path", "left")
    )


def _set_aside(run: Run, config: Config) -> DataFrame:
    """Choose the files without a verdict that are listed: some of every reason."""
    place = F.row_number().over(Window.partitionBy("status", "reason").orderBy("path"))
    return (
        run.read("verdicts")
        .where("status <> 'scored'")
        .select("path", "status", "reason", place.alias("place"))
        .orderBy("place", "status", "reason")
        .limit(config.report.set_aside)
        .orderBy("status", "reason", "path")
    )


def counted_scores(run: Run, summary: Mapping[str, Any]) -> DataFrame:
    """Count scores by fingerprint, kind of image and bucket; the confidences of each are summed.

    The rows are as many as there are different scores, not images: a bucket is `BUCKET` wide in the
    signed root, counted from the threshold, and 0 and more above it. `member_of` is null for who
    is no member.
    """
    threshold = "threshold"
    if METHODS[summary["method"]].threshold is not None:
        # The bar is of a size, and not in the table.
        bars = [
            f"when width = {size['width']} and height = {size['height']} "
            f"then {size['threshold']!r}d"
            for size in summary["sizes"]
            if size["threshold"] is not None
        ]
        threshold = f"case {' '.join(bars)} end" if bars else "cast(null as double)"
    members = run.read("fingerprints").where("flagged").selectExpr(
        "fingerprint_id as member_of", "explode(members) as image_id"
    )  # fmt: skip
    scores = run.read("scores").where("not isnan(score)").join(
        F.broadcast(members), "image_id", "left"
    )  # fmt: skip
    root = "signum({0}) * sqrt(abs({0}))"
    bucket = f"floor(({root.format('score')} - {root.format('threshold')}) / {BUCKET})"
    return (
        scores.selectExpr(
            "fingerprint_id", "role", "if(role = 'image', member_of, null) as member_of",
            "shift_x is not null as elsewhere", "score", f"{threshold} as threshold", "confidence",
        )
        # An edge of the buckets lies on the threshold; rounding must not take a score across it.
        .selectExpr(
            "*",
            f"if(score > threshold, greatest({bucket}, 0), least({bucket}, -1)) as bucket",
        )
        .groupBy("fingerprint_id", "role", "member_of", "elsewhere", "threshold", "bucket")
        .agg(F.count("*").alias("images"), F.sum("confidence").alias("confidence"))
    )  # fmt: skip


def shown_fingerprints(
    run: Run, config: Config, scores: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Put together what the report tells of every pattern.

    Parameters
    ----------
    scores : rows of `counted_scores`

    Returns
    -------
    list of dict
        As `render_report` takes them: the largest first, generators' before others.
    """
    left_out = "haralick", "weights", "centres", "whitened", "background"
    shown_columns = [name for name in columns("fingerprints") if name not in left_out]
    rows = run.rows("fingerprints", *shown_columns)
    rows.sort(key=lambda row: (-row["images"], row["fingerprint_id"]))
    rounds = run.rows("clusters")
    fingerprints = []
    for flagged in (True, False):
        for number, row in enumerate([row for row in rows if row["flagged"] == flagged]):
            members, pixels = row.pop("members"), pixels_of(row)
            row["pixels"] = pixels if number < config.report.fingerprints else None
            if flagged:
                row |= _scored(scores, row["fingerprint_id"])
                steps = method_of(config).words.steps
                row["growth"] = (
                    _grown(rounds, set(members), steps) if steps else _merged(rounds, set(members))
                )
            fingerprints.append(row)
    return fingerprints


def _scored(scores: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Gather the scores against a fingerprint, its purity and the images that carry it.

    The purity is the mean confidence of the members, 0 for those that fit another fingerprint
    better; by the paper's method, which has none, the share of them above the threshold.
    """
    its = [row for row in scores if row["fingerprint_id"] == name]
    in_place = [row for row in its if not row["elsewhere"]]
    carried = [row for row in its if row["role"] == "image" and row["bucket"] >= 0]
    members = [row for row in in_place if row["member_of"] == name]
    sure = [row["confidence"] for row in members if row["confidence"] is not None]
    above = sum(row["images"] for row in members if row["bucket"] >= 0)
    counted = sum(row["images"] for row in scores if row["member_of"] == name)
    reference = [row for row in in_place if row["role"] == "reference"]
    others = [row for row in in_place if row["role"] == "image" and row["member_of"] != name]
    return {
        "threshold": max((row["threshold"] for row in in_place), default=None),
        "purity": (sum(sure) if sure else above) / counted if counted else None,
        "carried": sum(row["images"] for row in carried),
        "elsewhere": sum(row["images"] for row in carried if row["elsewhere"]),
        "scores": {
            "reference": _distribution(reference),
            "others": _distribution(others),
            "members": _distribution(members),
        },
    }


def _distribution(rows: list[dict[str, Any]]) -> tuple[NDArray[np.float64], list[int]]:
    """Scores in the middle of every bucket, and how many images have them."""
    rows = sorted(rows, key=lambda row: (row["bucket"], str(row["member_of"])))
    middle = BUCKET * (np.array([row["bucket"] for row in rows]) + 0.5)
    root = signed_root([row["threshold"] for row in rows]) + middle
    return np.sign(root) * root**2, [row["images"] for row in rows]


def _merged(rounds: list[dict[str, Any]], members: set[str]) -> list[dict[str, Any]]:
    """Say in which groups the members of a fingerprint were after every round of merging."""
    groups: dict[int, Counter[int]] = defaultdict(Counter)
    for row in rounds:
        if row["image_id"] in members:
            groups[row["round"]][row["cluster"]] += 1
    return [
        {"round": number, "groups": list(sizes.values()), "alone": len(members) - sizes.total()}
        for number, sizes in sorted(groups.items())
    ]


def _grown(
    rounds: list[dict[str, Any]], members: set[str], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Say how many images the set had after every step, and how many of them are members."""
    sets: dict[tuple[int, ...], dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in rounds:
        sets[row["width"], row["height"], row["cluster"]][row["round"]].add(row["image_id"])
    for steps in sets.values():
        if steps[max(steps)] == members:
            return [
                {"step": names[number - 1], "images": len(images), "members": len(images & members)}
                for number, images in sorted(steps.items())
            ]
    return []
