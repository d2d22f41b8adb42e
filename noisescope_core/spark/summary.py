"""What a run leaves for people: summary.json and report.html, drawn from its tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from noisescope_core import __version__
from noisescope_core.compression import Compression
from noisescope_core.config import Config
from noisescope_core.growth import FALSE_POSITIVES
from noisescope_core.reference import Size, unlike
from noisescope_core.report import render_report
from noisescope_core.spark.sets import by_shards, route, tested_images
from noisescope_core.spark.tables import Run, collected

FEW = 200
"""Reference images of one size below which a run is warned."""


def summarise(run: Run, config: Config) -> dict[str, Any]:
    """Count verdicts and reasons, gather what each size went through, and what to be wary of."""
    parts: dict[str, Callable[[], Any]] = {
        "counts": lambda: _counts(run),
        "reasons": lambda: _reasons(run),
        "sizes": lambda: _sizes(run, config),
        "fingerprints": lambda: _evidence(run),
        "reference": lambda: _reference(run),
        "unlike": lambda: _unlike(run),
        "carrying": lambda: _carrying(run),
    }
    # Small queries are mostly waiting.
    with ThreadPoolExecutor() as pool:
        asked = {name: pool.submit(part) for name, part in parts.items()}
        told = {name: answer.result() for name, answer in asked.items()}
    warnings = told.pop("reference") + told.pop("unlike") + told.pop("carrying")
    if unscored := told["counts"]["unscored"]:
        warnings.append(f"Images not scored: {unscored:,}; the reasons are in the verdicts.")
    return {
        "version": __version__,
        "method": config.method,
        "route": route(run, config),
        **told,
        "warnings": warnings,
        # Settings of Spark may be secrets: keys of a store.
        "config": config.model_dump(exclude={"spark": {"conf"}}),
    }


def _counts(run: Run) -> dict[str, int]:
    row = (
        run.read("verdicts")
        .agg(
            F.count("*").alias("files"),
            *[
                F.count(F.when(F.col("status") == status, 1)).alias(status)
                for status in ("scored", "unscored", "quarantined")
            ],
            F.count(F.when(F.col("is_fake"), 1)).alias("fake"),
            F.count(F.when(~F.col("is_fake"), 1)).alias("real"),
            F.count("shift_x").alias("elsewhere"),
        )
        .collect()[0]
    )
    counts: dict[str, int] = row.asDict()
    return counts


def _reasons(run: Run) -> list[dict[str, Any]]:
    given = run.read("verdicts").where("reason is not null")
    rows = given.groupBy("status", "reason").count().collect()
    return [
        {"status": row[0], "reason": row[1], "files": row[2]}
        for row in sorted(rows, key=lambda row: (-row[2], row[0], row[1]))
    ]


def _sizes(run: Run, config: Config) -> list[dict[str, Any]]:
    size = ["width", "height"]
    flagged = (
        run.read("fingerprints")
        .groupBy(size)
        .agg(
            F.count(F.when(F.col("flagged"), 1)).alias("fingerprints"),
            F.count(F.when(~F.col("flagged"), 1)).alias("other_patterns"),
        )
    )
    thresholds = run.read("verdicts").groupBy(size).agg(F.max("threshold").alias("threshold"))
    rows = (
        run.read("calibration")
        .join(_work(run, config), size, "left")
        .join(flagged, size, "left")
        .join(thresholds, size, "left")
        .orderBy(*size)
        .collect()
    )
    counts = ("pairs", "refined", "rounds", "clusters", "fingerprints", "other_patterns")
    return [
        {
            **{key: row[key] for key in ("width", "height", "images", "reference", "t_merge")},
            "threshold": row.threshold,
            **{key: row[key] or 0 for key in counts},
            "reason": row.reason,
        }
        for row in rows
    ]


def _evidence(run: Run) -> list[dict[str, Any]]:
    """Gather what is known of every pattern's maker, without its pixels."""
    columns = [
        name
        for name in run.read("fingerprints").columns
        if name
        not in ("haralick", "weights", "centres", "members", "covered", "pixels", "whitened")
    ]
    rows = run.read("fingerprints").select(*columns).orderBy("width", "height", "fingerprint_id")
    return [
        {name: value for name, value in row.asDict().items() if value is not None}
        for row in rows.collect()
    ]


