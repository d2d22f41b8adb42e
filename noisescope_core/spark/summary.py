"""What a run leaves for people: summary.json and report.html, drawn from its tables."""

from __future__ import annotations

import platform
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import metadata
from typing import Any

import numpy as np
import pyarrow.dataset as ds
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Row, Window
from pyspark.sql import functions as F

from noisescope_core import __version__
from noisescope_core.compression import Compression
from noisescope_core.config import Config
from noisescope_core.discovery import STEPS
from noisescope_core.growth import FALSE_POSITIVES
from noisescope_core.reference import Size, unlike
from noisescope_core.report import render_report
from noisescope_core.report.figures import signed_root
from noisescope_core.spark.sets import by_shards, route, tested_images
from noisescope_core.spark.tables import Run, collected, columns

FEW = 200
"""Reference images of one size below which a run is warned."""

BUCKET = 0.01
"""Signed roots of scores that a histogram counts together: finer than any bar of a figure."""

PACKAGES = (
    "numpy",
    "scipy",
    "opencv-python-headless",
    "PyWavelets",
    "numba",
    "pyarrow",
    "pandas",
    "pyspark",
)
"""Whose version can change a value of the tables."""


def summarise(run: Run, config: Config) -> dict[str, Any]:
    """Count verdicts and reasons, gather what each size went through, and what to be wary of."""
    parts: dict[str, Callable[[Run], list[Any]]] = {
        "verdicts": _verdicts,
        "reference": _reference,
        "unlike": _unlike,
        "carrying": _carrying,
    }
    # Small queries are mostly waiting.
    with ThreadPoolExecutor() as pool:
        asked = {name: pool.submit(part, run) for name, part in parts.items()}
        told = {name: answer.result() for name, answer in asked.items()}
    verdicts = told["verdicts"]
    counts = _counts(verdicts)
    warnings = told["reference"] + told["unlike"] + told["carrying"]
    if unscored := counts["unscored"]:
        warnings.append(f"Images not scored: {unscored:,}; the reasons are in the verdicts.")
    return {
        "version": __version__,
        "versions": _versions(run),
        "method": config.method,
        "route": route(run, config),
        "counts": counts,
        "reasons": _reasons(verdicts),
        "sizes": _sizes(run, config, verdicts),
        "fingerprints": _evidence(run),
        "warnings": warnings,
        # Settings of Spark may be secrets: keys of a store.
        "config": config.model_dump(exclude={"spark": {"conf"}}),
    }


def _versions(run: Run) -> dict[str, str]:
    """Versions of all that computes; of packages those of the driver."""
    found = {"NoiseScope": __version__, "Python": platform.python_version()}
    for name in PACKAGES:
        # Whoever installed another build of a package has no such name.
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found | {"Spark": run.spark.version, "on": platform.platform()}


def _verdicts(run: Run) -> list[Row]:
    """Count the verdicts by size, status and reason, in one pass."""
    groups = run.read("verdicts").groupBy("width", "height", "status", "reason")
    return groups.agg(
        F.count("*").alias("files"),
        F.count(F.when(F.col("is_fake"), 1)).alias("fake"),
        F.count(F.when(~F.col("is_fake"), 1)).alias("real"),
        F.count("shift_x").alias("elsewhere"),
        F.max("threshold").alias("threshold"),
    ).collect()


def _counts(verdicts: list[Row]) -> dict[str, int]:
    by_status = Counter({"scored": 0, "unscored": 0, "quarantined": 0})
    for row in verdicts:
        by_status[row.status] += row.files
    totals = {
        name: sum(row[name] for row in verdicts) for name in ("files", "fake", "real", "elsewhere")
    }
    return {"files": totals.pop("files"), **by_status, **totals}


def _reasons(verdicts: list[Row]) -> list[dict[str, Any]]:
    files: Counter[tuple[str, str]] = Counter()
    for row in verdicts:
        if row.reason is not None:
            files[row.status, row.reason] += row.files
    return [
        {"status": status, "reason": reason, "files": count}
        for (status, reason), count in sorted(files.items(), key=lambda item: (-item[1], item[0]))
    ]


