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
from noisescope_core.whitening import PLANES, layout

Size = tuple[int, int]


def matcher(
    by_size: dict[Size, list[Any]],
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Make the function that scores batches of images, from the fingerprints' rows by size."""
    fingerprints = {size: [_fingerprint(row) for row in rows] for size, rows in by_size.items()}

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
                    bins = layout(height.as_py(), width.as_py())
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


def _fingerprint(row: Any) -> Fingerprint:
    bins = layout(row.height, row.width)
    return Fingerprint(
        row.fingerprint_id,
        np.frombuffer(row.whitened, np.float32).reshape(len(PLANES), bins.values),
        frozenset(row.members),
        np.array(row.weights),
        np.array(row.centres),
        Bar(row.reference_centre, row.reference_spread, row.threshold, row.member_mean,
            row.member_spread, row.prior),
    )  # fmt: skip