def _work(run: Run, config: Config) -> DataFrame:
    """Count what was compared and merged for each size."""
    size = ["width", "height"]
    if config.method == "whitened":
        none = F.lit(0).cast("long")
        return (
            run.read("band_correlations")
            .where("band = 0")
            .select(*size, "first", "compared")
            .distinct()
            .groupBy(size)
            .agg(F.sum("compared").alias("pairs"))
            .select(*size, "pairs", *[none.alias(n) for n in ("refined", "rounds", "clusters")])
        )
    return (
        run.read("correlations")
        .groupBy(size)
        .agg(F.sum("compared").alias("first"), F.sum("refined").alias("first_refined"))
        .join(run.read("merging"), size, "left")
        .select(
            *size,
            (F.col("first") + F.coalesce("compared", F.lit(0))).alias("pairs"),
            (F.col("first_refined") + F.coalesce("refined", F.lit(0))).alias("refined"),
            "rounds",
            "clusters",
        )
    )


def _reference(run: Run) -> list[str]:
    """Warn of reference images that cannot serve, or should not."""
    listed = run.read("files").where("role = 'reference'").count()
    reference = run.read("reference_residuals")
    usable, marked = reference.agg(
        *[
            F.countDistinct(F.when(F.expr(those), F.col("path")))
            for those in ("status = 'scored'", "watermark is not null")
        ]
    ).collect()[0]
    ids = reference.select("image_id").distinct()
    shared = tested_images(run).select("image_id").distinct().join(ids, "image_id").count()
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
    for role, images in (("image", tested), ("reference", reference)):
        rows = (
            images.groupBy("width", "height", "format", "quantization", "prepared")
            .agg(F.countDistinct("image_id").alias("images"))
            .collect()
        )
        sizes = kinds.setdefault(role, {})
        for row in rows:
            size = row.width, row.height
            made[size] += row.images if row.prepared else 0
            compression = Compression(row.format, bytes(row.quantization))
            if row.prepared is None:
                sizes.setdefault(size, Counter())[compression] += row.images
    few, changed, otherwise = [], [], []
    decided = run.read("calibration").where("reason is null").orderBy("width", "height")
    for row in decided.collect():
        size = row.width, row.height
        name = f"{row.width} x {row.height}"
        if row.reference < FEW:
            few.append(f"{name}: {row.reference:,}")
        if made[size]:
            changed.append(f"{name}: {made[size]:,} of {row.reference:,}")
        there = kinds["reference"].get(size)
        share = unlike(kinds["image"][size], there) if there else 0.0
        # What was saved again is alike by now, and not among these.
        unmended = share * there.total() / row.reference if there else 0.0
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
    verdicts = run.read("verdicts")
    flagged = (
        verdicts.where("is_fake").orderBy(F.desc("score"), "path").limit(config.report.thumbnails)
    )
    pictures = run.read("scans" if by_shards(run) else "residuals").select("path", "thumbnail")
    aside = (
        verdicts.where("status <> 'scored'")
        .select("path", "status", "reason")
        .orderBy("status", "path")
        .limit(config.report.set_aside)
    )
    fingerprints = run.read("fingerprints").orderBy("width", "height", "fingerprint_id")
    shown, set_aside, patterns = collected(flagged.join(pictures, "path"), aside, fingerprints)
    return render_report(
        dict(summary),
        _score_distributions(run, summary),
        [
            row.asDict()
            | {"pixels": np.frombuffer(row.pixels, np.float32).reshape(row.height, row.width)}
            for row in patterns
        ],
        [row.asDict() for row in sorted(shown, key=lambda row: (-row.score, row.path))],
        [row.asDict() for row in set_aside],
    )


def _score_distributions(run: Run, summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Gather the scores in place of each size; of each fingerprint if it has its own threshold."""
    paper = summary["method"] == "paper"
    groups: dict[tuple[Any, ...], dict[str, list[float]]] = {}
    in_place = run.read("scores").where("shift_x is null")
    for row in in_place.drop("path", "image_id").collect():
        group = (row.width, row.height, None if paper else row.fingerprint_id, row.threshold)
        groups.setdefault(group, {"image": [], "reference": []})[row.role].append(row.score)
    thresholds = {(size["width"], size["height"]): size["threshold"] for size in summary["sizes"]}
    return [
        {
            "width": width,
            "height": height,
            "fingerprint_id": fingerprint_id,
            "threshold": thresholds[width, height] if threshold is None else threshold,
            "images": np.sort(scores["image"]),
            "reference": np.sort(scores["reference"]),
        }
        for (width, height, fingerprint_id, threshold), scores in sorted(
            groups.items(), key=lambda item: tuple(map(str, item[0]))
        )
    ]