def _sizes(run: Run, config: Config, verdicts: list[Row]) -> list[dict[str, Any]]:
    thresholds: dict[Size, float] = {}
    for row in verdicts:
        if row.threshold is not None:
            size = row.width, row.height
            thresholds[size] = max(row.threshold, thresholds.get(size, row.threshold))
    flagged = Counter(
        (row["width"], row["height"], row["flagged"])
        for row in run.rows("fingerprints", "width", "height", "flagged")
    )
    work = _work(run, config)
    return [
        {
            **{key: row[key] for key in ("width", "height", "images", "reference", "t_merge")},
            "threshold": thresholds.get(size),
            **{key: work[size][key] for key in ("pairs", "refined", "rounds", "clusters")},
            "fingerprints": flagged[*size, True],
            "other_patterns": flagged[*size, False],
            "reason": row["reason"],
        }
        for size, row in _calibrated(run).items()
    ]


def _calibrated(run: Run) -> dict[Size, dict[str, Any]]:
    rows = {(row["width"], row["height"]): row for row in run.rows("calibration")}
    return dict(sorted(rows.items()))


def _evidence(run: Run) -> list[dict[str, Any]]:
    """Gather what is known of every pattern's maker, without its pixels."""
    left_out = "haralick", "weights", "centres", "members", "covered", "pixels", "whitened"
    known = [name for name in columns("fingerprints") if name not in left_out]
    rows = run.rows("fingerprints", *known)
    rows.sort(key=lambda row: (row["width"], row["height"], row["fingerprint_id"]))
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def _work(run: Run, config: Config) -> dict[Size, Counter[str]]:
    """Count what was compared and merged for each size."""
    work: dict[Size, Counter[str]] = defaultdict(Counter)
    if config.method == "whitened":
        # Blocks of rows are the same in every part of a band.
        blocks = {
            (row["width"], row["height"], row["first"], row["compared"])
            for row in run.rows("band_correlations", "width", "height", "band", "first", "compared")
            if row["band"] == 0
        }
        for width, height, _, compared in blocks:
            work[width, height]["pairs"] += compared
        return work
    for row in run.rows("correlations", "width", "height", "compared", "refined"):
        work[row["width"], row["height"]].update(pairs=row["compared"], refined=row["refined"])
    for row in run.rows("merging"):
        work[row["width"], row["height"]].update(
            pairs=row["compared"], refined=row["refined"], rounds=row["rounds"],
            clusters=row["clusters"],
        )  # fmt: skip
    return work


def _reference(run: Run) -> list[str]:
    """Warn of reference images that cannot serve, or should not."""
    reference = run.read("reference_residuals")
    ids = reference.select("image_id").distinct()
    both = tested_images(run).select("image_id").distinct().join(ids, "image_id")
    listed = run.count("files", ds.field("role") == "reference")
    ((usable, marked),), ((shared,),) = collected(
        reference.agg(
            *[
                F.countDistinct(F.when(F.expr(those), F.col("path")))
                for those in ("status = 'scored'", "watermark is not null")
            ]
        ),
        both.agg(F.count("*")),
    )
    warnings = []
    if usable < listed:
        warnings.append(
            f"Reference files that could not be used: {listed - usable:,} of {listed:,}."
        )
    if marked:
        warnings.append(
            f"Reference images that carry a generator's watermark and were set aside: {marked:,}. "
            "There may be others that do not; look through the reference set."
        )
    if shared:
        warnings.append(f"Images in both the reference and the test set: {shared:,}.")
    return warnings


