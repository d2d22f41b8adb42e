"""How cost grows with the pile: the scan in one pass, discovery at linear cost, exact pairs.

Each curve is fitted by cost = a n^b; b is the exponent. The scan is also held against the same
functions under Python's own processes, so that what Spark adds is a number.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
from scipy import fft

from benchmarks.correlation import THRESHOLD, pile
from benchmarks.piles import Pile, write_pile
from benchmarks.pipeline import detect, set_options
from benchmarks.processes import watched
from noisescope_core.correlation.pairs import above_threshold
from noisescope_core.correlation.spectra import spectra
from noisescope_core.spark.session.start import AT_START

Row = dict[str, Any]
JOBS = Path(__file__).parents[1] / "jobs"


def exponent(rows: Sequence[Row], count: str, seconds: str) -> str:
    """Say the slope of the line through the logarithms of two columns."""
    x, y = (np.log([float(row[name]) for row in rows]) for name in (count, seconds))
    return f"Exponent of {seconds!r}: {np.polyfit(x, y, 1)[0]:.2f}."


def up_to(largest: int) -> list[int]:
    """Sizes of piles, the largest last."""
    return [count for count in (1000, 2500, 10_000, 25_000) if count < largest] + [largest]


def scan(data: Path, counts: Sequence[int], method: str) -> list[Row]:
    """Scan piles of several sizes for four fingerprints in place, by Spark and by processes."""
    known = _known(data, method)
    settings = [f"method={method}", "detection.alignments=own"]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as out:
        for count in counts:
            images = _first(data, count)
            run = watched(
                [str(JOBS / "known.py"), "--images", str(images), "--fingerprints", str(known),
                 "--out", f"{out}/{count}", *set_options(settings)]
            )  # fmt: skip
            (seconds,) = (stage.seconds for stage in run.stages if stage.name == "scan")
            start = time.perf_counter()
            flagged = _by_processes(images, known, settings, Path(out) / f"{count}.parquet")
            alone = time.perf_counter() - start
            verdicts = ds.dataset(f"{out}/{count}/verdicts").to_table().to_pylist()
            same = sum(verdict["is_fake"] for verdict in verdicts) == flagged
            cores = os.cpu_count() or 1
            rows.append(
                {
                    "method": method, "images": count, "Spark, s": run.seconds, "scan, s": seconds,
                    "images/s and core": count / seconds / cores, "processes, s": alone,
                    "their images/s and core": count / alone / cores,
                    "Spark over processes": seconds / alone,
                    "same answers": "yes" if same else "NO",
                    **{f"{part}, MiB": size for part, size in run.peaks["scan"].items()},
                }
            )  # fmt: skip
    return rows


def discovery(data: Path, counts: Sequence[int], route: str) -> list[Row]:
    """Find three generators that made 1 % each, in piles of several sizes."""
    rows: list[Row] = []
    for count in counts:
        images = _first(data, count)
        with tempfile.TemporaryDirectory() as out:
            run = detect(
                images, data / "pile" / "reference", out, f"discovery.route={route}",
                "detection.alignments=own",
            )  # fmt: skip
            verdicts = ds.dataset(f"{out}/verdicts").to_table().to_pylist()
        makers = [row["path"].rsplit("_", 1)[1].removesuffix(".jpg") for row in verdicts]
        flagged = [row["fingerprint_id"] for row in verdicts]
        by_maker = {
            maker: [name for of, name in zip(makers, flagged, strict=True) if of == maker]
            for maker in sorted(set(makers))
        }
        photographs = by_maker.pop("p")
        stages = {stage.name: stage.seconds for stage in run.stages}
        rows.append(
            {
                "route": route, "images": count, "all, s": run.seconds,
                **{f"{name}, s": seconds for name, seconds in stages.items()},
                "fingerprints": len({name for name in flagged if name}),
                "found": ", ".join(
                    f"{sum(name is not None for name in names)} of {len(names)}"
                    for names in by_maker.values()
                ),
                "photographs flagged": sum(name is not None for name in photographs),
            }
        )  # fmt: skip
    return rows


def pairs(counts: Sequence[int], side: int = 256) -> list[Row]:
    """PCE of all pairs of unrelated residuals, in memory, all cores."""
    rows: list[Row] = []
    for count in counts:
        residuals = pile(count, side, 0.0)
        with fft.set_workers(os.cpu_count() or 1):
            start = time.perf_counter()
            above_threshold(spectra(residuals), None, THRESHOLD)
        rows.append({"residuals": count, "all pairs, s": time.perf_counter() - start})
    return rows


def _first(data: Path, count: int) -> Path:
    """Link the first images of the pile to a folder."""
    folder = data / f"pile-{count}"
    if not folder.exists():
        folder.mkdir(parents=True)
        for name in sorted(os.listdir(data / "pile" / "images"))[:count]:
            os.link(data / "pile" / "images" / name, folder / name)
    return folder


def _known(data: Path, method: str) -> Path:
    """Make a finished run with four fingerprints, unless it is there."""
    folder, out = data / "four", data / f"four-{method}"
    # The paper classifies clusters of more than fifty.
    pile_of_four = Pile(800, reference=800, generators=4, share=0.15, strength=1.5, seed=9)
    write_pile(folder, pile_of_four)
    if not (out / "summary.json").exists():
        shutil.rmtree(out, ignore_errors=True)
        detect(folder / "images", folder / "reference", str(out), f"method={method}")
    return out


def _by_processes(images: Path, known: Path, settings: list[str], out: Path) -> int:
    """Run the same functions on the same files under a pool: how many are flagged."""
    script = [sys.executable, "-m", "benchmarks.pool", str(images), str(known), str(out), *settings]
    # As Spark's workers have it, see spark/session.py.
    environment = os.environ | {
        key.removeprefix("spark.executorEnv."): value
        for key, value in AT_START.items()
        if key.startswith("spark.executorEnv.")
    }
    done = subprocess.run(script, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return int(done.stdout)
