"""`noisescope detect` over images of 1, 50 and 500 small sizes: seconds, and what Spark did.

Images are smooth pictures with noise. In every 25th size a dozen share a generator's pattern of
that size. The reference is photographs that are larger than all of them.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.processes import watched
from noisescope_core.images import Size
from noisescope_core.tables.results import open_results

Row = dict[str, Any]

REFERENCE, REFERENCE_SIZE = 100, (160, 160)
"""Reference photographs, and their size."""

EVERY, MEMBERS = 25, 12
"""Every so many sizes has a generator, which made so many of its images."""

STRENGTH = 2.0
"""Of a generator's pattern, grey levels."""

NOTE = (
    "Sizes of 72 x 72 to 131 x 120, 100 reference photographs of 160 x 160; two cores, one run "
    "each. `generators found`: sizes with a fingerprint mostly of the generator's images, of "
    "those that have one. A size of fewer than 20 images is looked at through lattices alone."
)


def measure(folder: Path, piles: Sequence[tuple[int, int]]) -> Iterator[Row]:
    """Yield a row for every pile, given by numbers of sizes and of images of each."""
    reference = folder / "many-sizes-reference"
    write(reference, [REFERENCE_SIZE], REFERENCE, "reference")
    for sizes, of_each in piles:
        images = folder / f"many-sizes-{sizes}-{of_each}"
        write(images, drawn_sizes(sizes), of_each, "image")
        with tempfile.TemporaryDirectory() as kept:
            out, events = Path(kept, "out"), Path(kept, "events")
            events.mkdir()
            run = watched(
                ["-m", "noisescope_core.cli", "detect", "--images", str(images),
                 "--reference", str(reference), "--out", str(out),
                 "--set", "spark.conf.spark.eventLog.enabled=true",
                 "--set", "spark.conf.spark.eventLog.compress=false",
                 "--set", f"spark.conf.spark.eventLog.dir=file://{events}"]
            )  # fmt: skip
            found = {
                (row["width"], row["height"])
                for row in open_results(str(out)).table("fingerprints").to_pylist()
                if row["flagged"] and row["images"] >= MEMBERS / 2
            }
            seconds = {stage.name: stage.seconds for stage in run.stages}
            yield {
                "sizes": sizes,
                "images": sizes * of_each,
                **_work(events),
                "detect, s": run.seconds,
                **{f"{name}, s": seconds[name] for name in ("reference", "correlate", "cluster")},
                "generators found": f"{len(found)} of {-(-sizes // EVERY)}",
            }


def drawn_sizes(count: int) -> list[Size]:
    """List different sizes, (width, height), pixels; the first ones of a longer list."""
    return [(72 + number % 60, 72 + 6 * (number // 60)) for number in range(count)]


def write(folder: Path, sizes: Sequence[Size], of_each: int, role: str) -> None:
    """Write images of some sizes into a folder, unless they are there."""
    if folder.exists() and len(os.listdir(folder)) == len(sizes) * of_each:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for number, (width, height) in enumerate(sizes):
        rng = np.random.default_rng([number, of_each, role == "image"])
        pattern = STRENGTH * rng.standard_normal((height, width, 3), np.float32)
        for k in range(of_each):
            pixels = _photograph(rng, width, height)
            if role == "image" and number % EVERY == 0 and k < MEMBERS:
                pixels += pattern
            rounded = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(85, 96))]
            cv2.imwrite(str(folder / f"{width}x{height}-{k:04}.jpg"), rounded, quality)


def _photograph(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float32]:
    smooth = rng.uniform(40, 215, (8, 8, 3)).astype(np.float32)
    pixels = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = 3 * rng.standard_normal((height, width, 3), np.float32)
    return np.asarray(pixels + noise, np.float32)


def _work(events: Path) -> Row:
    """Count jobs, tasks and shuffled bytes in Spark's log of events."""
    jobs = tasks = shuffled = 0
    for file in (path for path in events.rglob("*") if path.is_file()):
        for line in file.read_text(encoding="utf-8").splitlines():
            jobs += '"Event":"SparkListenerJobStart"' in line
            if '"Event":"SparkListenerTaskEnd"' in line:
                tasks += 1
                written = json.loads(line).get("Task Metrics", {}).get("Shuffle Write Metrics", {})
                shuffled += written.get("Shuffle Bytes Written", 0)
    return {"Spark jobs": jobs, "tasks": tasks, "shuffled, MB": shuffled / 1e6}
