"""The line of one stage: live on a terminal with rate and time left, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from noisescope_core.errors import UsageError

QUIET_SECONDS = 10.0
"""Between two plain lines that say how far a stage is."""


class Stage:
    """One stage while it runs; leaving it leaves one line that says what was done."""

    def __init__(self, console: Console, name: str, total: int | None = None, unit: str = ""):
        self.name, self.total, self.unit = name, total, unit
        self.what = ""
        self._console = console
        self._started = self._said = self._began = self._looked = time.monotonic()
        self._share = self._running = self._reached = 0.0
        self._note, self._counted = "", False
        self._bars: Bars | None = None
        if console.is_interactive and not console.quiet:
            self._bars = Bars(
                TextColumn("[bold]{task.description:<10}"),
                BarColumn(16),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                _Told(self),
                console=console,
                transient=True,
            )
            self._bars.start()
            self._task = self._bars.add_task(name, total=total)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars:
            self._bars.stop()
        rate = f", {self._rate(self.total / self.seconds)}" if self.total else ""
        done = "failed" if error else f"{self.what}{rate}"
        # A mistake is told in one line, by itself.
        if not isinstance(error, UsageError):
            self._line(f"{self.name:<10} {self.seconds:6.1f} s  {done}")

    @property
    def seconds(self) -> float:
        """Seconds since the stage began."""
        return time.monotonic() - self._started

    def done(self, what: str) -> None:
        """Set what the stage's last line says was done."""
        self.what = what

    def note(self, what: str) -> None:
        """Say what the stage is about to do."""
        self._note = what
        if not self._bars:
            self._line(f"{self.name}: {what}")

    def part(self, number: int, count: int) -> None:
        """Show that so many of some parts are done, which may take unequally long."""
        if self._bars and count > 1:
            self._bars.update(self._task, completed=number, total=count)

    def finish(self, what: str) -> None:
        """Say what is left to do when all is done that `total` counts."""
        self.advance_to(1)
        self._counted = True
        self.note(what)

    def advance_to(self, share: float, running: float = 0.0) -> None:
        """Show that a share of the stage's work is done.

        Parameters
        ----------
        share : 0..1; less than before starts the clock of rate and time left again
        running : share that is being worked on, taken to be half done
        """
        if self.total is None or self._counted:
            return
        if share < self._share:
            self._began = self._looked
        self._looked = time.monotonic()
        if (share, running) != (self._share, self._running):
            self._share, self._running, self._reached = share, running, self._looked
        done = int(share * self.total)
        if self._bars:
            self._bars.update(self._task, completed=done)
        elif done and share < 1 and time.monotonic() - self._said > QUIET_SECONDS:
            pace = f", {pace}" if (pace := self.pace()) else ""
            self._line(f"{self.name}: {done:,} of {self.total:,} {self.unit}{pace}")

    def pace(self) -> str:
        """Say rate and time left, "" while neither can be told: before as much is done as runs."""
        if not (self.total and 0 < self._share < 1 and self._share >= self._running):
            return ""
        share, seconds = self._share + self._running / 2, self._reached - self._began
        left = seconds / share - (time.monotonic() - self._began)
        if not seconds:
            return ""
        return f"{self._rate(share * self.total / seconds)}, about {_time(max(left, 0))} left"

    def told(self) -> str:
        """What the live line says beside bar and time."""
        return ", ".join(part for part in (self.pace(), self._note) if part)

    def _rate(self, rate: float) -> str:
        return f"{rate:,.{0 if rate >= 10 else 1}f} {self.unit}/s"

    def _line(self, text: str) -> None:
        self._said = time.monotonic()
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class _Told(ProgressColumn):
    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    def render(self, task: Task) -> Text:
        return Text(self._stage.told(), no_wrap=True, overflow="ellipsis")


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60:,} h {minutes % 60} min"
