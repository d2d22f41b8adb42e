"""Stage 2: T_merge and the texture of reference fingerprints, for every size of the dump."""

from __future__ import annotations

import numpy as np
from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.fingerprint import reference_blocks
from noisescope_core.paper.calibration import fingerprint_blocks, merge_threshold
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.stages.means import fingerprints_of, haralick_of, summed_residuals
from noisescope_core.spark.stages.sets import ImageSet, image_sets, tested_images
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.rows import CalibrationRow, ReferenceFingerprintRow


def calibrate(run: Run, config: Config, progress: Progress) -> None:
    """Read the tested images and the reference, write `calibration`, `reference_fingerprints`.

    A size that has too few images or too few reference images gets the reason instead.
    """
    reference = image_sets(run, "reference_residuals")
    images = {
        (row.width, row.height): row.images
        for row in tested_images(run)
        .groupBy("width", "height")
        .agg(F.countDistinct("image_id").alias("images"))
        .collect()
    }
    calibrations: list[CalibrationRow] = []
    fingerprints: list[ReferenceFingerprintRow] = []
    with progress.stage("calibrate") as stage:
        for (width, height), tested in sorted(images.items()):
            known = reference.get((width, height))
            count = len(known) if known else 0
            reason = _shortage(config, width, height, tested, count)
            t_merge = None
            if reason is None and known is not None and config.method == "paper":
                stage.note(f"{count:,} reference images of {width} x {height}")
                t_merge = config.calibration.t_merge or _merge_threshold(run, config, known)
                fingerprints += _reference_fingerprints(run, config, known)
            calibrations.append(CalibrationRow(width, height, tested, count, t_merge, reason))
        run.write_rows("reference_fingerprints", fingerprints)
        run.write_rows("calibration", calibrations)
        done = [row for row in calibrations if row.reason is None]
        stage.done(
            ", ".join(
                f"{row.width} x {row.height}: "
                + (
                    f"T_merge {row.t_merge:.2f}"
                    if row.t_merge
                    else f"{row.images:,} images, {row.reference:,} reference"
                )
                for row in done[:3]
            )
            or "no size has enough images to decide"
        )


def _shortage(config: Config, width: int, height: int, images: int, reference: int) -> str | None:
    if images < config.least_images():
        return (
            f"too few images of {width} x {height} to decide: "
            f"{images:,}, needed {config.least_images():,}"
        )
    if reference < config.least_reference():
        return (
            f"too few reference images of {width} x {height} to calibrate: "
            f"{reference:,}, needed {config.least_reference():,}"
        )
    return None


def _merge_threshold(run: Run, config: Config, known: ImageSet) -> float:
    blocks = fingerprint_blocks(
        len(known), config.calibration.fingerprints, config.calibration.images
    )
    order = np.random.default_rng(config.seed).permutation(len(known))
    sums = summed_residuals(run, config, known, dict(enumerate(order[blocks].tolist())))
    fingerprints = fingerprints_of(sums, (known.height, known.width))
    return merge_threshold(fingerprints, config.calibration.percentile)


def _reference_fingerprints(
    run: Run, config: Config, known: ImageSet
) -> list[ReferenceFingerprintRow]:
    blocks = reference_blocks(
        len(known), config.texture.images, config.texture.shuffles, config.seed
    )
    sums = summed_residuals(run, config, known, dict(enumerate(blocks.tolist())))
    features = haralick_of(sums, (known.height, known.width)).tolist()
    return [
        ReferenceFingerprintRow(known.width, known.height, k, row) for k, row in enumerate(features)
    ]
