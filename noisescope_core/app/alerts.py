"""When a scan asks for a person: shares of files, drift of scores, new fingerprints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from noisescope_core.config import Alerts

COMPARED = 10
"""Earlier scans that the middle score is held against, at most."""

FEWEST = 3
"""With fewer earlier scans by the same registry, nothing is said of drift."""


def alerts(
    run: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]], thresholds: Alerts
) -> list[str]:
    """Say in a line each what exceeds a threshold.

    Parameters
    ----------
    run : row of `runs` of this scan, but for `alerts`
    earlier : rows of scans before
    """
    told = []
    shares = (
        ("flagged", run["fake"], run["scored"], "scored files carry a generator's fingerprint"),
        ("quarantined", run["quarantined"], run["files"], "files were set aside"),
    )
    for name, count, total, text in shares:
        most = getattr(thresholds, name)
        if most is not None and total and count / total > most:
            told.append(
                f"{count:,} of {total:,} {text}: {count / total:.1%}, alerts.{name} {most:.1%}"
            )
    if thresholds.found and run["found"]:
        told.append(
            f"new fingerprints: {run['found']}; look at them with `noisescope registry list`"
        )
    # Another registry has other best scores.
    same = sorted(
        (
            (one["scan"], one["real_score"]) for one in earlier
            if one["real_score"] is not None
            and one["registry_version"] == run["registry_version"]
        ),
    )[-COMPARED:]  # fmt: skip
    if thresholds.drift is not None and run["real_score"] is not None and len(same) >= FEWEST:
        shift = run["real_score"] - median(score for _, score in same)
        if abs(shift) > thresholds.drift:
            told.append(
                f"the middle score of images not flagged has moved by {shift:+.2f} spreads of the "
                f"reference, alerts.drift {thresholds.drift:.2f}: are these still images like the "
                "reference?"
            )
    return told
