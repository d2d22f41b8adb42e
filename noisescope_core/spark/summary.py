"""What a run leaves for people: summary.json and report.html, drawn from its tables."""

from __future__ import annotations

import json
import platform
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib import metadata
from typing import Any

import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyspark.sql import Row
from pyspark.sql import functions as F

from noisescope_core import __version__
from noisescope_core.config import Config
from noisescope_core.extraction import RESIZED, TESTED_TOO, counterparts_in_words, is_resized
from noisescope_core.images import Size
from noisescope_core.images.compression import Compression
from noisescope_core.images.counterparts import greys_in_words
from noisescope_core.images.reference import unlike
from noisescope_core.methods import method_of
from noisescope_core.spark.families import families_of
from noisescope_core.spark.records import records_of
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.stages.methods import stages_of
from noisescope_core.spark.stages.sets import route_of, tested_images, tested_table
from noisescope_core.spark.tables.cells import collected
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.schemas import columns
from noisescope_core.whitened.discovery.growth import FALSE_POSITIVES

FEW = 200
"""Reference images of one size below which a run is warned."""

NAMED = 8
"""Sizes that a warning names, at most: chosen."""

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
        "verdicts": count_verdicts,
        "reference": _reference,
        "unlike": partial(_unlike, config=config),
        "carrying": _carrying,
        "records": records_of,
    }
    # Small queries are mostly waiting.
    with ThreadPoolExecutor() as pool:
        answers = {name: pool.submit(part, run) for name, part in parts.items()}
        results = {name: answer.result() for name, answer in answers.items()}
    verdicts = results["verdicts"]
    counts = counts_of(verdicts)
    warnings = results["reference"] + results["unlike"] + results["carrying"]
    warnings += unscored_in_words(counts)
    return {
        "version": __version__,
        "versions": _versions(run),
        "method": config.method,
        "route": route_of(run),
        "counts": counts,
        "reasons": reasons_of(verdicts),
        "sizes": _sizes(run, config, verdicts),
        "lattices": _lattices(run, config),
        "families": families_of(run, config),
        "records": results["records"],
        "fingerprints": _evidence(run),
        "warnings": warnings,
        # Settings of Spark may be secrets: keys of a store.
        "config": config.model_dump(exclude={"spark": {"conf"}}),
    }


def unscored_in_words(counts: Mapping[str, int]) -> list[str]:
    """Warn of images that are not scored."""
    if not counts["unscored"]:
        return []
    return [f"Images not scored: {counts['unscored']:,}; the reasons are in the verdicts."]


