"""What a report is written from, for the tests of its page and of a browser that shows it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

HOSTILE = "a\"b'c</title><script>alert(1)</script>\n\u202egpj.\udc80\x00 \u0634\u062a\u0627\u0621"

BLOCK = {"width": 96, "height": 96}

EVIDENCE = {
    "cohesion": 9.0, "repeats": [0.5, 0.7], "maker": "generator", "strength": 0.06, "colour": 0.1,
    "peak": 1.0, "grid": 0.2, "spread": 0.9, "lattice": 0.1, "uneven": 0.02, "scaled": 0.0,
    "hue": 1.0, "clear": 0.0, "watermarked": 0.0, "margin": None,
}  # fmt: skip
"""What the default method knows of a pattern, here of a strong one without colour or peak."""


def results(**changes: Any) -> dict[str, Any]:
    """Arguments of `render_report` for a run that found one generator at one size."""
    thumbnail = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    image = {"image_id": "0" * 64, "fingerprint_id": "3f2a91c0d4e5", "confidence": None,
             "shift_x": None, "shift_y": None}  # fmt: skip
    return {
        "summary": _summary() | changes,
        "fingerprints": _fingerprints(),
        "flagged": [
            image | {"path": "/data/dump/low.png", "score": 12.0, "thumbnail": None},
            image | {"path": "/data/dump/high.png", "score": 310.0, "thumbnail": thumbnail},
        ],
        "further": [image | {"path": "/data/dump/other #1.png", "score": 11.0}],
        "set_aside": [{"path": "/data/x.jpg", "status": "quarantined", "reason": "zero bytes"}],
    }


def related(name: str, depth: int = 0, **changes: Any) -> dict[str, Any]:
    """One fingerprint of a family in a summary; from the second on with what it hangs on."""
    root = dict.fromkeys(
        ["above", "score_there", "bar_there", "score_here", "bar_here", "origin", "factor"]
    )
    hung = {"above": "3f2a91c0d4e5", "score_there": 145.1, "bar_there": 20.2, "score_here": 64.4,
            "bar_here": 21.3}  # fmt: skip
    branch = {"fingerprint_id": name, "images": 41, "maker": "generator", "flagged": True,
              "depth": depth}  # fmt: skip
    return branch | root | (hung if depth else {}) | changes


def _summary() -> dict[str, Any]:
    return {
        "version": "0.1.0",
        "versions": {"NoiseScope": "0.1.0", "Python": "3.11.7", "on": "Linux"},
        "out": "/data/run",
        "method": "paper",
        "started": "2026-01-01T00:00:00Z",
        "seconds": 41.2,
        "images": "/data/dump",
        "reference": "https://example.org/photos",
        "counts": {
            "files": 333, "scored": 320, "unscored": 5, "quarantined": 8, "fake": 118, "real": 202,
            "elsewhere": 0,
        },
        "reasons": [
            {"status": "quarantined", "reason": "zero bytes", "files": 8},
            {"status": "unscored", "reason": "too few of this size", "files": 5},
        ],
        "sizes": [
            BLOCK | {"images": 320, "reference": 400, "t_merge": 11.9, "threshold": 9.9,
                     "pairs": 51040, "refined": 7000, "rounds": 9, "clusters": 3,
                     "fingerprints": 1, "other_patterns": 1}
        ],
        "stages": [{"stage": "extract", "seconds": 12.1, "what": "733 files, 41 MB"}],
        "warnings": ["The reference differs from the images."],
        "config": {
            "method": "paper",
            "detection": {"percentile": 99.5},
            "cluster": {"floor": 50, "sizes": [1, 2]},
        },
    }  # fmt: skip


def _fingerprints() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    chance = rng.normal(size=600)
    unknown = dict.fromkeys(
        ["cohesion", "repeats", "maker", "in_reference", "header", "watermark", "covered"]
    )
    return [
        BLOCK | unknown | {
                 "fingerprint_id": "3f2a91c0d4e5", "images": 72, "flagged": True,
                 "margin": -9.3, "threshold": 9.9, "purity": 0.9861, "carried": 118,
                 "elsewhere": 0,
                 "scores": {
                     "reference": (chance[:400] * abs(chance[:400]), None),
                     "others": (np.r_[chance[400:], rng.uniform(20, 300, 46), np.nan], None),
                     "members": ([30, 300], [71, 1]),
                 },
                 "growth": [{"round": 1, "groups": [30, 12], "alone": 30},
                            {"round": 2, "groups": [72], "alone": 0}],
                 "pixels": rng.normal(size=(96, 96)).astype(np.float32)},
        BLOCK | unknown | {
                 "fingerprint_id": "91aa00c1b2d3", "images": 60, "flagged": False,
                 "margin": None,
                 "pixels": np.zeros((96, 96), np.float32)},
    ]  # fmt: skip
