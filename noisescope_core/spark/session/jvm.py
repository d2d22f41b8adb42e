"""The JVM that a command starts beside itself: it moves bytes and computes nothing."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pyspark
from pyspark import SparkContext

_COMPILER = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:MetaspaceSize=256m"
"""Optimising takes the processors from those who compute, a third of a short run.

Without it a JVM has room for 48 MB of code; a scan of Delta tables fills them and ends in an error.
Its classes take 200 MB, and each doubling on the way there would collect all garbage.
"""

_QUIET = "-Xlog:disable -Xlog:all=error:stderr"
"""The JVM's own warnings would go to standard output."""


def java_options(leave_classes: bool) -> str:
    """Options of a JVM that costs little: compiled quickly, and its classes not read anew.

    Spark's classes are read, checked and linked at every start, several seconds of work, unless a
    JVM before has left them in an archive.

    Parameters
    ----------
    leave_classes : bool
        Whether the JVM leaves an archive at its end where there is none, for `keep_classes`.
    """
    archive = _archive()
    if archive is None:
        return _COMPILER
    if archive.exists():
        return f"{_COMPILER} {_QUIET} -XX:SharedArchiveFile={archive}"
    if not leave_classes:
        return _COMPILER
    left = _left(archive)
    try:
        left.parent.mkdir(exist_ok=True)
    except OSError:
        return _COMPILER
    # Without its folder a JVM leaves nothing: a run that fails has not met all classes.
    atexit.register(shutil.rmtree, left.parent, ignore_errors=True)
    return f"{_COMPILER} {_QUIET} -XX:ArchiveClassesAtExit={left}"


def keep_classes() -> None:
    """End this process's JVM and keep the archive of classes that it leaves, if it leaves one.

    A JVM takes some seconds to write it, once for every Java and Spark of a user. Spark must have
    been stopped.
    """
    archive, gateway = _archive(), SparkContext._gateway
    process = getattr(gateway, "proc", None)
    if archive is None or process is None or not _left(archive).parent.exists():
        return
    # As its gateway does when Python ends.
    process.stdin.close()
    process.wait()
    with suppress(OSError):
        os.replace(_left(archive), archive)


def _left(archive: Path) -> Path:
    return archive.with_suffix(f".{os.getpid()}") / archive.name


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
