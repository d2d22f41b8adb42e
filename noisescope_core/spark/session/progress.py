"""Progress of a run: which stages, how far Spark is with the present one, what they did."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from pyspark.sql import SparkSession
from pyspark.sql.utils import is_remote
from rich.console import Console

from noisescope_core.app.metrics import write_event
from noisescope_core.app.progress import Stage, show_line

POLL_SECONDS = 0.5
"""Seconds between two questions to Spark how far it is: chosen, for a line that moves steadily."""


@dataclass(frozen=True)
class _Tasks:
    """Tasks of one of Spark's stages: how many are done, run now, and are there in all."""

    done: int
    running: int
    total: int


class Progress:
    """The stages of a run, what they did and how long they took.

    Parameters
    ----------
    spark : session that runs the stages
    console : shows the stages; None: they are told to the logger `noisescope.progress` alone
    events : file that gets a line of JSON per stage, or None

    Attributes
    ----------
    run_id : str
        12 hexadecimal digits, drawn at random.
    stages : list of dict
        `stage`, `seconds` and `what` was done, for every stage that has ended well.
    """

    def __init__(
        self, spark: SparkSession, console: Console | None = None, events: str | None = None
    ) -> None:
        self.run_id = uuid4().hex[:12]
        self.stages: list[dict[str, str | float]] = []
        self._events = events
        self._spark = spark
        self._console = console

    @contextmanager
    def stage(
        self, name: str, total: int | None = None, unit: str = "", shuffled: bool = False
    ) -> Iterator[Stage]:
        """Run one stage under a live line.

        Parameters
        ----------
        name : of the stage
        total : how many things there are to do; None shows the time alone
        unit : what they are
        shuffled : whether they are done behind a shuffle: what goes before it counts for nothing
        """
        with Stage(self._console, name, total, unit) as stage:
            watch = self._watch_connect if is_remote() else self._watch_classic
            with watch(stage, shuffled):
                yield stage
        summary: dict[str, str | float] = {
            "stage": name, "seconds": round(stage.seconds, 2), "what": stage.what
        }  # fmt: skip
        self.stages.append(summary)
        write_event(self._events, self.run_id, event="stage", **summary)

    def kept(self, name: str, written: datetime) -> None:
        """Leave the line of a stage that an unfinished run had finished before it died."""
        what = f"kept from the unfinished run, {written:%Y-%m-%d %H:%M} UTC"
        show_line(self._console, f"{name:<20} {what}")
        self.stages.append({"stage": name, "seconds": 0.0, "what": what})

    @contextmanager
    def _watch_classic(self, stage: Stage, shuffled: bool) -> Iterator[None]:
        """Ask a classic session again and again how many tasks are done."""
        try:
            tracker = self._spark.sparkContext.statusTracker()
        except Exception:  # A platform that lends no context: the line then shows the time alone.
            yield
            return
        over = threading.Event()

        def watch() -> None:
            while not over.wait(POLL_SECONDS):
                active = []
                for number in tracker.getActiveJobsIds():
                    job = tracker.getJobInfo(number)
                    # The job behind a shuffle also lists the stage before it, which it skips.
                    if job and len(job.stageIds) > int(shuffled):
                        infos = [tracker.getStageInfo(stage_id) for stage_id in job.stageIds]
                        active += [
                            _Tasks(info.numCompletedTasks, info.numActiveTasks, info.numTasks)
                            for info in infos
                            if info
                        ]
                _advance(stage, active)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    @contextmanager
    def _watch_connect(self, stage: Stage, shuffled: bool) -> Iterator[None]:
        """Let a Connect server report, every other second, how many tasks of a query are done."""
        queries: dict[str | None, list[_Tasks]] = {}

        def handler(
            stages: Iterable[Any] | None,
            inflight_tasks: int,
            operation_id: str | None,
            done: bool,
        ) -> None:
            infos = list(stages or ())
            queries[operation_id] = [
                _Tasks(info.num_completed_tasks, inflight_tasks, info.num_tasks)
                for info in infos
                if not done and not info.done and len(infos) > int(shuffled)
            ]
            _advance(stage, [tasks for query in list(queries.values()) for tasks in query])

        try:
            self._spark.registerProgressHandler(handler)  # type: ignore[arg-type]
        except Exception:  # A platform's own client: the line then shows the time alone.
            yield
            return
        try:
            yield
        finally:
            self._spark.removeProgressHandler(handler)  # type: ignore[arg-type]


def _advance(stage: Stage, active: Sequence[_Tasks]) -> None:
    """Show the share of the stage of Spark that is least done.

    Stages of one task count for nothing, nor do those that have not begun or are finished.
    """
    shares = [
        (tasks.done / tasks.total, tasks.running / tasks.total)
        for tasks in active
        if tasks.total > 1 and (tasks.done or tasks.running) and tasks.done < tasks.total
    ]
    if shares:
        stage.advance_to(*min(shares))
