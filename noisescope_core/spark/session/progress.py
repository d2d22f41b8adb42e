"""Progress of a run: which stages, how far Spark is with the present one, what they did."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import uuid4

from pyspark.sql import SparkSession
from pyspark.sql.utils import is_remote
from rich.console import Console

from noisescope_core.app.metrics import event
from noisescope_core.app.progress import Stage


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
    def stage(
        self, name: str, total: int | None = None, unit: str = "", shuffled: bool = False
    ) -> Iterator[Stage]:
        """Run one stage under a live line.

        Parameters
        ----------
        name : str
        total : int or None
            How many things there are to do; None shows the time alone.
        unit : str
            What they are.
        shuffled : bool
            Whether they are done behind a shuffle: what goes before it then counts for nothing.
        """
        with Stage(self._console, name, total, unit) as stage:
            watch = self._told_by_connect if is_remote() else self._watched
            with watch(stage, shuffled):
                yield stage
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

    @contextmanager
    def _watched(self, stage: Stage, shuffled: bool) -> Iterator[None]:
        """Ask a classic session twice a second how many tasks are done."""
        try:
            tracker = self._spark.sparkContext.statusTracker()
        except Exception:  # A platform that lends no context: the line then shows the time alone.
            yield
            return
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.5):
                found = []
                for number in tracker.getActiveJobsIds():
                    job = tracker.getJobInfo(number)
                    # Behind a shuffle a job has the stage before it, too, though it is skipped.
                    if job and len(job.stageIds) > int(shuffled):
                        infos = [tracker.getStageInfo(k) for k in job.stageIds]
                        found += [
                            (info.numCompletedTasks, info.numActiveTasks, info.numTasks)
                            for info in infos
                            if info
                        ]
                _advance(stage, found)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    @contextmanager
    def _told_by_connect(self, stage: Stage, shuffled: bool) -> Iterator[None]:
        """Be told by a Connect server, every other second, how many tasks of a query are done."""
        queries: dict[str | None, list[tuple[int, int, int]]] = {}

        def handler(
            stages: Iterable[Any] | None,
            inflight_tasks: int,
            operation_id: str | None,
            done: bool,
        ) -> None:
            of_query = list(stages or ())
            queries[operation_id] = [
                (one.num_completed_tasks, inflight_tasks, one.num_tasks)
                for one in of_query
                if not done and not one.done and len(of_query) > int(shuffled)
            ]
            _advance(stage, [one for found in list(queries.values()) for one in found])

        try:
            self._spark.registerProgressHandler(handler)  # type: ignore[arg-type]
        except Exception:  # A platform's own client: the line then shows the time alone.
            yield
            return
        try:
            yield
        finally:
            self._spark.removeProgressHandler(handler)  # type: ignore[arg-type]


def _advance(stage: Stage, found: list[tuple[int, int, int]]) -> None:
    """Take the stage of Spark that is least done, of those at work in several tasks.

    Parameters
    ----------
    found : of each, tasks that are done, that run, and all
    """
    shares = [
        (done / total, active / total)
        for done, active, total in found
        if total > 1 and (done or active) and done < total
    ]
    if shares:
        stage.advance_to(*min(shares))
