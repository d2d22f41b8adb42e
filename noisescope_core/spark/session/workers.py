"""What every worker does before it computes, and how large values reach it."""

from __future__ import annotations

import gc
import hashlib
import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import cv2
import pyarrow as pa
from pyspark import TaskContext, cloudpickle
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType
from pyspark.sql.utils import is_remote
from threadpoolctl import ThreadpoolController

from noisescope_core.spark.session.start import ROWS_PER_BATCH

INSIDE = 67_108_864
"""Most bytes that a function may hold on Spark Connect: 64 MiB, half of the 128 MiB at which its
messages end, for a plan with its functions is one message (docs/decisions/0003-spark.md)."""

BYTES_PER_BATCH = 1 << 25
"""Bytes of a batch above which it is cut: the default of `spark.batch_bytes`, 32 MiB."""

KEPT = 6
"""Values that a worker keeps (`once`). Chosen: what two stages test against."""

Value = TypeVar("Value")

_made: dict[str, Any] = {}


def once(make: Callable[[], Value]) -> Callable[[], Value]:
    """Let every worker make a value once, and not once a task; the last few made are kept."""
    name = uuid4().hex

    def made() -> Value:
        if name not in _made:
            while len(_made) >= KEPT:
                del _made[next(iter(_made))]
            _made[name] = make()
        value: Value = _made[name]
        return value

    return made


def shipped(spark: SparkSession, value: Value) -> Callable[[], Value]:
    """Make a large value ready to travel to the workers.

    Spark sends a function together with the values that it refers to. On Connect a value larger
    than `INSIDE` is sent as a file of the session instead.

    Returns
    -------
    callable
        Returns the value, on the driver and on a worker.
    """
    data = cloudpickle.dumps(value) if is_remote() else b""  # type: ignore[no-untyped-call]
    if len(data) <= INSIDE:
        return lambda: value
    name = hashlib.sha256(data).hexdigest()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, name)
        file.write_bytes(data)
        spark.addArtifact(str(file), file=True)

    def received() -> Value:
        from pyspark import SparkFiles  # Which a client without a JVM lacks.

        # The file comes from the driver, as the function does: it needs no less trust.
        value: Value = pickle.loads(Path(SparkFiles.get(name)).read_bytes())  # noqa: S301
        return value

    return received


def map_batches(
    table: DataFrame,
    work: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]],
    schema: str | StructType,
) -> DataFrame:
    """Apply a function to the batches of a table, which are small in every session.

    Some platforms refuse the settings that bound batches: then one holds 10,000 rows, and what is
    computed of it as many residuals.

    Parameters
    ----------
    work : takes and gives batches, `ROWS_PER_BATCH` and about `BYTES_PER_BATCH` at most
    schema : of the result
    """
    return table.mapInArrow(lambda batches: work(small_batches(batches)), schema)


def small_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Cut batches that are too large, without a copy; their rows count as equally large."""
    for batch in batches:
        parts = -(-batch.nbytes // BYTES_PER_BATCH)
        rows = max(1, min(ROWS_PER_BATCH, len(batch) // max(parts, 1)))
        for start in range(0, len(batch), rows):
            yield batch.slice(start, rows)


@contextmanager
def one_task() -> Iterator[int]:
    """Bound the threads of BLAS and OpenCV to the processors of the task that runs this.

    Yields
    ------
    int
        Number of these threads.
    """
    context = TaskContext.get()
    threads = context.cpus() if context is not None else 1
    cv2.setNumThreads(threads)
    with _libraries().limit(limits=threads):
        yield threads
    _exempt_from_collection()


@cache
def _libraries() -> ThreadpoolController:
    """Find the thread pools of the loaded libraries: searching takes time, so once a worker."""
    return ThreadpoolController()


@cache
def _exempt_from_collection() -> None:
    """Exempt all objects that exist by now from garbage collection, once a worker.

    A worker collects garbage after every task. Among the objects that libraries hold that takes
    110 ms, without them 15 ms (docs/decisions/0003-spark.md).
    """
    gc.freeze()
