"""Stage 5 of the whitened method: every image against every fingerprint, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from noisescope_core.confidence import Bar
from noisescope_core.detection import Fingerprint, match
from noisescope_core.spark.session import one_task
from noisescope_core.whitening import PLANES, compared

Size = tuple[int, int]


def matcher(
    by_size: dict[Size, list[Any]], side: int
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Make the function that scores batches of images, from the fingerprints' rows by size.

    `side` is that of the centre that is compared.
    """
    fingerprints = {
        size: [_fingerprint(row, side) for row in rows] for size, rows in by_size.items()
    }

    def match_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with one_task():
            for batch in batches:
                rows = []
                columns = [
                    batch.column(name) for name in ("image_id", "width", "height", "residual")
                ]
                for image_id, width, height, cell in zip(*columns, strict=True):
                    known = fingerprints[width.as_py(), height.as_py()]
                    feature: NDArray[np.float16] = np.frombuffer(cell.as_buffer(), np.float16)
                    bins = compared(height.as_py(), width.as_py(), side)
                    rows.append(match(feature, image_id.as_py(), known, bins))
                kept = batch.select(["role", "path", "image_id", "width", "height"])
                for name, values in zip(
                    ("score", "threshold", "confidence", "fingerprint_id"),
                    zip(*rows, strict=True),
                    strict=True,
                ):
                    kept = kept.append_column(name, pa.array(values))
                yield kept

    return match_batches


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
