"""The paper's method in memory, by the heart's functions and its default configuration."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.trials import Answer, Drawn, Method, Pictures
from noisescope_core.calibration import fingerprint_blocks, merge_threshold
from noisescope_core.clustering import Members, cluster_residuals
from noisescope_core.config import Config
from noisescope_core.correlation import spectra
from noisescope_core.detection import detection_threshold, score_images
from noisescope_core.fingerprint import reference_blocks, sample_members
from noisescope_core.residual import noise_residual
from noisescope_core.texture import fit_texture, haralick_features, texture_margins

CONFIG = Config(method="paper")
BATCH = 100


def load(listed: Pictures) -> Method:
    """Ready the paper's method; residuals are extracted once a draw can be decided."""

    @cache
    def residuals() -> NDArray[np.float32]:
        return np.stack(listed.each(noise_residual))

    def answer(drawn: Drawn) -> Answer:
        reference = len(drawn.rows) - drawn.tested
        if reference < CONFIG.least_reference() or drawn.tested < CONFIG.least_images():
            return Answer([], undecided=True)
        stack = residuals()[drawn.rows]
        return Answer(find(stack[: drawn.tested], stack[drawn.tested :]))

    return answer


def find(
    images: NDArray[np.float32], reference: NDArray[np.float32], config: Config = CONFIG
) -> list[NDArray[np.intp]]:
    """Find generated images.

    Parameters
    ----------
    images : (t, H, W) float32, residuals
    reference : (r, H, W) float32, residuals

    Returns
    -------
    list of rows of images, one per generator's fingerprint that any image carries
    """
    flagged = _flagged(images, reference, config)
    if not flagged:
        return []
    known = spectra(np.stack([_mean(images, members) for members in flagged]), np.float64)

    def scored(stack: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        parts = [
            score_images(stack[start : start + BATCH], known)
            for start in range(0, len(stack), BATCH)
        ]
        return np.concatenate([score for score, _ in parts]), np.concatenate([b for _, b in parts])

    threshold = detection_threshold(scored(reference)[0], config.detection.percentile)
    scores, best = scored(images)
    sets = [np.flatnonzero((scores > threshold) & (best == k)) for k in range(len(flagged))]
    return [members for members in sets if len(members)]


def _flagged(
    images: NDArray[np.float32], reference: NDArray[np.float32], config: Config
) -> list[Members]:
    calibration, texture = config.calibration, config.texture
    order = np.random.default_rng(config.seed).permutation(len(reference))
    blocks = fingerprint_blocks(len(reference), calibration.fingerprints, calibration.images)
    t_merge = merge_threshold(
        np.stack([_mean(reference, order[block]) for block in blocks]), calibration.percentile
    )
    blocks = reference_blocks(len(reference), texture.images, texture.shuffles, config.seed)
    model = fit_texture(
        [haralick_features(_mean(reference, block)) for block in blocks],
        texture.neighbours,
        texture.contamination,
    )

    def classify(clusters: Sequence[Members]) -> list[bool]:
        samples = [
            [
                int(name)
                for name in sample_members(
                    [f"{member:05}" for member in members], texture.images, config.seed
                )
            ]
            for members in clusters
        ]
        margins = texture_margins(
            model, [haralick_features(_mean(images, sample)) for sample in samples]
        )
        return [bool(margin < 0) for margin in margins]

    clustering = config.clustering
    return cluster_residuals(
        images, t_merge, classify,
        check_above=clustering.check_above, classify_above=clustering.classify_above,
    ).flagged  # fmt: skip


def _mean(
    residuals: NDArray[np.float32], rows: NDArray[np.int64] | Sequence[int]
) -> NDArray[np.float32]:
    return np.asarray(residuals[list(rows)].mean(0, dtype=np.float64), np.float32)