def _unlike(run: Run) -> list[str]:
    """Warn of sizes whose reference is small, made up, or compressed otherwise than the images."""
    kinds: dict[str, dict[Size, Counter[Compression]]] = {}
    made: Counter[Size] = Counter()
    tested = tested_images(run).withColumn("prepared", F.lit(None).cast("string"))
    reference = run.read("reference_residuals").where("status = 'scored'")
    found = [
        images.groupBy("width", "height", "format", "quantization", "prepared").agg(
            F.countDistinct("image_id").alias("images")
        )
        for images in (tested, reference)
    ]
    for role, rows in zip(("image", "reference"), collected(*found), strict=True):
        sizes = kinds.setdefault(role, {})
        for row in rows:
            size = row.width, row.height
            made[size] += row.images if row.prepared else 0
            compression = Compression(row.format, bytes(row.quantization))
            if row.prepared is None:
                sizes.setdefault(size, Counter())[compression] += row.images
    few, changed, otherwise = [], [], []
    for size, calibrated in _calibrated(run).items():
        if calibrated["reason"] is not None:
            continue
        images = calibrated["reference"]
        name = f"{size[0]} x {size[1]}"
        if images < FEW:
            few.append(f"{name}: {images:,}")
        if made[size]:
            changed.append(f"{name}: {made[size]:,} of {images:,}")
        there = kinds["reference"].get(size)
        share = unlike(kinds["image"][size], there) if there else 0.0
        # What was saved again is alike by now, and not among these.
        unmended = share * there.total() / images if there else 0.0
        if unmended > 0.5:
            otherwise.append(f"{name}: {unmended:.0%}")
    warnings = []
    if few:
        warnings.append(
            f"Few reference images ({', '.join(few)}). Weak generators may be missed and bars are "
            f"rough; {FEW:,} and more of each size are good."
        )
    if changed:
        warnings.append(
            "Reference images that were resized or saved again like the tested images "
            f"({', '.join(changed)}). Photographs from the same source as those would be better."
        )
    if otherwise:
        warnings.append(
            f"Reference images compressed otherwise than the tested images ({', '.join(otherwise)})"
            ", which cannot be undone. Traces of compression may pass for a pattern or hide one; "
            "take photographs saved as the tested images are."
        )
    return warnings


def _carrying(run: Run) -> list[str]:
    """Warn of reference images that carry a fingerprint of the whitened method."""
    reference = run.read("scores").where("role = 'reference'")
    rows = (
        reference.groupBy("width", "height")
        .agg(
            F.countDistinct("image_id").alias("images"),
            F.countDistinct(F.when(F.col("score") > F.col("threshold"), F.col("image_id"))).alias(
                "above"
            ),
        )
        .orderBy("width", "height")
        .collect()
    )
    return [
        f"Reference images of {row.width} x {row.height} that carry a fingerprint: {row.above:,} "
        f"of {row.images:,}. If they are generated, take them out and run again; if they are "
        "photographs, the pattern is not a generator's. They are in scores/, role 'reference', "
        "score above threshold."
        for row in rows
        if row.above > max(3, 4 * FALSE_POSITIVES * row.images)
    ]


def report(run: Run, config: Config, summary: Mapping[str, Any]) -> str:
    """Render the report of a finished run."""
    flagged, set_aside, scores = (
        [row.asDict() for row in rows]
        for rows in collected(
            flagged_shown(run, config), _set_aside(run, config), counted_scores(run, summary)
        )
    )
    flagged.sort(key=lambda row: (row["turn"], row["place"], row["fingerprint_id"]))
    shown = config.report.thumbnails
    return render_report(
        {**summary, "out": run.location},
        told_of_fingerprints(run, config, scores),
        flagged[:shown],
        flagged[shown:],
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
    pictures = run.read("scans" if by_shards(run) else "residuals").select("path", "thumbnail")
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
    if summary["method"] == "paper":
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


def told_of_fingerprints(
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
    left_out = "haralick", "weights", "centres", "whitened"
    known = [name for name in columns("fingerprints") if name not in left_out]
    rows = run.rows("fingerprints", *known)
    rows.sort(key=lambda row: (-row["images"], row["fingerprint_id"]))
    rounds = run.rows("clusters")
    told = []
    for flagged in (True, False):
        for number, row in enumerate([row for row in rows if row["flagged"] == flagged]):
            members, cell = row.pop("members"), row.pop("pixels")
            pixels = np.frombuffer(cell, np.float32).reshape(row["height"], row["width"])
            row["pixels"] = pixels if number < config.report.fingerprints else None
            if flagged:
                row |= _scored(scores, row["fingerprint_id"])
                grown = _merged if config.method == "paper" else _grown
                row["growth"] = grown(rounds, set(members))
            told.append(row)
    return told


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


def _grown(rounds: list[dict[str, Any]], members: set[str]) -> list[dict[str, Any]]:
    """Say how many images the set had after every step, and how many of them are members."""
    sets: dict[tuple[int, ...], dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in rounds:
        sets[row["width"], row["height"], row["cluster"]][row["round"]].add(row["image_id"])
    for steps in sets.values():
        if steps[max(steps)] == members:
            return [
                {"step": STEPS[number - 1], "images": len(images), "members": len(images & members)}
                for number, images in sorted(steps.items())
            ]
    return []
