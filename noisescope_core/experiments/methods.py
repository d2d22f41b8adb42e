"""The methods that experiments compare: the default one, the paper's, and their rivals.

Each readies all images of a condition at once and then answers draw by draw, in memory, by the
functions that the Spark stages call. The default method looks for fingerprints in place only
(`detection.alignments=own`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noisescope_core.baselines.azimuthal import azimuthal_features
from noisescope_core.baselines.csd import csd_features
from noisescope_core.baselines.one_class import fit_one_class, outliers
from noisescope_core.baselines.prnu import camera_residual
from noisescope_core.config import Config
from noisescope_core.correlation.spectra import spectra
from noisescope_core.experiments.definition import MethodName
from noisescope_core.experiments.pictures import Drawn, Pictures, Pixels
from noisescope_core.fingerprint import reference_blocks, sample_members
from noisescope_core.paper.calibration import fingerprint_blocks, merge_threshold
from noisescope_core.paper.classifier import fit_texture, texture_margins
from noisescope_core.paper.clustering import Members, cluster_residuals
from noisescope_core.paper.detector import detection_threshold, score_images
from noisescope_core.residual import channel_residuals, noise_residual
from noisescope_core.texture import haralick_features
from noisescope_core.whitened.acceptance import acceptance_of
from noisescope_core.whitened.correlations import Correlations, arrange_distinct
from noisescope_core.whitened.discovery import SharedPattern, discover
from noisescope_core.whitened.evidence import gather, own_energy
from noisescope_core.whitened.growth import band_scores, combined
from noisescope_core.whitened.overlay import TILED, tile_agreement
from noisescope_core.whitened.planes.bands import Layout, layout
from noisescope_core.whitened.planes.duplicates import sketch
from noisescope_core.whitened.planes.products import band_correlations
from noisescope_core.whitened.planes.whitening import packed, unpacked, whitened_planes

BATCH = 100
"""Residuals transformed at once."""


@dataclass(frozen=True)
class Answer:
    """What a method says of the images tested in one draw.

    Attributes
    ----------
    sets : images flagged, by generator's fingerprint, as positions among the images tested
    other : shared patterns found that are not taken for a generator's
    undecided : whether there are too few images for the method
    confidence : (t,) of the images tested, with the fingerprint that each fits best, if known
    """

    sets: list[NDArray[np.intp]]
    other: int = 0
    undecided: bool = False
    confidence: NDArray[np.float64] | None = None


Method = Callable[[Drawn], Answer]
Load = Callable[[Pictures, Config], Method]


@dataclass(frozen=True)
class Features:
    """What the default method compares, of all images of a condition.

    Attributes
    ----------
    planes : (n, 3, V) float16, `whitening.whitened_planes` as they are stored
    correlations : (33, n, n) float32
    sketches : (n, 1024) uint8
    bins : their layout
    """

    planes: NDArray[np.float16]
    correlations: NDArray[np.float32]
    sketches: NDArray[np.uint8]
    bins: Layout

    def between(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Copy the correlations of some rows: (33, m, m) float32."""
        return np.ascontiguousarray(self.correlations[:, rows][:, :, rows])


def features(listed: Pictures, config: Config) -> Features:
    """Extract and correlate the features of all images."""
    how = config.residual

    def one(pixels: Pixels) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
        channels = channel_residuals(pixels, how.sigma, how.levels, denoiser=how.denoiser)
        feature = unpacked(packed(whitened_planes(channels)))
        return feature.astype(np.float16), sketch(pixels)

    made = listed.each(one)
    planes = np.stack([feature for feature, _ in made])
    bins = layout(listed.side, listed.side)
    correlations = band_correlations(planes, planes, bins)
    return Features(planes, correlations, np.stack([small for _, small in made]), bins)


def whitened(listed: Pictures, config: Config) -> Method:
    """Ready the default method."""
    known = features(listed, config)
    limits = config.discovery

    def answer(drawn: Drawn) -> Answer:
        if _too_few(drawn, limits.least_images, limits.least_reference):
            return Answer([], undecided=True)
        rows = listed.rows(drawn)
        prepared = arrange_distinct(
            known.between(rows), known.sketches[rows], drawn.tested, known.bins.shares()
        )
        patterns = discover(prepared, acceptance_of(config))
        generators = [
            pattern
            for pattern in patterns
            if made_by_generator(pattern, pattern.agreement, pattern.error, known, rows)
        ]
        return Answer(
            [pattern.members for pattern in generators],
            other=len(patterns) - len(generators),
            confidence=_confidence(prepared, generators) if generators else None,
        )

    return answer


def _too_few(drawn: Drawn, images: int, reference: int) -> bool:
    return drawn.tested < images or len(drawn.names) - drawn.tested < reference


def made_by_generator(
    pattern: SharedPattern,
    agreement: NDArray[np.float64],
    error: NDArray[np.float64],
    known: Features,
    rows: NDArray[np.intp],
) -> bool:
    """Say whether the evidence speaks for a generator.

    Parameters
    ----------
    agreement, error : (33,) float, of the pattern
    rows : of the images tested, and more
    """
    planes = known.planes[rows[pattern.members]]
    mean = planes.mean(0, dtype=np.float32)
    halves = np.stack([planes[k::2].mean(0, dtype=np.float32) for k in (0, 1)])
    tiles = tile_agreement(planes[:TILED], mean, len(planes), known.bins)
    energy = np.stack([own_energy(planes[:TILED][k::2], known.bins) for k in (0, 1)])
    evidence = gather(agreement, error, tiles.reshape(len(tiles), -1), halves, energy, known.bins)
    return evidence.maker == "generator"


