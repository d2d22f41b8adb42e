"""The whole of `noisescope detect`, Spark's start included: time by stage, memory, F1."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.dataset as ds

from benchmarks.processes import Run, StageTime, watched
from noisescope_core.app.evaluation import evaluate, read_labels
from noisescope_core.simulate import write_dump

Row = dict[str, Any]

METHODS = ("whitened", "paper")
"""Values of the key `method`."""


def measure(
    data: Path, images: int = 1000, reference: int = 1000
) -> tuple[list[Row], dict[str, float]]:
    """Run `detect` with both methods on simulated images, 30 % of them generated.

    Returns
    -------
    rows : one per method and stage, with seconds and peak resident MiB
    f1 : by method
    """
    dump = data / f"{images}+{reference}"
    if not dump.exists():
        generated = 3 * images // 10
        write_dump(
            dump, photographs=images - generated, generated=generated, reference=reference,
            broken=False, seed=5,
        )  # fmt: skip
    rows: list[Row] = []
    f1 = {}
    for method in METHODS:
        with tempfile.TemporaryDirectory() as out:
            run = detect(dump / "images", dump / "reference", out, f"method={method}")
            verdicts = ds.dataset(f"{out}/verdicts").to_table().to_pylist()
        rows += [{"method": method, **row} for row in stage_rows(run)]
        f1[method] = evaluate(verdicts, read_labels(dump / "labels.csv"))["f1"]
    return rows, f1


def detect(images: Path, reference: Path, out: str, *settings: str) -> Run:
    """Run `noisescope detect` and watch it."""
    return watched(
        ["-m", "noisescope_core.cli", "detect", "--images", str(images), "--reference",
         str(reference), "--out", out, *set_options(settings)]
    )  # fmt: skip


FEW_ROWS = (
    "spark.conf.spark.sql.codegen.wholeStage=false",
    "spark.conf.spark.sql.codegen.factoryMode=NO_CODEGEN",
    "spark.conf.spark.sql.adaptive.enabled=false",
    "spark.conf.spark.sql.shuffle.partitions=2",
)
"""Settings with which Spark plans sooner what is not worth it: tables of some thousand rows."""


def set_options(settings: Iterable[str]) -> list[str]:
    """Say ``KEY=VALUE`` settings on a command line."""
    return [word for setting in settings for word in ("--set", setting)]


def stage_rows(run: Run) -> list[Row]:
    """Turn a run into a table: a row per stage, what is outside the stages, the sum.

    `waiting` is what the processors had to spare: core seconds less those that were used. The
    start's are in the first stage's figures.
    """
    cores = os.cpu_count() or 1
    staged = run.started + sum(stage.seconds for stage in run.stages)
    rows: list[Row] = [
        {"stage": "start", "seconds": run.started, "what": "Python, the JVM, Spark's session"}
    ]
    last = StageTime("report", run.seconds - staged, "summary, report, Spark's stop")
    for name, seconds, what in [*run.stages, last]:
        spent = run.processor.get(name, {})
        elapsed = seconds + (run.started if len(rows) == 1 else 0)
        rows.append(
            {"stage": name, "seconds": seconds, "what": what}
            | {f"{part}, CPU s": spent.get(part, 0.0) for part in ("driver", "JVM", "workers")}
            | {"waiting, CPU s": max(0.0, cores * elapsed - sum(spent.values()))}
            | {f"{part}, MiB": size for part, size in run.peaks.get(name, {}).items()}
        )
    return [*rows, {"stage": "all", "seconds": run.seconds, "what": ""}]


def multiply(source: Path, target: Path, copies: int) -> None:
    """Make a larger pile: every image again with fresh noise and JPEG quality.

    The copies are distinct files of the same scenes, good for measuring memory and nothing else.
    """
    target.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for file in sorted(source.iterdir()):
        pixels = np.asarray(cv2.imread(str(file)), np.int16)
        for k in range(copies):
            noisy = np.clip(pixels + rng.integers(-3, 4, pixels.shape), 0, 255).astype(np.uint8)
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(85, 96))]
            cv2.imwrite(os.path.join(target, f"{file.stem}-{k}.jpg"), noisy, quality)
