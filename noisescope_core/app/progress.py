"""The line of one stage: live on a terminal with rate and time left, plain lines elsewhere.

The lines also go to the logger `noisescope.progress` at the level INFO.
"""

from __future__ import annotations

import logging
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

LOG = logging.getLogger("noisescope.progress")

QUIET_SECONDS = 10.0
"""Least seconds between two plain lines that say how far a stage is: chosen, so that the log of an
hour's stage stays below 400 lines."""

BAR_CELLS = 16
"""Width of the live bar in characters: chosen, to leave room for rate, time left and note."""

WHOLE_RATE = 10
"""Things per second from which a rate is shown without decimals: two digits say enough."""

SECONDS_SHOWN = 120
"""Below so many seconds a time is shown in seconds: chosen, as are the minutes below."""

MINUTES_SHOWN = 120
"""Below so many minutes a time is shown in minutes, from there on in hours and minutes."""


def show_line(console: Console | None, line: str) -> None:
    """Log a line of progress, and print it on the console if there is one."""
    LOG.info("%s", line)
    if console is not None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


class Stage:
    """One stage while it runs; leaving it leaves one line that says what was done.

    Parameters
    ----------
    console : shows the stage: with a live line if it is a terminal; None: the logger alone is told
    name : of the stage
    total : how many things there are to do; None shows neither rate nor time left
    unit : what the things are, `images` for instance
    """

    def __init__(
        self, console: Console | None, name: str, total: int | None = None, unit: str = ""
    ) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.what = ""
        self._console = console
        # Times of the monotonic clock: of the start, of the last line, of the start of what the
        # rate counts, of the last call, and of the last call that brought something new.
        now = time.monotonic()
        self._started = self._printed = self._rate_began = self._called = self._changed = now
        self._done = self._running = 0.0
        self._note, self._all_counted = "", False
        self._bars: Bars | None = None
        LOG.info("%s: started%s", name, f", {total:,} {unit}" if total is not None else "")
        if console is not None and console.is_interactive and not console.quiet:
            self._bars = Bars(
                TextColumn("[bold]{task.description:<10}"),
                BarColumn(BAR_CELLS),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                _Remarks(self),
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
        outcome = "failed" if error else f"{self.what}{rate}"
        # The message of a UsageError says enough by itself.
        if not isinstance(error, UsageError):
            self._report(f"{self.name:<10} {self.seconds:6.1f} s  {outcome}")

    @property
    def seconds(self) -> float:
        """Seconds since the stage began."""
        return time.monotonic() - self._started

    def done(self, what: str) -> None:
        """Set what the stage's last line says was done."""
        self.what = what

    def note(self, what: str) -> None:
        """Say what the stage is about to do: on a terminal in the live line."""
        self._note = what
        line = f"{self.name}: {what}"
        if self._bars:
            LOG.info("%s", line)
        else:
            self._report(line)

    def part(self, number: int, count: int) -> None:
        """Show on a terminal how many parts are done, whose times differ too much for a rate."""
        if self._bars and count > 1:
            self._bars.update(self._task, completed=number, total=count)

    def finish(self, what: str) -> None:
        """Say what is left to do when all that `total` counts is done."""
        self.advance_to(1)
        self._all_counted = True
        self.note(what)

    def advance_to(self, share: float, running: float = 0.0) -> None:
        """Show that a share of the stage's work is done.

        Parameters
        ----------
        share : 0..1; less than before starts the clock of rate and time left again
        running : share that is being worked on, 0..1; it is taken to be half done
        """
        if self.total is None or self._all_counted:
            return
        if share < self._done:
            self._rate_began = self._called
        self._called = time.monotonic()
        if (share, running) != (self._done, self._running):
            self._done, self._running, self._changed = share, running, self._called
        count = int(share * self.total)
        if self._bars:
            self._bars.update(self._task, completed=count)
        elif count and share < 1 and time.monotonic() - self._printed > QUIET_SECONDS:
            pace = f", {pace}" if (pace := self.pace()) else ""
            self._report(f"{self.name}: {count:,} of {self.total:,} {self.unit}{pace}")

    def pace(self) -> str:
        """Say rate and time left; "" until at least as much is done as is running."""
        if not (self.total and 0 < self._done < 1 and self._done >= self._running):
            return ""
        share, seconds = self._done + self._running / 2, self._changed - self._rate_began
        if not seconds:
            return ""
        left = seconds / share - (time.monotonic() - self._rate_began)
        return f"{self._rate(share * self.total / seconds)}, about {_duration(max(left, 0))} left"

    def remarks(self) -> str:
        """Text of the live line beside bar and time: rate, time left and the latest note."""
        return ", ".join(part for part in (self.pace(), self._note) if part)

    def _rate(self, per_second: float) -> str:
        return f"{per_second:,.{0 if per_second >= WHOLE_RATE else 1}f} {self.unit}/s"

    def _report(self, line: str) -> None:
        self._printed = time.monotonic()
        show_line(self._console, line)


class _Remarks(ProgressColumn):
    """The last column of the live line."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    def render(self, task: Task) -> Text:
        return Text(self._stage.remarks(), no_wrap=True, overflow="ellipsis")


def _duration(seconds: float) -> str:
    if seconds < SECONDS_SHOWN:
        return f"{seconds:,.0f} s"
    minutes = round(seconds / 60)
    return (
        f"{minutes} min" if minutes < MINUTES_SHOWN else f"{minutes // 60:,} h {minutes % 60} min"
    )
