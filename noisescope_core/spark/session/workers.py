"""The Spark session, and what every worker does before it computes."""

from __future__ import annotations

import gc
import hashlib
import pickle
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

import cv2
from pyspark import SparkFiles, TaskContext, cloudpickle
from pyspark.sql import SparkSession
from pyspark.sql.utils import is_remote
from threadpoolctl import ThreadpoolController

INSIDE = 67_108_864
"""What a function may hold on Spark Connect, bytes: a plan is one message of at most 128 MiB."""

Value = TypeVar("Value")


def shipped(spark: SparkSession, value: Value) -> Callable[[], Value]:
    """Make a large value ready to travel to the workers.

    Spark ships a function with what it holds, however large. On Connect more than `INSIDE` goes
    as a file beside it.

    Returns
    -------
    callable
        Gives the value where it is called, on a worker too.
    """
    data = cloudpickle.dumps(value) if is_remote() else b""  # type: ignore[no-untyped-call]
    if len(data) <= INSIDE:
        return lambda: value
    name = hashlib.sha256(data).hexdigest()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, name)
        file.write_bytes(data)
        spark.addArtifact(str(file), file=True)
    # The session's own file, trusted as a function is.
    return lambda: pickle.loads(Path(SparkFiles.get(name)).read_bytes())  # noqa: S301


@contextmanager
def one_task() -> Iterator[int]:
    """Bound BLAS and OpenCV threads to the processors of the task that runs this: how many."""
    context = TaskContext.get()
    threads = context.cpus() if context is not None else 1
    cv2.setNumThreads(threads)
    with _libraries().limit(limits=threads):
        yield threads
    _leave_out_of_collections()


@cache
def _libraries() -> ThreadpoolController:
    """Look for the libraries that compute, once a worker."""
    return ThreadpoolController()


@cache
def _leave_out_of_collections() -> None:
    """Leave what is loaded by now out of the collections of garbage, once a worker.

    It makes one after every task, which takes a tenth of a second among all that libraries hold.
    """
    gc.freeze()
