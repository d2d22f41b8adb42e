"""What the report says of the whitened method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noisescope_core.method import Words
from noisescope_core.whitened.discovery.growth import FALSE_POSITIVES
from noisescope_core.whitened.discovery.patterns import GROWTH_STEPS


def false_alarms(config: Mapping[str, Any]) -> float:
    """Tell which share of photographs like the reference a threshold lets through at most.

    Parameters
    ----------
    config : mapping
        The configuration as ``summary.json`` holds it; no key of it changes the share.

    Returns
    -------
    float
        Share, 0..1.
    """
    return FALSE_POSITIVES


WORDS = Words(
    name="Whitened colour planes; the idea is that of",
    has_merging=False,
    about="at most about",
    alarms_on_top="",
    purity="{share}",
    purity_meaning=(
        " of the members carry the pattern, by estimate: the mean of their confidences, each "
        "member scored without itself, one that matches another fingerprint better counted as 0. "
        "It says that they share one pattern, not whose that is."
    ),
    terms=(
        (
            "Score",
            "How strongly an image\u2019s noise agrees with the fingerprint it matches best, "
            "itself left out of the fingerprint: the square of a correlation, in units of what "
            "the reference photographs reach by chance. Unrelated images mostly stay within a few "
            "units of 0, on either side.",
        ),
        (
            "Threshold",
            "Where an image is as likely to carry the fingerprint as not, set anew for each "
            "fingerprint, and never where more than {share} % of photographs like the reference "
            "would pass. If the photographs under test differ from the reference, in camera, "
            "compression or editing, more can pass.",
        ),
        (
            "Confidence",
            "Each verdict has one: the probability that the image carries the fingerprint, from "
            "how the scores of members and of reference photographs are spread. It takes for "
            "granted that the fingerprint is a generator\u2019s.",
        ),
    ),
    false_alarms=false_alarms,
    steps=GROWTH_STEPS,
)
"""Of the whitened method: a threshold for each fingerprint, a confidence for each verdict."""
