"""Whether the default method's confidences mean what they say, on real images."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from benchmarks.trials import Result, Row

BINS = (0, 0.01, 0.1, 0.5, 0.9, 0.99, 1)
"""Edges of the confidences; chosen: most are close to 0 or to 1."""


def reliability(results: Iterable[Result]) -> list[Row]:
    """Compare confidences with the truth, where a generator's fingerprint was accepted.

    Parameters
    ----------
    results : of trials with generated images
    """
    scored = [result for result in results if result.answer.confidence is not None]
    if not scored:
        return []
    confidence = np.concatenate([np.asarray(result.answer.confidence) for result in scored])
    generated = np.concatenate([result.drawn.generated for result in scored])
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
