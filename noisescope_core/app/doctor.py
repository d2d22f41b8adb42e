"""What a machine needs to run this: a finding for each thing, with the command that mends it.

This part needs no Spark; `spark.session.doctor` starts it and reads and writes where a run would.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from packaging.requirements import Requirement
from threadpoolctl import threadpool_info

from noisescope_core.residual import noise_residual

LEAST_JAVA = 17
"""Oldest version of Java that Spark 4 runs on."""

JAVA_SECONDS = 60
"""Seconds for Java to say its version: chosen, far more than it takes on a busy machine."""

GIBIBYTE = 1 << 30
"""Bytes."""

LEAST_MEMORY = 4 * GIBIBYTE
"""Bytes for the driver, its JVM and two workers: chosen, for a run with the default settings."""

LEAST_DISK = 5 * GIBIBYTE
"""Bytes for Spark's shuffles: chosen, for some thousand images; a thousand take a gigabyte."""

OTHER_OPENCVS = ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")
"""Other builds of OpenCV, which install files under the same names as the headless one's."""

State = Literal["good", "warning", "bad"]
"""What a finding means for a run, see `Finding`."""


@dataclass(frozen=True)
class Finding:
    """One thing that was examined.

    Attributes
    ----------
    name : of the thing
    state : `bad` keeps a run from working, `warning` makes it slow, small or unsafe
    found : what is there
    mend : what to do, a command where there is one; "" where nothing is wrong
    """

    name: str
    state: State
    found: str
    mend: str = ""


def examine() -> Iterator[Finding]:
    """Examine what every run needs, Spark apart; some findings take seconds."""
    yield packages()
    yield opencv()
    yield compiled()
    yield threads()
    yield memory()
    yield scratch()
    yield java()


def packages() -> Finding:
    """Compare the installed packages with those that this one requires, with its extra `spark`."""
    problems = []
    for line in requires("noisescope") or []:
        required = Requirement(line)
        if required.marker and not required.marker.evaluate({"extra": "spark"}):
            continue
        try:
            installed = version(required.name)
        except PackageNotFoundError:
            problems.append(f"{required.name} is missing")
            continue
        if not required.specifier.contains(installed, prereleases=True):
            problems.append(f"{required.name} {installed} is not {required.specifier}")
    python = f"Python {sys.version.split()[0]}"
    if problems:
        mend = f"{sys.executable} -m pip install 'noisescope[spark]'"
        return Finding("packages", "bad", f"{python}; {', '.join(problems)}", mend)
    versions = ", ".join(f"{name} {version(name)}" for name in ("pyspark", "pyarrow", "numpy"))
    return Finding("packages", "good", f"{python}, {versions}")


def opencv() -> Finding:
    """Check that OpenCV reads and writes JPEG, PNG and WebP, and that it is its only build here."""
    others = [name for name in OTHER_OPENCVS if _installed(name)]
    if others:
        return Finding(
            "OpenCV", "warning", f"{cv2.__version__}, with {', '.join(others)} beside it",
            f"{sys.executable} -m pip uninstall -y {' '.join(others)} opencv-python-headless && "
            f"{sys.executable} -m pip install opencv-python-headless",
        )  # fmt: skip
    grey = np.full((16, 16, 3), 128, np.uint8)
    unreadable = [
        ending for ending in (".jpg", ".png", ".webp")
        if cv2.imdecode(cv2.imencode(ending, grey)[1], cv2.IMREAD_COLOR) is None
    ]  # fmt: skip
    if unreadable:
        mend = f"{sys.executable} -m pip install --force-reinstall opencv-python-headless"
        return Finding("OpenCV", "bad", f"{cv2.__version__} reads no {', '.join(unreadable)}", mend)
    return Finding("OpenCV", "good", f"{cv2.__version__} reads JPEG, PNG, WebP")


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def compiled() -> Finding:
    """Run the compiled kernels once, and check that their code is cached."""
    noise_residual(np.zeros((64, 64, 3), np.uint8))
    folder = os.environ.get("NUMBA_CACHE_DIR") or str(Path(__file__).parent / "__pycache__")
    if os.access(folder, os.W_OK):
        return Finding("kernels", "good", f"compiled, kept in {folder}")
    found = f"compiled, but {folder} cannot be written to: every start compiles anew, some seconds"
    mend = "export NUMBA_CACHE_DIR=~/.cache/noisescope/numba"
    return Finding("kernels", "warning", found, mend)


def threads() -> Finding:
    """Say which BLAS works with how many threads."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    if not libraries:
        mend = f"{sys.executable} -m pip install --force-reinstall numpy scipy"
        return Finding("BLAS", "warning", "none was found: products are slow", mend)
    kinds = {
        " ".join(str(library.get(key)) for key in ("internal_api", "version", "architecture"))
        for library in libraries
    }
    count = max(library["num_threads"] for library in libraries)
    found = f"{', '.join(sorted(kinds))}; {count} threads on {cores} processors"
    if count < (cores or 1):
        limits = [name for name in os.environ if name.endswith("_NUM_THREADS")]
        return Finding("BLAS", "warning", found, f"unset {' '.join(limits)}" if limits else "")
    return Finding("BLAS", "good", found)


def memory() -> Finding:
    """Say how much memory there is: the machine's, or the limit of the container."""
    available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        available = min(available, int(text))
    found = f"{available / GIBIBYTE:.1f} GiB"
    if available < LEAST_MEMORY:
        return Finding("memory", "warning", found, "--set spark.driver_memory=1g "
                       "--set discovery.images=500 --set discovery.reference=500")  # fmt: skip
    return Finding("memory", "good", found)


def scratch() -> Finding:
    """Say how much disk space Spark's shuffles have."""
    folder = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")[0] or tempfile.gettempdir()
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding("scratch space", "bad", f"{folder}: {error.strerror}", f"mkdir -p {folder}")
    found = f"{free / GIBIBYTE:.0f} GiB free in {folder}"
    if free < LEAST_DISK:
        mend = "export SPARK_LOCAL_DIRS=/a/larger/disk"
        return Finding("scratch space", "warning", found, mend)
    return Finding("scratch space", "good", found)


def java() -> Finding:
    """Ask Java for its version, as Spark would find it."""
    home = os.environ.get("JAVA_HOME")
    program = str(Path(home, "bin/java")) if home else shutil.which("java")
    install = "sudo apt-get install openjdk-17-jre-headless"
    if not program:
        return Finding("Java", "bad", "none was found", install)
    try:
        output = subprocess.run(  # noqa: S603  # What JAVA_HOME or PATH names.
            [program, "-version"], capture_output=True, text=True, timeout=JAVA_SECONDS, check=True
        ).stderr
    except (OSError, subprocess.SubprocessError) as error:
        mend = f"unset JAVA_HOME, or {install}" if home else install
        return Finding("Java", "bad", f"{program} does not run ({error})", mend)
    number = re.search(r'version "(\d+)', output)
    # JAVA_TOOL_OPTIONS, for one, has Java print other lines before.
    line = next((line for line in output.splitlines() if "version" in line), output)
    found = f"{line}, {program}"
    if not number or int(number[1]) < LEAST_JAVA:
        return Finding("Java", "bad", f"{found}; needed: {LEAST_JAVA} or newer", install)
    return Finding("Java", "good", found)
