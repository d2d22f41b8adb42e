"""Stage 5 of the whitened method: every image against every fingerprint, in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from noisescope_core.confidence import Bar
from noisescope_core.detection import Fingerprint, match
from noisescope_core.whitening import PLANES, compared

Size = tuple[int, int]

Scored = tuple[float, float | None, float | None, str]
"""Score, threshold, confidence and fingerprint."""

Test = Callable[[str, Size, pa.Buffer], Scored]
"""Given an image's id, size and residual as stored."""


def match_test(by_size: dict[Size, list[Any]], side: int) -> Test:
    """Make the test of images against the fingerprints of their size, from the rows of these.

    `side` is that of the centre that is compared.
    """
    fingerprints = {
        size: [_fingerprint(row, side) for row in rows] for size, rows in by_size.items()
    }

    def test(image_id: str, size: Size, cell: pa.Buffer) -> Scored:
        width, height = size
        feature: NDArray[np.float16] = np.frombuffer(cell, np.float16)
        return match(feature, image_id, fingerprints[size], compared(height, width, side))

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
