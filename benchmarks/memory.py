"""Peak memory of extraction and scoring as the pile grows: it must not grow with it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.pipeline import detect, multiply
from benchmarks.processes import Run, watched

Row = dict[str, Any]
JOBS = Path(__file__).parents[1] / "jobs"


def measure(data: Path, images: int = 1000, reference: int = 1000, copies: int = 10) -> list[Row]:
    """Run `detect` on a pile, then extraction and scoring on one `copies` times as large.

    The larger pile is scored against the smaller one's fingerprints: comparing all its pairs is
    quadratic and not what is measured here.
    """
    dump, many = data / f"{images}+{reference}", data / f"{images}x{copies}"
    if not many.exists():
        multiply(dump / "images", many, copies)
    folders = ["--images", str(many), "--reference", str(dump / "reference")]
    with tempfile.TemporaryDirectory() as small, tempfile.TemporaryDirectory() as large:
        rows = _rows(images, detect(dump / "images", dump / "reference", small))
        extracted = watched([str(JOBS / "extract.py"), *folders, "--out", large])
        for table in ("calibration", "fingerprints"):
            shutil.copytree(f"{small}/{table}", f"{large}/{table}")
        scored = watched([str(JOBS / "score.py"), "--out", large])
        rows += _rows(images * copies, extracted) + _rows(images * copies, scored)
    return sorted(rows, key=lambda row: (row["stage"], row["images"]))


def _rows(images: int, run: Run) -> list[Row]:
    return [
        {"stage": stage.name, "images": images, "seconds": stage.seconds}
        | {f"{part}, MiB": size for part, size in run.peaks[stage.name].items()}
        for stage in run.stages
        if stage.name in ("extract", "score")
    ]
