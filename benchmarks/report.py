"""The report of a large run: its size, and how long a browser takes to show and filter it."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from playwright.sync_api import Browser

from benchmarks.browser import browser
from noisescope_core.config import Config, load_config
from noisescope_core.images.decode import thumbnail
from noisescope_core.report import render_report
from noisescope_core.simulate import build_camera, photograph

Row = dict[str, Any]

NOTE = (
    "`render_report` with what a run hands over, processor time; in the second row all that "
    "`report` allows. Time to first paint in a new page from disk; a click is timed from the event "
    "to the second frame after it. Medians of 7."
)

VERDICTS = 100_000
"""Images of the run; chosen: a large one."""

GENERATORS = 30
"""Of that run."""

LARGEST = ("report.thumbnails=1000", "report.listed=2000", "report.set_aside=10000",
           "report.fingerprints=20")  # fmt: skip
"""Settings: all that `report` allows."""

CLICK = """async ([id, value]) => {
  const control = document.getElementById(id);
  const clock = performance.now();
  control.value = value;
  control.dispatchEvent(new Event(id === "words" ? "input" : "change"));
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now() - clock;
}"""


def measure(rounds: int = 7) -> list[Row]:
    """Measure the report of a run of `VERDICTS` images, with the default bounds and the largest."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, browser() as started:
        for name, settings in (("default", ()), ("largest", LARGEST)):
            config = load_config(None, settings)
            run = results(config)
            clock = time.process_time()
            html = render_report(**run)
            rendered = time.process_time() - clock
            file = Path(folder, "report.html")
            file.write_text(html, encoding="utf-8")
            visits = [_visited(started, file, run) for _ in range(rounds)]
            rows.append(
                {
                    "verdicts": VERDICTS,
                    "bounds": name,
                    "fingerprints": config.report.fingerprints,
                    "pictures": config.report.thumbnails,
                    "listed": config.report.listed,
                    "size, MB": len(html.encode()) / 1e6,
                    "render, s": rendered,
                    **{
                        f"{what}, ms": median(visit[what] for visit in visits) for what in visits[0]
                    },
                }
            )
    return rows


def _visited(started: Browser, file: Path, run: Row) -> dict[str, float]:
    """Open the page anew and click: what was done to milliseconds."""
    page = started.new_page()
    page.goto(file.as_uri())
    (paint,) = page.evaluate(
        "performance.getEntriesByName('first-contentful-paint').map(e => e.startTime)"
    )
    clicks = {
        "filter": ["print", run["flagged"][0]["fingerprint_id"]],
        "search": ["words", "7"],
        "sort": ["order", "lowest"],
    }
    taken = {what: float(page.evaluate(CLICK, control)) for what, control in clicks.items()}
    page.close()
    return {"first paint": float(paint), **taken}


def results(config: Config) -> Row:
    """Arguments of `render_report` for a run with 30 generators at 1024 x 1024 and 40 others."""
    rng = np.random.default_rng(0)
    names = [f"{k:012x}" for k in range(GENERATORS)]
    images = _flagged(rng, names, config)
    aside = VERDICTS // 100
    return {
        "summary": _summary(config, aside),
        "fingerprints": _fingerprints(rng, names, config),
        "flagged": images[: config.report.thumbnails],
        "further": images[config.report.thumbnails :],
        "set_aside": [
            {"path": f"/mnt/uploads/broken_{k}.jpg", "status": "quarantined",
             "reason": "empty file"}
            for k in range(min(config.report.set_aside, aside))
        ],
    }  # fmt: skip


def _flagged(rng: np.random.Generator, names: list[str], config: Config) -> list[Row]:
    camera = build_camera(rng, 256, 256)
    pictures = [thumbnail(photograph(camera, rng, 256, 256)) for _ in range(16)]
    return [
        {
            "path": f"/mnt/uploads/2026/11/{k % 30:02d}/customer-{k % 977}/image_{k:08d}.jpg",
            "image_id": f"{k:064x}", "score": float(rng.uniform(40, 900)),
            "confidence": float(rng.uniform(0.5, 1)), "fingerprint_id": names[k % len(names)],
            "shift_x": None, "shift_y": None, "thumbnail": pictures[k % len(pictures)],
        }
        for k in range(config.report.thumbnails + config.report.listed)
    ]  # fmt: skip


def _fingerprints(rng: np.random.Generator, names: list[str], config: Config) -> list[Row]:
    generators = [
        {
            "fingerprint_id": name, "width": 1024, "height": 1024, "images": 60, "flagged": True,
            "margin": None, "cohesion": 30.0, "repeats": [0.7, 0.8, 0.6], "maker": "generator",
            "strength": 0.03, "colour": 0.9, "peak": 2.1, "grid": 0.3, "spread": 0.9,
            "lattice": 0.1, "uneven": 0.01, "hue": 0.1, "clear": 0.2, "in_reference": 0.002,
            "header": "JPEG 4:2:0 85", "same_header": 0.4, "watermark": None, "watermarked": 0.0,
            "covered": None,
            "threshold": 12.0, "purity": 0.98, "carried": VERDICTS // 3 // GENERATORS,
            "elsewhere": 3, "growth": [],
            "scores": {"reference": _scores(rng, 0, 1000),
                       "others": _scores(rng, 0, VERDICTS // GENERATORS),
                       "members": _scores(rng, 20, 60)},
            "pixels": rng.normal(size=(1024, 1024)).astype(np.float32)
            if number < config.report.fingerprints else None,
        }
        for number, name in enumerate(names)
    ]  # fmt: skip
    devices = [
        generator | {"fingerprint_id": f"{1000 + k:012x}", "flagged": False, "maker": "device"}
        for k, generator in enumerate([*generators, *generators[:10]])
    ]
    return [*generators, *devices]


def _scores(rng: np.random.Generator, mean: float, count: int) -> tuple[Any, Any]:
    """Draw scores and how many images have each, in as many buckets as a run has."""
    roots, images = np.unique(np.round(rng.normal(mean, 2, count), 2), return_counts=True)
    return np.sign(roots) * roots**2, images


def _summary(config: Config, aside: int) -> Row:
    fake = VERDICTS // 3
    counts = {"files": VERDICTS + aside, "scored": VERDICTS, "unscored": 0, "quarantined": aside,
              "fake": fake, "real": VERDICTS - fake, "elsewhere": 90}  # fmt: skip
    return {
        "version": "0", "versions": {"Python": "3"}, "method": "whitened",
        "started": "2026-01-01T00:00:00Z", "seconds": 4000.0, "images": "/mnt/uploads",
        "reference": "/mnt/photographs", "out": "/mnt/run", "counts": counts,
        "reasons": [{"status": "quarantined", "reason": "empty file", "files": aside}],
        "sizes": [{"width": 1024, "height": 1024, "images": VERDICTS, "reference": 1000,
                   "t_merge": None, "threshold": 12.0, "pairs": 2_000_000, "refined": 0,
                   "rounds": 0, "clusters": 0, "fingerprints": GENERATORS, "other_patterns": 40}],
        "stages": [{"stage": "extract", "seconds": 3000.0, "what": "101,000 files"}],
        "warnings": [], "config": config.model_dump(),
    }  # fmt: skip
