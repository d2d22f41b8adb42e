"""When a scan asks for a person: shares of files, drift of scores, new fingerprints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from noisescope_core.config import Alerts

COMPARED = 10
"""Earlier scans, at most, with whose scores the present scan's are compared: chosen. More would
compare with what uploads were long ago, fewer would let a single day decide."""

LOOKED_AT = 1000
"""Earlier scans that are looked at for these, at most: chosen, years of scans by day."""

FEWEST = 3
"""Earlier scans by the same registry that a comparison needs: chosen, so that one unusual scan is
not the median by itself."""


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
    ):
        limit = getattr(thresholds, name)
        if limit is not None and total and count / total > limit:
            sentences.append(
                f"{count:,} of {total:,} {text}: {count / total:.1%}, alerts.{name} {limit:.1%}"
            )
    return sentences


def _drift(
    run: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]], limit: float | None
) -> list[str]:
    """Compare the middle score of images not flagged with that of the latest scans.

    Scans with another version of the registry are left out: against other fingerprints images have
    other best scores.
    """
    comparable = [
        row
        for row in sorted(earlier, key=lambda row: row["scan"])
        if row["real_score"] is not None and row["registry_version"] == run["registry_version"]
    ][-COMPARED:]
    if limit is None or run["real_score"] is None or len(comparable) < FEWEST:
        return []
    shift = run["real_score"] - median(row["real_score"] for row in comparable)
    if abs(shift) <= limit:
        return []
    return [
        f"the middle score of images not flagged has moved by {shift:+.2f} spreads of the "
        f"reference, alerts.drift {limit:.2f}: are these still images like the reference?"
    ]
