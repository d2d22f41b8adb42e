"""Scans killed at random points, drivers and executors, and what their tables hold in the end.

`python -m benchmarks.kills TABLES SEED` decides about fingerprints as an analyst would.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from pyspark.sql import SparkSession

from benchmarks.pipeline import FEW_ROWS, set_options
from noisescope_core.config import load_config
from noisescope_core.simulate import write_dump
from noisescope_core.spark.scans.maintenance import maintain
from noisescope_core.spark.scans.registry import decide
from noisescope_core.spark.scans.scan import scan
from noisescope_core.spark.scans.store import Store
from noisescope_core.spark.session.progress import Progress
from noisescope_core.spark.session.start import session_settings, start_session
from noisescope_core.tables.schemas import LONG_LIVED

Row = dict[str, Any]

CLOCK = {
    "runs": ["run_id", "started", "finished", "arrivals_seconds", "search_seconds",
             "tables_seconds"],
    "lease": ["until"],
    "decisions": ["decided"],
}  # fmt: skip
"""Columns that differ from run to run."""

AT_ONCE = ["scan", "other scan", "analyst", "maintain"]
"""What is at work at once."""

SETTINGS = ("scan.gather=5", *FEW_ROWS)

CONFIG = load_config(None, SETTINGS)

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
    with _session(folder) as spark:
        undisturbed = _held(Store(spark, str(folder / "undisturbed")))
        for row in rows:
            held = _held(Store(spark, str(folder / f"{row['trial']:02d}")))
            row["tables that differ"] = _differing(held, undisturbed)
    return rows


def concurrent(data: Path, trials: int, seed: int = 4) -> list[Row]:
    """Kill two scans, an analyst and `maintain` at work at once, let all end, and compare.

    Each is killed in three of four cases. What they leave is compared with what a run leaves that
    nobody disturbed, in which every scan takes in the same decisions. A row is written as a trial
    ends, and a later call goes on after the last one.
    """
    folder = data / "concurrent"
    done = folder / "trials.jsonl"
    if not done.exists():
        lasts = _prepare(folder, first=130, generated=100, generators=2)
        done.write_text(json.dumps({"a scan alone, s": lasts}) + "\n")
    alone, *rows = map(json.loads, done.read_text().splitlines())
    with _session(folder) as spark:
        for trial in range(len(rows), trials):
            tables = Store(spark, str(folder / f"{trial:02d}"))
            rows.append({"trial": trial} | _one_of(tables, [seed, trial], alone["a scan alone, s"]))
            with done.open("a") as lines:
                lines.write(json.dumps(rows[-1]) + "\n")
            print(rows[-1], flush=True)
    return rows


def _one_of(tables: Store, seed: list[int], lasts: float) -> Row:
    """Kill what is at work at once, let all end, and compare: how each ended."""
    place = Path(tables.location)
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(place.with_name("start"), place)
    ended = _at_once(place.parent, place.name, np.random.default_rng(seed), lasts)
    # What died is ended, and what came meanwhile is taken in.
    for _ in range(2):
        _scan_here(tables)
    maintain(tables, CONFIG, Progress(tables.spark), 30, None)
    return ended | _repeated(tables)


def _scan_here(tables: Store) -> None:
    folder = Path(tables.location).parent
    places = str(folder / "images"), str(folder / "dump/reference")
    scan(tables, CONFIG, Progress(tables.spark), *places)


def _repeated(tables: Store) -> Row:
    """Let every scan of a trial take in the same decisions undisturbed, and compare."""
    decisions = tables.read("decisions").orderBy("decided").collect()
    same = Store(tables.spark, f"{tables.location}-undisturbed")
    shutil.rmtree(same.location, ignore_errors=True)
    shutil.copytree(Path(tables.location).with_name("start"), same.location)
    for run in tables.read("runs").where("scan > 1").orderBy("scan").collect():
        for taken in (one for one in decisions if one.scan == run.scan):
            decide(same, [taken.fingerprint_id], taken.state, taken.note, taken.analyst)
        _scan_here(same)
    differing = _differing(_held(tables), _held(same))
    return {"decisions": len(decisions), "tables that differ": differing}


def _at_once(folder: Path, name: str, rng: np.random.Generator, lasts: float) -> Row:
    """Start all in any order, kill some while they are at work, and say how each ended."""
    seed = str(rng.integers(2**31))
    analyst = [sys.executable, "-m", "benchmarks.kills", str(folder / name), seed]
    logs = {of: folder / f"{name}-{of.replace(' ', '-')}.log" for of in AT_ONCE}
    for log in logs.values():
        log.unlink(missing_ok=True)
    begin = {
        "scan": lambda: _scan(folder, name, log=logs["scan"]),
        "other scan": lambda: _scan(folder, name, log=logs["other scan"]),
        "analyst": lambda: _start(analyst, logs["analyst"]),
        "maintain": lambda: _command(folder, name, "maintain", log=logs["maintain"]),
    }
    running: dict[str, subprocess.Popen[bytes]] = {}
    for of in rng.permutation(AT_ONCE):
        running[of] = begin[of]()
        time.sleep(float(rng.uniform(0, 0.3)) * lasts)
    # So many at once take longer than one.
    ends = {of: float(rng.uniform(0, 1.5)) * lasts for of in AT_ONCE if rng.random() < 0.75}
    started = time.monotonic()
    for of, after in sorted(ends.items(), key=lambda item: item[1]):
        with suppress(subprocess.TimeoutExpired):
            running[of].wait(max(0.0, started + after - time.monotonic()))
        if running[of].poll() is None:
            os.killpg(running[of].pid, signal.SIGKILL)
    return {of: _ending(running[of].wait(), logs[of]) for of in AT_ONCE}


def _ending(code: int, log: Path) -> str:
    if code == -signal.SIGKILL:
        return f"killed after {_last_line(log).split()[0]}"
    return {0: "ended", 1: "refused"}.get(code, f"code {code}")


def _analyse(tables: str, seed: int) -> None:
    """Decide four times about fingerprints drawn at random, with pauses between."""
    rng = np.random.default_rng(seed)
    with _session(Path(tables).parent) as spark:
        store = Store(spark, tables)
        names = sorted(row.fingerprint_id for row in store.read("fingerprints").collect())
        for number in range(4):
            state = str(rng.choice(["confirmed", "retired"]))
            decide(store, [str(rng.choice(names))], state, f"decision {number}", "analyst")
            time.sleep(float(rng.uniform(0, 5)))


def _prepare(folder: Path, first: int = 20, **contents: Any) -> float:
    """Run a first scan, and a second one undisturbed: how many seconds that lasts.

    Parameters
    ----------
    first : files of the first scan
    **contents : of the dump, where it is another than usual
    """
    shutil.rmtree(folder, ignore_errors=True)
    usual: dict[str, Any] = {
        "photographs": 90,
        "generated": 60,
        "reference": 120,
        "size": 96,
        "seed": 3,
    }
    write_dump(folder / "dump", **usual | contents)
    files = sorted((folder / "dump/images").iterdir())
    images = folder / "images"
    images.mkdir()
    for file in files[:first]:
        shutil.copy(file, images)
    _wait(_scan(folder, "start"))
    for file in files[first:]:
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
    process = _scan(folder, name, EXECUTORS if executors else "local[2]")
    time.sleep(after)
    # A cluster of its own takes longer to start.
    victim = _executor(process.pid) if executors else None
    if victim:
        victim.kill()
    elif not executors and process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    killed = ("executor" if victim else "none") if executors else "driver"
    reached = _last_line(folder / f"{name}.log")
    process.wait()
    if process.returncode != 0:
        _wait(_scan(folder, name))
    ended = "yes" if process.returncode == 0 else "no"
    return {"killed": killed, "after, s": after, "in": reached, "ended by itself": ended}


def _scan(
    folder: Path, tables: str, master: str = "local[2]", log: Path | None = None
) -> subprocess.Popen[bytes]:
    places = ("--images", str(folder / "images"), "--reference", str(folder / "dump/reference"))
    return _command(folder, tables, "scan", *places, "--set", f"spark.master={master}",
                    *set_options(SETTINGS), log=log)  # fmt: skip


def _command(
    folder: Path, tables: str, name: str, *options: str, log: Path | None = None
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "noisescope_core.cli", name, "--tables", str(folder / tables)]
    return _start([*command, *options], log or folder / f"{tables}.log")


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=file, start_new_session=True
        )


def _wait(process: subprocess.Popen[bytes]) -> None:
    if process.wait() != 0:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}")


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


@contextmanager
def _session(folder: Path) -> Iterator[SparkSession]:
    spark = start_session(CONFIG, folder / "spark.log", delta=True)
    with session_settings(spark, CONFIG):
        yield spark
    spark.stop()


def _held(store: Store) -> dict[str, list[str]]:
    """Read all tables as text, but for the clock and for scans that found nothing new."""
    held = {}
    for table in LONG_LIVED:
        rows = store.read(table).drop(*CLOCK.get(table, []))
        if table == "runs":
            # A scan that was killed after its commit is followed by one of its own.
            rows = rows.where("files > 0")
        if table == "arrivals":
            # The others `maintain` takes away.
            rows = rows.where("features > 0")
        held[table] = sorted(map(str, rows.collect()))
    return held


def _differing(held: dict[str, list[str]], undisturbed: dict[str, list[str]]) -> str:
    return ", ".join(table for table in held if held[table] != undisturbed[table]) or "none"


if __name__ == "__main__":
    _analyse(sys.argv[1], int(sys.argv[2]))