def _confidence(correlations: Correlations, patterns: list[SharedPattern]) -> NDArray[np.float64]:
    fits, confidences = [], []
    for pattern in patterns:
        column = np.zeros((correlations.tested, 1), bool)
        column[pattern.members] = True
        scores = band_scores(correlations.whole, column)[:, : correlations.tested]
        total = combined(scores, pattern.weights[:, None], pattern.centre[:, None])[:, 0]
        z = pattern.bar.standardised(total)
        fits.append(pattern.bar.fit(z))
        confidences.append(pattern.bar.confidence(z))
    best = np.argmax(fits, axis=0)
    return np.asarray(np.stack(confidences)[best, np.arange(len(best))], np.float64)


def paper(listed: Pictures, config: Config) -> Method:
    """Ready the paper's method."""
    return _by_residuals(listed, config, lambda residual: residual)


def prnu(listed: Pictures, config: Config) -> Method:
    """Ready plain PRNU clustering: the paper's steps on residuals cleaned as for cameras."""
    return _by_residuals(listed, config, camera_residual)


def _by_residuals(
    listed: Pictures,
    config: Config,
    cleaned: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> Method:
    how = config.residual
    least = config.least_images(), config.least_reference()

    def one(pixels: Pixels) -> NDArray[np.float32]:
        return cleaned(noise_residual(pixels, how.sigma, how.levels, denoiser=how.denoiser))

    residuals: list[NDArray[np.float32]] = []

    def answer(drawn: Drawn) -> Answer:
        if _too_few(drawn, *least):
            return Answer([], undecided=True)
        if not residuals:  # Not before a draw can be decided.
            residuals.append(np.stack(listed.each(one)))
        stack = residuals[0][listed.rows(drawn)]
        return Answer(flagged(stack[: drawn.tested], stack[drawn.tested :], config))

    return answer


def flagged(
    images: NDArray[np.float32], reference: NDArray[np.float32], config: Config
) -> list[NDArray[np.intp]]:
    """Find generated images by the paper's steps.

    Parameters
    ----------
    images : (t, H, W) float32, residuals
    reference : (r, H, W) float32, residuals

    Returns
    -------
    list of rows of images, one per generator's fingerprint that any image carries
    """
    clusters = _generators(images, reference, config)
    if not clusters:
        return []
    known = spectra(np.stack([_mean(images, members) for members in clusters]), np.float64)

    def scored(stack: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        parts = [
            score_images(stack[start : start + BATCH], known)
            for start in range(0, len(stack), BATCH)
        ]
        return np.concatenate([score for score, _ in parts]), np.concatenate([b for _, b in parts])

    threshold = detection_threshold(scored(reference)[0], config.detection.percentile)
    scores, best = scored(images)
    sets = [np.flatnonzero((scores > threshold) & (best == k)) for k in range(len(clusters))]
    return [members for members in sets if len(members)]


def _generators(
    images: NDArray[np.float32], reference: NDArray[np.float32], config: Config
) -> list[Members]:
    calibration, texture, clustering = config.calibration, config.texture, config.clustering
    t_merge = calibration.t_merge
    if t_merge is None:
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

    return cluster_residuals(
        images, t_merge, classify,
        check_above=clustering.check_above, classify_above=clustering.classify_above,
    ).flagged  # fmt: skip


def _mean(
    residuals: NDArray[np.float32], rows: NDArray[np.int64] | Sequence[int]
) -> NDArray[np.float32]:
    return np.asarray(residuals[list(rows)].mean(0, dtype=np.float64), np.float32)


def csd(listed: Pictures, config: Config) -> Method:
    """Ready CSD-SVM: colour statistics, and a one-class SVM trained on the reference."""
    return _by_outliers(listed, config, csd_features)


def azimuthal(listed: Pictures, config: Config) -> Method:
    """Ready the azimuthal average of the spectrum, and the same classifier."""
    return _by_outliers(listed, config, azimuthal_features)


def _by_outliers(
    listed: Pictures, config: Config, feature: Callable[[Pixels], NDArray[np.float64]]
) -> Method:
    known = np.stack(listed.each(feature))

    def answer(drawn: Drawn) -> Answer:
        mine = known[listed.rows(drawn)]
        model = fit_one_class(mine[drawn.tested :], config.seed)
        rows = np.flatnonzero(outliers(model, mine[: drawn.tested]))
        return Answer([rows] if len(rows) else [])

    return answer


METHODS: Mapping[MethodName, Load] = {
    "whitened": whitened,
    "paper": paper,
    "csd": csd,
    "azimuthal": azimuthal,
    "prnu": prnu,
}

FINGERPRINTS = ("whitened", "paper", "prnu")
"""Methods whose sets share a fingerprint; the others tell images one by one."""
