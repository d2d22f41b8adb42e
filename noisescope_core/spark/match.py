"""Stage 5 of the whitened method: every image against every fingerprint, in one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from noisescope_core.alignment import Pattern, pattern_of, search
from noisescope_core.confidence import Bar
from noisescope_core.config import Config
from noisescope_core.detection import Fingerprint, match
from noisescope_core.overlay import TILE, uncovered
from noisescope_core.whitening import PLANES, compared, unpacked

Size = tuple[int, int]


@dataclass(frozen=True)
class Scored:
    """What the test of an image says; None where its method does not."""

    score: float
    fingerprint_id: str
    threshold: float | None = None
    confidence: float | None = None
    shift_x: int | None = None
    shift_y: int | None = None

    @property
    def is_fake(self) -> bool:
        """Whether the score is above the threshold; where that comes later, never."""
        return self.threshold is not None and self.score > self.threshold


Test = Callable[[str, Size, pa.Buffer], Scored]
"""Given an image's id, size and residual as stored."""


def match_test(by_size: dict[Size, list[Any]], config: Config) -> Test:
    """Make the test of images against the fingerprints, from the rows of these.

    Images are tested in place against the fingerprints of their own size, and where that finds
    nothing at all alignments against all fingerprints.
    """
    side = config.whitening.side
    fingerprints: dict[Size, list[Fingerprint]] = {}
    patterns: list[Pattern] = []
    # What lies beneath an overlay is found in one round, hence beneath the same tiles.
    covered = {
        size: np.reshape(rows[0].covered, [s // TILE for s in compared(*size[::-1], side).shape])
        for size, rows in by_size.items()
        if rows[0].covered
    }
    for size, rows in by_size.items():
        fingerprints[size] = [_fingerprint(row, side) for row in rows]
        if config.detection.alignments == "all":
            patterns += [
                pattern_of(known.fingerprint_id, size, known.mean, known.weights, side)
                for known in fingerprints[size]
            ]

    def test(image_id: str, size: Size, cell: pa.Buffer) -> Scored:
        width, height = size
        feature = unpacked(cell)
        in_place = None
        if size in fingerprints:
            bins = compared(height, width, side)
            looked_at = feature
            if size in covered:
                looked_at = uncovered(feature, covered[size], bins)
            score, threshold, confidence, name = match(
                looked_at, image_id, fingerprints[size], bins
            )
            in_place = Scored(score, name, threshold, confidence)
            if score > threshold or not patterns:
                return in_place
        found = search(feature, size, patterns, side)
        if in_place and found.pce <= found.threshold:
            return in_place
        return Scored(
            found.pce, found.fingerprint_id, found.threshold, found.confidence, *found.shift
        )

    return test


def _fingerprint(row: Any, side: int) -> Fingerprint:
    bins = compared(row.height, row.width, side)
    return Fingerprint(
        row.fingerprint_id,
        np.frombuffer(row.whitened, np.float32).reshape(len(PLANES), bins.values),
        frozenset(row.members),
        np.array(row.weights),
        np.array(row.centres),
        Bar(row.reference_centre, row.reference_spread, row.threshold, row.member_mean,
            row.member_spread, row.prior),
    )  # fmt: skip
