"""Days of scans of images that hardly share a size, and of a reference too small at first."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from noisescope_core.config import Config
from noisescope_core.in_memory import detect
from noisescope_core.simulate import write_dump
from noisescope_core.spark.scans.scan import scan
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.session.progress import Progress
from noisescope_core.tables.schemas import LONG_LIVED
from tests.conftest import picture, save

FIRST = 24
"""Generated images of the first day."""

LEAST = 60
"""Reference images that a scan needs."""


class Days:
    """A folder that grows, a reference, the tables of their scans, and what was seen of them."""

    def __init__(self, spark: Any, config: Config, folder: Path) -> None:
        self.spark, self.config = spark, config
        self.images, self.reference = folder / "images", folder / "reference"
        self.store = Store(spark, str(folder / "tables"))
        self.runs: list[dict[str, Any]] = []

    def scanned(self) -> list[dict[str, Any]]:
        """Scan: the verdicts that hold then, by path."""
        places = str(self.images), str(self.reference)
        row = scan(self.store, self.config, Progress(self.spark), *places)
        self.runs.append({name: row[name] for name in row if name not in ("started", "finished")})
        return self.rows("current_verdicts")

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Rows of a table without their large cells."""
        stored = self.store.read(table)
        large = ("pixels", "whitened", "background", "residual", "sketch", "tile", "quantization")
        return [row.asDict() for row in stored.drop(*large).collect()]


def run_days(spark: Any, config: Config, folder: Path) -> dict[str, Any]:
    """Scan both piles: what was seen."""
    # Whose the lattice of so few images is, other tests ask.
    lattice = config.lattice.model_copy(update={"undetermined": "flag"})
    config = config.model_copy(update={"lattice": lattice})
    return {
        "any": _any_size(Days(spark, config, folder / "any"), folder / "dump"),
        "few": _few_photographs(Days(spark, config, folder / "few")),
    }


def _any_size(days: Days, dump: Path) -> dict[str, Any]:
    """Scan a pile of all sizes, then some more of it, then nothing new."""
    write_dump(dump, photographs=40, generated=FIRST + 8, generators=1, cameras=2, reference=LEAST,
               size="any", seed=0, broken=False)  # fmt: skip
    # A reference without JPEG's traces of its own is made like the images that wait.
    days.reference.mkdir(parents=True)
    for file in (dump / "reference").iterdir():
        save(days.reference / f"{file.stem}.png", cv2.imread(str(file))[:, :, ::-1])
    with (dump / "labels.csv").open() as lines:
        labels = list(csv.DictReader(lines))
    named = {
        label: [Path(row["path"]).name for row in labels if row["label"] == label]
        for label in ("fake", "real")
    }

    def deliver(names: Sequence[str]) -> None:
        days.images.mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.move(dump / "images" / name, days.images / name)

    deliver(named["fake"][:FIRST] + named["real"][:30])
    save(days.images / "small.png", picture(np.random.default_rng(0), (40, 200)))
    first = days.scanned()
    contents = [
        {str(file): file.read_bytes() for file in place.iterdir()}
        for place in (days.images, days.reference)
    ]
    judged = detect(*contents, days.config)
    deliver(named["fake"][FIRST:] + named["real"][30:])
    second = days.scanned()
    before = {table: days.rows(table) for table in LONG_LIVED}
    days.scanned()
    after = {table: days.rows(table) for table in LONG_LIVED}
    return {
        "fake": named["fake"], "first": first, "second": second, "runs": days.runs,
        "in memory": [vars(verdict) for verdict in judged.verdicts],
        "found in memory": [row.fingerprint_id for row in judged.fingerprints if row.flagged],
        "fingerprints": after["fingerprints"],
        "changed": [
            table for table in LONG_LIVED
            if sorted(map(repr, before[table])) != sorted(map(repr, after[table]))
        ],
    }  # fmt: skip


def _few_photographs(days: Days) -> dict[str, Any]:
    """Scan images while the reference is too small, then once it is not."""
    rng = np.random.default_rng(1)
    for folder in (days.images, days.reference):
        folder.mkdir(parents=True)

    def draw(folder: Path, first: int, count: int) -> None:
        for number in range(first, first + count):
            save(folder / f"{number}.png", picture(rng, (64 + number, 96)))

    draw(days.images, 0, 4)
    draw(days.reference, 0, LEAST - 1)
    first = days.scanned()
    draw(days.images, 4, 1)
    draw(days.reference, LEAST - 1, 1)
    second = days.scanned()
    return {"first": first, "second": second, "runs": days.runs, "sizes": days.rows("sizes")}
