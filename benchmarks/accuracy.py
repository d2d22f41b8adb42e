"""How well the default method finds generators in real images, in memory, draw by draw."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmarks.trials import Answer, Drawn, Method, Pictures, Result, Row
from noisescope_core.discovery import SharedPattern, discover
from noisescope_core.duplicates import sketch
from noisescope_core.evidence import gather, own_energy
from noisescope_core.growth import band_scores, combined
from noisescope_core.overlay import TILED, tile_agreement
from noisescope_core.residual import channel_residuals
from noisescope_core.search import Correlations, prepare_counted
from noisescope_core.whitening import (
    Layout,
    band_correlations,
    layout,
    packed,
    unpacked,
    whitened_planes,
)

BINS = (0, 0.01, 0.1, 0.5, 0.9, 0.99, 1)
"""Edges of the confidences of `reliability`."""


@dataclass(frozen=True)
class Features:
    """What the default method compares, of all images of one side.

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


def features(listed: Pictures) -> Features:
    """Extract and correlate the features of all images of one side."""

    def one(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
        feature = unpacked(packed(whitened_planes(channel_residuals(pixels))))
        return feature.astype(np.float16), sketch(pixels)

    made = listed.each(one)
    planes = np.stack([feature for feature, _ in made])
    bins = layout(listed.side, listed.side)
    correlations = band_correlations(planes, planes, bins)
    return Features(planes, correlations, np.stack([small for _, small in made]), bins)


def load(listed: Pictures) -> Method:
    """Ready the default method."""
    known = features(listed)

    def answer(drawn: Drawn) -> Answer:
        prepared = prepare_counted(
            known.between(drawn.rows), known.sketches[drawn.rows], drawn.tested, known.bins.shares()
        )
        patterns = discover(prepared)
        generators = [
            pattern
            for pattern in patterns
            if made_by_generator(pattern, pattern.agreement, pattern.error, known, drawn.rows)
        ]
        return Answer(
            [pattern.members for pattern in generators],
            other=len(patterns) - len(generators),
            confidence=_confidence(prepared, generators) if generators else None,
        )

    return answer


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


def reliability(found: Iterable[Result]) -> list[Row]:
    """Compare confidences with the truth, where a generator's fingerprint was accepted.

    Parameters
    ----------
    found : of trials with generated images
    """
    scored = [result for result in found if result.answer.confidence is not None]
    if not scored:
        return []
    confidence = np.concatenate([result.answer.confidence for result in scored])
    generated = np.concatenate([result.generated for result in scored])
    bin_of = np.digitize(confidence, BINS[1:-1])
    rows: list[Row] = []
    for number, (low, high) in enumerate(pairwise(BINS)):
        inside = bin_of == number
        row: Row = {"confidence": f"{low:g} to {high:g}", "images": int(inside.sum())}
        if inside.any():
            # Two decimals hide what the outer bins say.
            row["mean confidence"] = f"{confidence[inside].mean():.4f}"
            row["generated"] = f"{generated[inside].mean():.4f}"
        rows.append(row)
    return rows
