"""Scans killed at random points, drivers and executors, and what their tables hold in the end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from noisescope_core.simulate import write_dump

Row = dict[str, Any]

CLOCK = {
    "runs": ["run_id", "started", "finished", "arrivals_seconds", "search_seconds",
             "tables_seconds"],
    "lease": ["until"],
}  # fmt: skip
"""Columns that differ from run to run."""

EXECUTORS = "local-cluster[2,1,1024]"
"""Master with two executors that are processes of their own: 1 core and 1,024 MiB each."""


def kills(data: Path, trials: int, seed: int = 3) -> list[Row]:
    """Kill the second of two scans, run it again, compare with one that nobody disturbed.

    Every fourth trial kills an executor instead of the driver: the scan itself must go on.
    """
    folder = data / "kills"
    lasts = _prepare(folder)
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for trial in range(trials):
        after = float(rng.uniform(0.1, 1.0)) * lasts
        rows.append({"trial": trial} | _killed(folder, f"{trial:02d}", trial % 4 == 3, after))
        print(rows[-1], flush=True)
    whole = _held(folder, ["undisturbed", *[f"{trial:02d}" for trial in range(trials)]])
    for row in rows:
        held = whole[f"{row['trial']:02d}"]
        differ = [table for table in held if held[table] != whole["undisturbed"][table]]
        row["tables that differ"] = ", ".join(differ) or "none"
    return rows


def _prepare(folder: Path) -> float:
    """Run a first scan, and a second one undisturbed: how many seconds that lasts."""
    shutil.rmtree(folder, ignore_errors=True)
    write_dump(folder / "dump", photographs=90, generated=60, reference=120, size=96, seed=3)
    files = sorted((folder / "dump/images").iterdir())
    images = folder / "images"
    images.mkdir()
    for file in files[:20]:
        shutil.copy(file, images)
    _wait(_scan(folder, "start"))
    for file in files[20:]:
        shutil.copy(file, images)
    shutil.copy(files[0], images / "again.jpg")
    (images / "empty.jpg").touch()
    started = time.monotonic()
    shutil.copytree(folder / "start", folder / "undisturbed")
    _wait(_scan(folder, "undisturbed"))
    return time.monotonic() - started


def _killed(folder: Path, name: str, executors: bool, after: float) -> Row:
    """Kill a scan, or one of its executors, after some seconds, and let it end in the end."""
    shutil.copytree(folder / "start", folder / name)
    scan = _scan(folder, name, EXECUTORS if executors else "local[2]")
    time.sleep(after)
    # A cluster of its own takes longer to start.
    victim = _executor(scan.pid) if executors else None
    if victim:
        victim.kill()
    elif not executors and scan.poll() is None:
        os.killpg(scan.pid, signal.SIGKILL)
    killed = ("executor" if victim else "none") if executors else "driver"
    reached = _last_line(folder / f"{name}.log")
    scan.wait()
    if scan.returncode != 0:
        _wait(_scan(folder, name))
    ended = "yes" if scan.returncode == 0 else "no"
    return {"killed": killed, "after, s": after, "in": reached, "ended by itself": ended}


def _scan(folder: Path, tables: str, master: str = "local[2]") -> subprocess.Popen[bytes]:
    with (folder / f"{tables}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "noisescope_core.cli", "scan", "--images",
             str(folder / "images"), "--reference", str(folder / "dump/reference"), "--tables",
             str(folder / tables), "--set", f"spark.master={master}", "--set", "scan.gather=5"],
            stdout=subprocess.DEVNULL, stderr=log, start_new_session=True,
        )  # fmt: skip


def _wait(scan: subprocess.Popen[bytes]) -> None:
    if scan.wait() != 0:
        raise RuntimeError(f"a scan ended with {scan.returncode}")


def _executor(driver: int) -> psutil.Process | None:
    """Find an executor's JVM below a driver."""
    if not psutil.pid_exists(driver):
        return None
    for process in psutil.Process(driver).children(recursive=True):
        with suppress(psutil.Error):
            if any("CoarseGrainedExecutorBackend" in part for part in process.cmdline()):
                return process
    return None


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:60] if lines else "start"


def _held(folder: Path, names: list[str]) -> dict[str, dict[str, list[str]]]:
    """Read all tables as text, but for the clock and for scans that found nothing new."""
    from noisescope_core.config import load_config
    from noisescope_core.spark.scans.store import Store
    from noisescope_core.spark.session.start import start_session
    from noisescope_core.tables.schemas import LONG_LIVED

    spark = start_session(load_config(), folder / "spark.log", delta=True)
    held: dict[str, dict[str, list[str]]] = {}
    for name in names:
        store = Store(spark, str(folder / name))
        held[name] = {}
        for table in LONG_LIVED:
            rows = store.read(table).drop(*CLOCK.get(table, []))
            if table == "runs":
                # A scan that was killed after its commit is followed by one of its own.
                rows = rows.where("files > 0")
            held[name][table] = sorted(map(str, rows.collect()))
    spark.stop()
    return held