def write_summary(
    run: Run, summary: Mapping[str, Any], progress: Progress, started: datetime, clock: float
) -> dict[str, Any]:
    """Write `summary.json`, with the time that the run took.

    Parameters
    ----------
    summary : what it holds besides
    started, clock : when the run began, and `time.monotonic` then
    """
    whole = {
        **summary,
        "started": started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "seconds": round(time.monotonic() - clock, 1),
        "stages": progress.stages,
    }
    run.write_text("summary.json", json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
    return whole


def _versions(run: Run) -> dict[str, str]:
    """Versions of all that computes; of packages those of the driver."""
    versions = {"NoiseScope": __version__, "Python": platform.python_version()}
    for name in PACKAGES:
        # Whoever installed another build of a package has no such name.
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions | {"Spark": run.spark.version, "on": platform.platform()}


def count_verdicts(run: Run) -> list[Row]:
    """Count the verdicts by size, status and reason, in one pass."""
    groups = run.read("verdicts").groupBy("width", "height", "status", "reason")
    return groups.agg(
        F.count("*").alias("files"),
        F.count(F.when(F.col("is_fake"), 1)).alias("fake"),
        F.count(F.when(~F.col("is_fake"), 1)).alias("real"),
        F.count("shift_x").alias("elsewhere"),
        F.max("threshold").alias("threshold"),
    ).collect()


def counts_of(verdicts: list[Row]) -> dict[str, int]:
    """Add up what `count_verdicts` counted."""
    by_status = Counter({"scored": 0, "unscored": 0, "quarantined": 0})
    for row in verdicts:
        by_status[row.status] += row.files
    totals = {
        name: sum(row[name] for row in verdicts) for name in ("files", "fake", "real", "elsewhere")
    }
    return {"files": totals.pop("files"), **by_status, **totals}


def reasons_of(verdicts: list[Row]) -> list[dict[str, Any]]:
    """Gather the reasons of `count_verdicts`, the most frequent first."""
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
        for row in run.rows("fingerprints", "kind", "width", "height", "flagged")
        if row["kind"] != "lattice"
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


def _lattices(run: Run, config: Config) -> dict[str, int] | None:
    """Count what the search among all sizes saw and found; None by methods without one."""
    if method_of(config).lattice is None:
        return None
    has_tile, prepared = ds.field("tile").is_valid(), ds.field("prepared")
    native = prepared.is_null() | ~pc.starts_with(prepared, RESIZED)
    flagged = Counter(
        row["flagged"]
        for row in run.rows("fingerprints", "kind", "flagged")
        if row["kind"] == "lattice"
    )
    return {
        "images": run.count(tested_table(run), has_tile),
        "reference": run.count("reference_residuals", has_tile & native),
        "fingerprints": flagged[True],
        "other_patterns": flagged[False],
    }


def _calibrated(run: Run) -> dict[Size, dict[str, Any]]:
    rows = {(row["width"], row["height"]): row for row in run.rows("calibration")}
    return dict(sorted(rows.items()))


def _evidence(run: Run) -> list[dict[str, Any]]:
    """Gather what is known of every pattern's maker, without its pixels."""
    left_out = (
        "haralick",
        "weights",
        "centres",
        "members",
        "covered",
        "pixels",
        "whitened",
        "background",
    )
    counted = [name for name in columns("fingerprints") if name not in left_out]
    rows = run.rows("fingerprints", *counted)
    rows.sort(key=lambda row: (row["width"], row["height"], row["fingerprint_id"]))
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def _work(run: Run, config: Config) -> dict[Size, Counter[str]]:
    """Count what was compared and merged for each size."""
    work: dict[Size, Counter[str]] = defaultdict(Counter)
    for size, counts in stages_of(config).pairs(run):
        work[size].update(counts)
    return work


def _reference(run: Run) -> list[str]:
    """Warn of reference images that cannot serve, or should not."""
    reference = run.read("reference_residuals")
    ids = reference.select("image_id").distinct()
    both = tested_images(run).select("image_id").distinct().join(ids, "image_id")
    listed = run.count("files", ds.field("role") == "reference")
    ((usable, marked, left_out),), ((shared,),) = collected(
        reference.agg(
            *[
                F.countDistinct(F.when(F.expr(those), F.col("path")))
                for those in ("status = 'scored'", "watermark is not null")
            ],
            F.countDistinct(F.when(F.col("reason") == TESTED_TOO, F.col("path"))),
        ),
        both.agg(F.count("*")),
    )
    warnings = []
    if (unusable := listed - usable - left_out) > 0:
        warnings.append(f"Reference files that could not be used: {unusable:,} of {listed:,}.")
    if marked:
        warnings.append(
            f"Reference images that carry a generator's watermark and were set aside: {marked:,}. "
            "There may be others that do not; look through the reference set."
        )
    if shared:
        do = "; they are no reference and were left out of it" if left_out else ""
        warnings.append(f"Images in both the reference and the test set: {shared:,}{do}.")
    return warnings


@dataclass(frozen=True)
class _Held:
    """Tested and reference images that are held against each other.

    Attributes
    ----------
    name : their size in words
    reference : number of reference images
    adapted : of these, resized or saved again
    tested, as_found : number of tested images, and of reference images left as they are, by
        compression
    """

    name: str
    reference: int
    adapted: int
    tested: Counter[Compression]
    as_found: Counter[Compression]

    @classmethod
    def of_rows(cls, name: str, tested: list[Row], reference: list[Row], images: int) -> _Held:
        """Count what rows tell of numbers of images."""
        adapted = sum(row.images for row in reference if row.prepared)
        as_found = [row for row in reference if not row.prepared]
        return cls(name, images, adapted, _by_compression(tested), _by_compression(as_found))

    @property
    def unmended(self) -> float:
        """Share of the reference that is unlike; what was saved again is alike by now."""
        as_found = self.as_found.total()
        return unlike(self.tested, self.as_found) * as_found / self.reference if as_found else 0.0


def _unlike(run: Run, config: Config) -> list[str]:
    """Warn of a reference that is small, adapted, or of other compressions than the images are."""
    tested = tested_images(run).withColumn("prepared", F.lit(None).cast("string"))
    reference = run.read("reference_residuals").where("status = 'scored'")
    counts = [
        images.groupBy("width", "height", "format", "quantization", "prepared").agg(
            F.countDistinct("image_id").alias("images")
        )
        for images in (tested, reference)
    ]
    greys = [
        images.groupBy("grey").agg(F.countDistinct("image_id").alias("images"))
        for images in (tested.where("grey is not null"), reference.where("grey is not null"))
    ]
    of_tested, of_reference, *by_grey = collected(*counts, *greys)
    sizes = {
        size: row["reference"] for size, row in _calibrated(run).items() if row["reason"] is None
    }
    own, known = (_by_size(rows) for rows in (of_tested, of_reference))
    held = [
        _Held.of_rows(f"{size[0]} x {size[1]}", own[size], known[size], images)
        for size, images in sizes.items()
    ]
    warnings = _few(held)
    native = [row for row in of_reference if not is_resized(row.asDict())]
    if method_of(config).lattice and any((row.width, row.height) not in sizes for row in native):
        images = sum(row.images for row in native)
        held.append(_Held.of_rows("all sizes together", of_tested, native, images))
    warnings += _changed(held)
    every_row = ((row.asDict(), row.images) for row in of_reference)
    warnings += counterparts_in_words(_by_compression(of_tested), every_row)
    return warnings + greys_in_words(*({row.grey: row.images for row in rows} for rows in by_grey))


def _by_size(rows: list[Row]) -> defaultdict[Size, list[Row]]:
    sizes: defaultdict[Size, list[Row]] = defaultdict(list)
    for row in rows:
        sizes[row.width, row.height].append(row)
    return sizes


def _by_compression(rows: list[Row]) -> Counter[Compression]:
    counts: Counter[Compression] = Counter()
    for row in rows:
        counts[Compression.of_row(row)] += row.images
    return counts


def _few(held: list[_Held]) -> list[str]:
    few = [f"{one.name}: {one.reference:,}" for one in held if one.reference < FEW]
    if not few:
        return []
    return [
        f"Few reference images ({_listed(few)}). Weak generators may be missed and bars are "
        f"rough; {FEW:,} and more of each size are good."
    ]


def _listed(sizes: list[str]) -> str:
    """List what is said of sizes, of many the first ones and the last: it is of all together."""
    if len(sizes) <= NAMED:
        return ", ".join(sizes)
    return ", ".join([*sizes[: NAMED - 1], f"{len(sizes) - NAMED:,} more", sizes[-1]])


def _changed(held: list[_Held]) -> list[str]:
    changed = [f"{one.name}: {one.adapted:,} of {one.reference:,}" for one in held if one.adapted]
    otherwise = [f"{one.name}: {one.unmended:.0%}" for one in held if one.unmended > 0.5]
    warnings = []
    if changed:
        warnings.append(
            "Reference images that were resized or saved again like the tested images "
            f"({_listed(changed)}). Photographs from the same source as those would be better."
        )
    if otherwise:
        warnings.append(
            f"Reference images compressed otherwise than the tested images ({_listed(otherwise)})"
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
