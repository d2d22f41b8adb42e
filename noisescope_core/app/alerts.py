"""When a scan asks for a person: shares of files, drift of scores, new fingerprints.

A threshold is what is normal. A small scan exceeds it by chance: it asks only if that is unlikely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import pi, sqrt
from statistics import mean, median
from typing import Any

from scipy.special import bdtrc, ndtri

from noisescope_core.config import Alerts

COMPARED = 10
"""Earlier scans, at most, with whose scores the present scan's are compared: chosen. More would
compare with what uploads were long ago, fewer would let a single day decide."""

LOOKED_AT = 1000
"""Earlier scans that are looked at for these, at most: chosen, years of scans by day."""

FEWEST = 3
"""Earlier scans by the same registry that a comparison needs: chosen, so that one unusual scan is
not the median by itself."""


CHANCE = 0.001
"""Probability of an alert in a scan that is just at a threshold; chosen: of a scan a day one in
three years."""


def alerts(
    run: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]], thresholds: Alerts
) -> list[str]:
    """Say in a sentence each which thresholds a scan exceeds.

    Parameters
    ----------
    run : row of `runs` of this scan, but for `alerts`
    earlier : rows of earlier scans, in any order
    thresholds : None where nothing is to be watched
    """
    sentences = _exceeded_shares(run, thresholds)
    if thresholds.found and run["found"]:
        sentences.append(
            f"new fingerprints: {run['found']}; look at them with `noisescope registry list`"
        )
    return sentences + _drift(run, earlier, thresholds.drift)


def _exceeded_shares(run: Mapping[str, Any], thresholds: Alerts) -> list[str]:
    """Compare the shares of flagged and of quarantined files, 0..1, with their thresholds."""
    sentences = []
    for name, count, total, text in (
        ("flagged", run["fake"], run["scored"], "scored files carry a generator's fingerprint"),
        ("quarantined", run["quarantined"], run["files"], "files were set aside"),
        ("unreadable", run["unreadable"], run["files"], "files could not be read"),
    ):
        limit = getattr(thresholds, name)
        if limit is not None and _exceeds(count, total, limit):
            sentences.append(
                f"{count:,} of {total:,} {text}: {count / total:.1%}, alerts.{name} {limit:.1%}"
            )
    return sentences


def _exceeds(count: int, total: int, limit: float) -> bool:
    """Whether so many of so few are unlikely if the share is what the limit says."""
    return count > limit * total and bool(bdtrc(count - 1, total, limit) < CHANCE)


def _drift(
    run: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]], limit: float | None
) -> list[str]:
    """Compare the middle score of images not flagged with that of the latest scans.

    Scans with another version of the registry are left out: against other fingerprints images have
    other best scores. How far the middle of a few images strays is taken off: scores have a spread
    of 1 at most, their middle one of sqrt(pi / 2) by the root of their number.
    """
    comparable = [
        row
        for row in sorted(earlier, key=lambda row: row["scan"])
        if row["real_score"] is not None and row["registry_version"] == run["registry_version"]
    ][-COMPARED:]
    if limit is None or run["real_score"] is None or len(comparable) < FEWEST:
        return []
    shift = run["real_score"] - median(row["real_score"] for row in comparable)
    of_earlier = pi / 2 * mean(map(_variance, comparable)) / len(comparable)
    by_chance = -ndtri(CHANCE / 2) * sqrt(_variance(run) + of_earlier)
    if abs(shift) <= limit + by_chance:
        return []
    return [
        f"the middle score of images not flagged has moved by {shift:+.2f} spreads of the "
        f"reference, alerts.drift {limit:.2f}: are these still images like the reference?"
    ]


def _variance(run: Mapping[str, Any]) -> float:
    """Variance of the middle score of a scan's images that are not flagged, in spreads squared."""
    return pi / 2 / float(run["scored"] - run["fake"])
