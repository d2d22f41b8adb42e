"""Many fingerprints: which are tried in full on an image, and how high their bars then are.

Up to `FEW` fingerprints are all tried in full. Of more, an image is held against all at once by a
product that says nearly what the full test says, and the full test is left to the `FEW` that it
fits best; at other alignments, to which no cheap product leads, to the `FEW` met last. A photograph
has a chance at the bar of each fingerprint, so of many the bars are as high as it takes for all
together to let through what `FEW` are promised to (docs/scheduled.md, The registry).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from noisescope_core.whitened.discovery.confidence import STUDENT_FREEDOM, Bar

FEW = 32
"""Fingerprints of one kind that are all tried in full. Chosen: more than a pile holds makers, and
at all shifts of 512 x 512 so many take a quarter of a second."""


def met_last(rows: Sequence[Any]) -> list[int]:
    """Choose the places of the `FEW` rows that images met last, then those of most images.

    Parameters
    ----------
    rows : of the table `fingerprints` of a run, or of a registry, which knows `last_scan`

    Returns
    -------
    list of int
        Ascending.
    """
    ranked = sorted(range(len(rows)), key=lambda place: _recency(rows[place]), reverse=True)
    return sorted(ranked[:FEW])


def _recency(row: Any) -> tuple[int, int, str]:
    return getattr(row, "last_scan", None) or 0, row.images, row.fingerprint_id


def raised(bars: Sequence[Bar], let_through: float) -> list[Bar]:
    """Raise bars to where all of them together let through what `FEW` would.

    Parameters
    ----------
    bars : of all fingerprints that an image is held against
    let_through : share of photographs that each lets through at most, 0..1

    Examples
    --------
    >>> bar = Bar(0.0, 1.0, 5.0, 20.0, 1.0, -3.0)
    >>> raised([bar] * 32, 0.0005)[0].threshold
    5.0
    >>> round(raised([bar] * 3200, 0.0005)[0].threshold, 1)
    9.8
    """
    if len(bars) <= FEW:
        return list(bars)
    least = float(stdtrit(STUDENT_FREEDOM, 1 - let_through * FEW / len(bars)))
    return [replace(bar, threshold=max(bar.threshold, least)) for bar in bars]


def side_by_side(bars: Sequence[Bar]) -> Bar:
    """Put bars, (n,), into one that reads n scores, one of each, at once."""
    columns = np.array([[*vars(bar).values()] for bar in bars]).T
    return Bar(*columns)


def best_fitting(bars: Bar, scores: NDArray[np.floating]) -> NDArray[np.intp]:
    """Choose the `FEW` fingerprints that an image fits best, ascending.

    Parameters
    ----------
    bars : of all, from `side_by_side`
    scores : (n,), of the image, as the bars read them
    """
    fits = bars.fit(bars.standardised(scores))
    return np.sort(np.argsort(-fits, kind="stable")[:FEW])
