"""Progress of a run: a live line per stage on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import uuid4

from pyspark.sql import SparkSession
from rich.console import Console
from rich.progress import (
    BarColumn,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from noisescope_core.metrics import event

QUIET_SECONDS = 10.0


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        if not task.speed:
            return Text("")
        return Text(f"{task.speed:,.0f} {task.fields['unit']}/s", style="progress.data.speed")


class Stage:
    """One stage while it runs."""

    def __init__(self, console: Console, name: str, total: int | None, unit: str) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.what = ""
        self._console = console
        self._started = self._said = time.monotonic()
        self._bars: Bars | None = None
        if console.is_terminal:
            self._bars = Bars(
                TextColumn("[bold]{task.description:<10}"),
                BarColumn(24),
                TaskProgressColumn(),
                _Rate(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=console,
                transient=True,
            )
            self._bars.start()
            self._task = self._bars.add_task(name, total=total, unit=unit, note="")

    @property
    def seconds(self) -> float:
        """Seconds since the stage began."""
        return time.monotonic() - self._started

    def done(self, what: str) -> None:
        """Set what the stage's last line says was done."""
        self.what = what

    def note(self, what: str) -> None:
        """Say what the stage is about to do."""
        if self._bars:
            self._bars.update(self._task, note=what)
        else:
            self._line(f"{self.name}: {what}")

    def advance_to(self, share: float) -> None:
        """Show that a share, 0..1, of the stage's work is done."""
        if self.total is None:
            return
        done = int(share * self.total)
        if self._bars:
            self._bars.update(self._task, completed=done)
        elif done and time.monotonic() - self._said > QUIET_SECONDS:
            left = self.seconds * (1 - share) / share
            self._line(
                f"{self.name}: {done:,} of {self.total:,} {self.unit}, "
                f"{done / self.seconds:,.0f} {self.unit}/s, about {left:,.0f} s left"
            )

    def close(self) -> None:
        """Leave one line that says what was done, at what rate."""
        if self._bars:
            self._bars.stop()
        rate = f", {self.total / self.seconds:,.0f} {self.unit}/s" if self.total else ""
        self._line(f"{self.name:<10} {self.seconds:6.1f} s  {self.what}{rate}")

    def _line(self, text: str) -> None:
        self._said = time.monotonic()
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class Progress:
    """The stages of a run, what they did and how long they took."""

    def __init__(
        self, spark: SparkSession, console: Console | None = None, events: str | None = None
    ) -> None:
        self.run_id = uuid4().hex[:12]
        self.stages: list[dict[str, str | float]] = []
        self._events = events
        self._spark = spark
        self._console = console or Console(stderr=True)

    @contextmanager
    def stage(self, name: str, total: int | None = None, unit: str = "") -> Iterator[Stage]:
        """Run one stage under a live line.

        Parameters
        ----------
        name : str
        total : int or None
            How many things there are to do; None shows the time alone.
        unit : str
            What they are.
        """
        stage = Stage(self._console, name, total, unit)
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(stage, done), daemon=True)
        watcher.start()
        try:
            yield stage
        finally:
            done.set()
            watcher.join()
            stage.close()
        told: dict[str, str | float] = {
            "stage": name, "seconds": round(stage.seconds, 2), "what": stage.what
        }  # fmt: skip
        self.stages.append(told)
        event(self._events, self.run_id, event="stage", **told)

    def kept(self, name: str, written: datetime) -> None:
        """Leave the line of a stage that an unfinished run had finished before it died."""
        what = f"kept from the unfinished run, {written:%Y-%m-%d %H:%M} UTC"
        self._console.print(f"{name:<20} {what}", markup=False, highlight=False, soft_wrap=True)
        self.stages.append({"stage": name, "seconds": 0.0, "what": what})

    def _watch(self, stage: Stage, done: threading.Event) -> None:
        try:
            tracker = self._spark.sparkContext.statusTracker()
        except Exception:  # Spark Connect has no tracker: the line then shows the time alone.
            return
        while not done.wait(0.5):
            for number in tracker.getActiveStageIds():
                info = tracker.getStageInfo(number)
                if info and info.numTasks > 1:
                    stage.advance_to(info.numCompletedTasks / info.numTasks)
