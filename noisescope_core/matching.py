"""One image against every fingerprint of a run, from rows of its tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from noisescope_core.alignment import Pattern, pattern_of, search
from noisescope_core.confidence import Bar
from noisescope_core.config import Config
from noisescope_core.correlation import Spectra, spectra
from noisescope_core.detection import Fingerprint, match, score_images
from noisescope_core.overlay import TILE, uncovered
from noisescope_core.whitening import PLANES, compared, unpacked

Size = tuple[int, int]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Scored:
    """What the test of an image says; None where its method does not."""

    score: float
    fingerprint_id: str
    threshold: float | None = None
    confidence: float | None = None
    shift_x: int | None = None
    shift_y: int | None = None
    typical: bool = False

    @property
    def is_fake(self) -> bool:
        """Whether the score is above the threshold; where that comes later, never."""
        return self.threshold is not None and self.score > self.threshold


Test = Callable[[str, Size, pa.Buffer], Scored | None]
"""Given an image's id, size and residual as stored; None where there is nothing to test with."""


def match_test(by_size: dict[Size, list[Any]], config: Config, everywhere: bool) -> Test:
    """Make the test of images against the fingerprints, from the rows of these.

    Images are tested in place against the fingerprints of their own size, and, `everywhere`, where
    that finds nothing at all alignments against all fingerprints.
    """
    side = config.whitening.side
    fingerprints: dict[Size, list[tuple[Mask | None, list[Fingerprint]]]] = {}
    patterns: list[Pattern] = []
    for size, rows in by_size.items():
        # What lies beneath an overlay was found without the tiles that it covers.
        beneath: dict[tuple[bool, ...], list[Fingerprint]] = {}
        for row in rows:
            beneath.setdefault(tuple(row.covered or ()), []).append(fingerprint_of(row, side))
        tiles = [length // TILE for length in compared(*size[::-1], side).shape]
        fingerprints[size] = [
            (np.reshape(covered, tiles) if covered else None, known)
            for covered, known in beneath.items()
        ]
        if everywhere:
            patterns += [
                pattern_of(one.fingerprint_id, size, one.mean, one.weights, side)
                for _, known in fingerprints[size]
                for one in known
            ]

    def test(image_id: str, size: Size, cell: pa.Buffer) -> Scored | None:
        if size not in fingerprints and not patterns:
            return None
        width, height = size
        feature = unpacked(cell)
        in_place = None
        if size in fingerprints:
            bins = compared(height, width, side)
            answers = []
            for covered, known in fingerprints[size]:
                looked_at = feature if covered is None else uncovered(feature, covered, bins)
                score, threshold, confidence, name, typical = match(
                    looked_at, image_id, known, bins
                )
                answers.append(Scored(score, name, threshold, confidence, typical=typical))
            in_place = max(answers, key=lambda one: (one.is_fake, one.confidence, one.score))
            if in_place.is_fake or not patterns:
                return in_place
        found = search(feature, size, patterns, side)
        if in_place and found.pce <= found.threshold:
            return in_place
        return Scored(
            found.pce, found.fingerprint_id, found.threshold, found.confidence, *found.shift
        )

    return test


def pce_test(by_size: dict[Size, list[Any]]) -> Test:
    """Make the paper's test: the largest PCE; the threshold needs all reference images first."""
    fingerprints: dict[Size, tuple[Spectra, list[str]]] = {}
    for size, rows in by_size.items():
        pixels = [np.frombuffer(row.pixels, np.float32).reshape(size[::-1]) for row in rows]
        fingerprints[size] = (
            spectra(np.stack(pixels), np.float64),
            [row.fingerprint_id for row in rows],
        )

    def test(image_id: str, size: Size, cell: pa.Buffer) -> Scored:
        known, ids = fingerprints[size]
        residual = np.frombuffer(cell, np.float32).reshape(known.shape)
        value, row = score_images(residual[None], known)
        return Scored(float(value[0]), ids[row[0]])

    return test


def fingerprint_of(row: Any, side: int) -> Fingerprint:
    """Ready a row of `fingerprints` of the default method, of images compared up to `side`."""
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
