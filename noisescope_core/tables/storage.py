"""Where runs lie: local paths and the URIs of object stores, read past Spark."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

from pyarrow import fs

Answer = TypeVar("Answer")

ATTEMPTS = 5
"""Times that a store is asked for what only the driver reads; chosen, as is the pause."""

PAUSE = 0.2
"""Seconds before the second attempt; before each further one as many more."""


def file_system(location: str) -> tuple[fs.FileSystem, str]:
    """Find what reads a local path or a URI, and the path within it."""
    if location.startswith("dbfs:/"):
        # Databricks mounts its own store so.
        return fs.LocalFileSystem(), f"/dbfs/{location.removeprefix('dbfs:').lstrip('/')}"
    if "://" not in location:
        return fs.LocalFileSystem(), location.removeprefix("file:")
    scheme, _, rest = location.partition("://")
    host, slash, path = rest.partition("/")
    # Spark takes paths as they are, a URI is quoted.
    scheme = "s3" if scheme == "s3a" else scheme
    system, path = fs.FileSystem.from_uri(f"{scheme}://{host}{slash}{quote(path)}")
    return system, path


def is_delta(location: str) -> bool:
    """Whether a location is a Delta table, as far as this process can see."""
    try:
        system, path = file_system(f"{location.rstrip('/')}/_delta_log")
        return bool(system.get_file_info(path).type == fs.FileType.Directory)
    except (OSError, ValueError):  # Spark may see more.
        return False


def content(system: fs.FileSystem, path: str) -> bytes:
    """Read a file whole."""

    def read() -> bytes:
        with system.open_input_stream(path) as stream:
            return bytes(stream.read())

    return with_retries(read)


def with_retries(read: Callable[[], Answer]) -> Answer:
    """Read once more where a store was busy.

    Arrow's own retries fail where the refusal is longer than what it wanted to read.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return read()
        except OSError as error:
            if "AWS Error" not in str(error):
                raise
            time.sleep(PAUSE * attempt)
    return read()
