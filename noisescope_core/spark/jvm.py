"""The JVM that a command starts beside itself: it moves bytes and computes nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pyspark
from pyspark import SparkContext

_COMPILER = "-XX:TieredStopAtLevel=1"
"""Optimising takes the processors from those who compute, a third of a short run."""

_QUIET = "-Xlog:disable -Xlog:all=error:stderr"
"""The JVM's own warnings would go to standard output."""


def java_options() -> str:
    """Options of a JVM that costs little: compiled quickly, and its classes not read anew.

    Spark's classes are read, checked and linked at every start, several seconds of work, unless a
    JVM before has left them in an archive. Where there is none this JVM leaves one, see
    `keep_classes`.
    """
    archive = _archive()
    if archive is None:
        return _COMPILER
    if archive.exists():
        return f"{_COMPILER} {_QUIET} -XX:SharedArchiveFile={archive}"
    return f"{_COMPILER} {_QUIET} -XX:ArchiveClassesAtExit={_unfinished(archive)}"


def keep_classes() -> None:
    """End this process's JVM and keep the archive of classes that it leaves, if it leaves one.

    A JVM takes some seconds to write it, once for every Java and Spark of a user. Spark must have
    been stopped.
    """
    archive, gateway = _archive(), SparkContext._gateway
    process = getattr(gateway, "proc", None)
    if archive is None or archive.exists() or process is None:
        return
    # As its gateway does when Python ends.
    process.stdin.close()
    process.wait()
    with suppress(OSError):
        os.replace(_unfinished(archive), archive)


def _unfinished(archive: Path) -> Path:
    return archive.with_suffix(f".{os.getpid()}")


def _archive() -> Path | None:
    """Where this Java's and this Spark's classes are kept; None if they can be nowhere."""
    java = shutil.which("java", path=os.path.join(os.environ.get("JAVA_HOME", ""), "bin"))
    java = os.path.realpath(java or shutil.which("java") or "")
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "noisescope")
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    # A path with a space would be two options.
    if not os.path.isfile(java) or " " in str(cache):
        return None
    which = f"{java} {os.path.getmtime(java)} {pyspark.__file__} {pyspark.__version__}"
    return cache / f"classes-{hashlib.sha256(which.encode()).hexdigest()[:16]}.jsa"
