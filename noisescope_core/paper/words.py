"""What the report says of the paper's method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noisescope_core.method import Words


def false_alarms(config: Mapping[str, Any]) -> float:
    """Tell which share of the reference photographs scores above the threshold.

    Parameters
    ----------
    config : mapping
        The configuration as ``summary.json`` holds it; ``detection.percentile`` is in 0..100.

    Returns
    -------
    float
        Share, 0..1.
    """
    return 1 - float(config["detection"]["percentile"]) / 100


WORDS = Words(
    name="Method after",
    has_merging=True,
    about="about",
    alarms_on_top="photographs that were clustered with the generator by mistake come on top.",
    purity="At most {share}",
    purity_meaning=(
        ": so many of the members score above the threshold. By this method a member is held "
        "against a fingerprint that it is part of, so photographs that were clustered by mistake "
        "can pass too, and no better estimate can be made."
    ),
    terms=(
        (
            "Score",
            "The peak-to-correlation energy (PCE) between an image\u2019s noise and the "
            "fingerprint it matches best: the squared correlation where the two lie exactly on "
            "each other, over its average where they are shifted. Unrelated noise mostly stays "
            "within a few units of 0, on either side; 100 means a correlation ten times the usual "
            "chance level.",
        ),
        (
            "Threshold",
            "The score that {share} % of the reference photographs exceed, set anew for each "
            "size. By construction, then, about {per_thousand} in 1,000 photographs like the "
            "reference are flagged by chance. If the photographs under test differ from the "
            "reference, in camera, compression or editing, it can be more; and a photograph that "
            "was clustered with the generator by mistake correlates with the fingerprint that it "
            "is part of.",
        ),
        (
            "Margin",
            "How a fingerprint\u2019s texture compares with fingerprints made from the reference "
            "photographs (local outlier factor, less its cut-off). Above 0 it is like theirs; the "
            "further below 0, the stranger.",
        ),
    ),
    false_alarms=false_alarms,
)
"""Of the paper's method: a bar from the reference's scores, and a purity that is an upper bound."""
