"""Stage 2: which sizes can be decided, and what the reference images of each say."""

from __future__ import annotations

from pyspark.sql import functions as F

from noisescope_core.config import Config
from noisescope_core.images import Size
from noisescope_core.lattice.copies import COPIES, unusable
from noisescope_core.methods import method_of, shortage, unscored
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.stages.lattice.pile import small_pile
from noisescope_core.spark.stages.methods import stages_of
from noisescope_core.spark.stages.sets import image_sets, tested_images, tested_table
from noisescope_core.spark.tables.run import Run
from noisescope_core.tables.rows import CalibrationRow, ReferenceFingerprintRow


def calibrate(run: Run, config: Config, progress: Progress) -> None:
    """Read the tested images and the reference, write `calibration`, `reference_fingerprints`.

    A size that has too few images or too few reference images to be searched by itself gets the
    reason instead.
    """
    reference = image_sets(run, "reference_residuals")
    everything = {name for images in reference.values() for name in images.ids}
    of_lattices = method_of(config).lattice
    copies = unusable(*small_pile(run, config)) if of_lattices else set[str]()
    calibrations: list[CalibrationRow] = []
    fingerprints: list[ReferenceFingerprintRow] = []
    calibrated = stages_of(config).calibrate
    with progress.stage("calibrate") as stage:
        for size, images in sorted(_images_of_sizes(run).items()):
            count = len(set(reference[size].ids) - copies) if size in reference else 0
            reason = shortage(config, size, images, count)
            t_merge = None
            if reason is None and calibrated is not None:
                stage.note(f"{count:,} reference images of {size[0]} x {size[1]}")
                t_merge, textures = calibrated(run, config, reference[size])
                fingerprints += textures
            lacking = unscored(config, reason, len(everything - copies))
            calibrations.append(CalibrationRow(*size, images, count, t_merge, reason, lacking))
        run.write_rows("reference_fingerprints", fingerprints)
        run.write_rows("calibration", calibrations)
        if copies:
            stage.note(COPIES.format(len(copies)))
        decided = [_in_words(row) for row in calibrations if row.reason is None]
        stage.done(", ".join(decided[:3]) or "no size has enough images to be searched by itself")


def _images_of_sizes(run: Run) -> dict[Size, int]:
    """Count distinct tested images by size."""
    if (table := tested_table(run)) == "residuals":
        return {size: len(images) for size, images in image_sets(run, table).items()}
    counts = (
        tested_images(run)
        .groupBy("width", "height")
        .agg(F.countDistinct(F.coalesce("pixels_id", "image_id")).alias("images"))
    )
    return {(row.width, row.height): row.images for row in counts.collect()}


def _in_words(row: CalibrationRow) -> str:
    size = f"{row.width} x {row.height}"
    if row.t_merge:
        return f"{size}: T_merge {row.t_merge:.2f}"
    return f"{size}: {row.images:,} images, {row.reference:,} reference"
