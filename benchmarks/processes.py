"""A `noisescope` process tree from outside: wall time, stages, peak memory of each part."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

import psutil

STAGE = re.compile(r"^(\w+) +([\d.]+) s  (.*)$")


@dataclass
class Run:
    """What one command took.

    Attributes
    ----------
    seconds : wall time
    stages : (name, seconds, what) as the command printed them
    peaks : stage to part (`driver`, `JVM`, `worker`, `workers`) to peak resident MiB
    """

    seconds: float = 0.0
    stages: list[tuple[str, float, str]] = field(default_factory=list)
    peaks: dict[str, dict[str, float]] = field(default_factory=dict)


def watched(arguments: list[str]) -> Run:
    """Run `python -m noisescope_core.cli` with arguments and watch its memory every 0.2 s.

    The peaks between two stage lines belong to the stage that the second one closes.
    """
    run, current = Run(), dict[str, float]()
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *arguments], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    done = threading.Event()

    def sample() -> None:
        while not done.wait(0.2):
            for part, size in resident(process.pid).items():
                current[part] = max(current.get(part, 0.0), size)

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    last: list[str] = []
    for line in process.stderr or ():
        last = [*last[-20:], line]
        if match := STAGE.match(line):
            run.stages.append((match[1], float(match[2]), match[3]))
            run.peaks[match[1]] = dict(current)
            current.clear()
    code = process.wait()
    done.set()
    sampler.join()
    run.peaks["report"] = dict(current)
    run.seconds = time.monotonic() - start
    if code:
        raise RuntimeError(f"exit code {code}: {''.join(last)}")
    return run


def resident(pid: int) -> dict[str, float]:
    """Resident MiB of the driver, the JVM, the largest Python worker and all workers."""
    sizes = {"driver": 0.0, "JVM": 0.0, "worker": 0.0, "workers": 0.0}
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            try:
                size, name = process.memory_info().rss / 2**20, process.name()
            except psutil.Error:
                continue
            if process.pid == pid:
                sizes["driver"] = size
            elif name == "java":
                sizes["JVM"] = max(sizes["JVM"], size)
            elif name.startswith("python"):  # Not the JVM's copy of itself between fork and exec.
                sizes["worker"] = max(sizes["worker"], size)
                sizes["workers"] += size
    except psutil.Error:
        pass
    return sizes
