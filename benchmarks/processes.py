"""A `noisescope` process tree from outside: wall time, stages, processor time and peak memory."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import psutil

STAGE = re.compile(r"^(\w+) +([\d.]+) s  (.*)$")
"""Line that closes a stage: name, seconds, what it did."""


class StageTime(NamedTuple):
    """A stage as the command printed it: its name, seconds, and what it did."""

    name: str
    seconds: float
    what: str


class Usage(NamedTuple):
    """What a process of a tree has taken so far.

    Attributes
    ----------
    part : `driver`, `JVM` or `workers`
    process : its number and when it was started, which tell it from all others
    resident : MiB
    seconds : of processors
    """

    part: str
    process: tuple[int, float]
    resident: float
    seconds: float


@dataclass
class Run:
    """What one command took.

    Attributes
    ----------
    seconds : wall time
    started : seconds before the first stage: Python, the JVM, the session
    stages : in the order of the command
    peaks : stage to part (`driver`, `JVM`, `worker`, `workers`) to peak resident MiB
    processor : stage to part (`driver`, `JVM`, `workers`) to processor seconds
    """

    seconds: float = 0.0
    started: float = 0.0
    stages: list[StageTime] = field(default_factory=list)
    peaks: dict[str, dict[str, float]] = field(default_factory=dict)
    processor: dict[str, dict[str, float]] = field(default_factory=dict)


def watched(arguments: list[str]) -> Run:
    """Run `python -m noisescope_core.cli` with arguments and watch it every 0.2 s.

    What is seen between two stage lines belongs to the stage that the second one closes; what comes
    after the last one is called `report`.
    """
    run, peaks, spent = Run(), dict[str, float](), dict[str, float]()
    seen: dict[tuple[int, float], float] = {}
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *arguments], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    done = threading.Event()

    def sample() -> None:
        while not done.wait(0.2):
            sizes: dict[str, float] = {}
            for usage in usages(process.pid):
                part = usage.part
                sizes[part] = sizes.get(part, 0.0) + usage.resident
                if part == "workers":
                    sizes["worker"] = max(sizes.get("worker", 0.0), usage.resident)
                earlier = seen.get(usage.process, 0.0)
                spent[part] = spent.get(part, 0.0) + usage.seconds - earlier
                seen[usage.process] = usage.seconds
            for part, size in sizes.items():
                peaks[part] = max(peaks.get(part, 0.0), size)

    def close(stage: str) -> None:
        run.peaks[stage], run.processor[stage] = dict(peaks), dict(spent)
        peaks.clear()
        spent.clear()

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    last: list[str] = []
    for line in process.stderr or ():
        last = [*last[-20:], line]
        if match := STAGE.match(line):
            if not run.stages:
                run.started = time.monotonic() - start - float(match[2])
            run.stages.append(StageTime(match[1], float(match[2]), match[3]))
            close(match[1])
    code = process.wait()
    done.set()
    sampler.join()
    close("report")
    run.seconds = time.monotonic() - start
    if code:
        raise RuntimeError(f"exit code {code}: {''.join(last)}")
    return run


def usages(pid: int) -> Iterator[Usage]:
    """Look at every process of a tree."""
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.Error), process.oneshot():
                name, times = process.name(), process.cpu_times()
                if process.pid == pid:
                    part = "driver"
                elif name == "java":
                    part = "JVM"
                elif name.startswith("python"):  # Not the JVM's copy of itself before exec.
                    part = "workers"
                else:
                    continue
                yield Usage(
                    part,
                    (process.pid, process.create_time()),
                    process.memory_info().rss / 2**20,
                    times.user + times.system,
                )
