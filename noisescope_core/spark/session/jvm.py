"""Options of the JVM that a command starts: it moves bytes, the workers compute."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pyspark

_COMPILER = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:MetaspaceSize=256m"
"""Options that make a JVM compile quickly and give it room for its code and classes.

Without the optimising compiler the workers have its processors, a third of a short run. But then a
JVM has room for only 48 MB of compiled code, which a scan of Delta tables exceeds: hence 256 MB.
Classes take 200 MB; a JVM that starts with less room collects all garbage at every doubling.
"""

_QUIET = "-Xlog:disable -Xlog:all=error:stderr"
"""Options that keep the JVM's own warnings away from standard output."""


def java_options(leave_classes: bool) -> str:
    """Make the options of a JVM that compiles quickly and reads its classes from an archive.

    Without an archive Spark's classes are read, checked and linked at every start, which takes
    several seconds (docs/decisions/0003-spark.md).

    Parameters
    ----------
    leave_classes : bool
        Whether the JVM writes an archive at its end if there is none yet, for `keep_classes`.
    """
    archive = _archive()
    if archive is None:
        return _COMPILER
    if archive.exists():
        return f"{_COMPILER} {_QUIET} -XX:SharedArchiveFile={archive}"
    if not leave_classes:
        return _COMPILER
    left = _draft(archive)
    try:
        left.parent.mkdir(exist_ok=True)
    except OSError:
        return _COMPILER
    # Remove the folder when Python ends. A JVM that lives longer then leaves no archive: only a
    # run that went well has loaded all classes, and it calls `keep_classes` before.
    atexit.register(shutil.rmtree, left.parent, ignore_errors=True)
    return f"{_COMPILER} {_QUIET} -XX:ArchiveClassesAtExit={left}"


def keep_classes() -> None:
    """End this process's JVM and keep the archive of classes that it writes, if it writes one.

    Writing takes some seconds, once for every Java and Spark of a user. Spark must have been
    stopped.
    """
    from pyspark import SparkContext  # Which a client without a JVM lacks.

    archive, gateway = _archive(), SparkContext._gateway
    process = getattr(gateway, "proc", None)
    if archive is None or process is None or not _draft(archive).parent.exists():
        return
    # The JVM ends when its standard input does, as py4j lets it end with Python.
    process.stdin.close()
    process.wait()
    with suppress(OSError):
        os.replace(_draft(archive), archive)


def _draft(archive: Path) -> Path:
    """Name the file that this process's JVM writes, in a folder of this process alone."""
    return archive.with_suffix(f".{os.getpid()}") / archive.name


def _archive() -> Path | None:
    """Name the archive of this Java and this Spark; None where none can be written or used."""
    java = shutil.which("java", path=os.path.join(os.environ.get("JAVA_HOME", ""), "bin"))
    java = os.path.realpath(java or shutil.which("java") or "")
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "noisescope")
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    # The options are split at spaces, so a path must not hold one.
    if not os.path.isfile(java) or " " in str(cache):
        return None
    which = f"{java} {os.path.getmtime(java)} {pyspark.__file__} {pyspark.__version__}"
    return cache / f"classes-{hashlib.sha256(which.encode()).hexdigest()[:16]}.jsa"
