"""What a machine needs to run this: each thing looked at, and the one command that mends it.

The Spark-free part; `spark.doctor` starts Spark and reads and writes where a run would.
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
GIGABYTE = 1 << 30
LEAST_MEMORY = 4 * GIGABYTE
"""The driver, its JVM and two workers."""

LEAST_DISK = 5 * GIGABYTE
"""Shuffles of a thousand images take a gigabyte."""

OPENCVS = ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")
"""Other builds, whose files lie on top of the headless one's."""

State = Literal["good", "warning", "bad"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes
    ----------
    name : of the thing
    state : `bad` keeps a run from working, `warning` makes it slow, small or unsafe
    found : what there is
    mend : what to do, a command where there is one; "" where nothing is wrong
    """

    name: str
    state: State
    found: str
    mend: str = ""


def examine() -> Iterator[Finding]:
    """Look at what every run needs, Spark apart."""
    yield packages()
    yield opencv()
    yield compiled()
    yield threads()
    yield memory()
    yield scratch()
    yield java()


def packages() -> Finding:
    """Hold the installed packages against those that this one asks for, Spark's extra too."""
    wrong = []
    for line in requires("noisescope") or []:
        wanted = Requirement(line)
        if wanted.marker and not wanted.marker.evaluate({"extra": "spark"}):
            continue
        try:
            there = version(wanted.name)
        except PackageNotFoundError:
            wrong.append(f"{wanted.name} is missing")
            continue
        if not wanted.specifier.contains(there, prereleases=True):
            wrong.append(f"{wanted.name} {there} is not {wanted.specifier}")
    python = f"Python {sys.version.split()[0]}"
    if wrong:
        mend = f"{sys.executable} -m pip install 'noisescope[spark]'"
        return Finding("packages", "bad", f"{python}; {', '.join(wrong)}", mend)
    told = ", ".join(f"{name} {version(name)}" for name in ("pyspark", "pyarrow", "numpy"))
    return Finding("packages", "good", f"{python}, {told}")


def opencv() -> Finding:
    """See that OpenCV reads and writes JPEG, and that no other build of it is in the way."""
    others = [name for name in OPENCVS if _installed(name)]
    if others:
        return Finding(
            "OpenCV", "warning", f"{cv2.__version__}, with {', '.join(others)} beside it",
            f"{sys.executable} -m pip uninstall -y {' '.join(others)} opencv-python-headless && "
            f"{sys.executable} -m pip install opencv-python-headless",
        )  # fmt: skip
    grey = np.full((16, 16, 3), 128, np.uint8)
    lost = [
        ending for ending in (".jpg", ".png", ".webp")
        if cv2.imdecode(cv2.imencode(ending, grey)[1], cv2.IMREAD_COLOR) is None
    ]  # fmt: skip
    if lost:
        mend = f"{sys.executable} -m pip install --force-reinstall opencv-python-headless"
        return Finding("OpenCV", "bad", f"{cv2.__version__} reads no {', '.join(lost)}", mend)
    return Finding("OpenCV", "good", f"{cv2.__version__} reads JPEG, PNG, WebP")


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def compiled() -> Finding:
    """Run the compiled kernels once, and see whether their code is kept."""
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
    blas = [one for one in threadpool_info() if one["user_api"] == "blas"]
    if not blas:
        mend = f"{sys.executable} -m pip install --force-reinstall numpy scipy"
        return Finding("BLAS", "warning", "none was found: products are slow", mend)
    kinds = {
        " ".join(str(one.get(key)) for key in ("internal_api", "version", "architecture"))
        for one in blas
    }
    told = ", ".join(sorted(kinds))
    most = max(one["num_threads"] for one in blas)
    found = f"{told}; {most} threads on {cores} processors"
    if most < (cores or 1):
        limits = [name for name in os.environ if name.endswith("_NUM_THREADS")]
        return Finding("BLAS", "warning", found, f"unset {' '.join(limits)}" if limits else "")
    return Finding("BLAS", "good", found)


def memory() -> Finding:
    """Say how much memory there is, by the container's limit if it has one."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        pages = min(pages, int(text))
    found = f"{pages / GIGABYTE:.1f} GiB"
    if pages < LEAST_MEMORY:
        return Finding("memory", "warning", found, "--set spark.driver_memory=1g "
                       "--set discovery.images=500 --set discovery.reference=500")  # fmt: skip
    return Finding("memory", "good", found)


def scratch() -> Finding:
    """Say how much room Spark's shuffles have."""
    folder = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")[0] or tempfile.gettempdir()
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding("scratch space", "bad", f"{folder}: {error.strerror}", f"mkdir -p {folder}")
    found = f"{free / GIGABYTE:.0f} GiB free in {folder}"
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
        told = subprocess.run(  # noqa: S603  # What JAVA_HOME or PATH names.
            [program, "-version"], capture_output=True, text=True, timeout=60, check=True
        ).stderr
    except (OSError, subprocess.SubprocessError) as error:
        mend = f"unset JAVA_HOME, or {install}" if home else install
        return Finding("Java", "bad", f"{program} does not run ({error})", mend)
    number = re.search(r'version "(\d+)', told)
    (line,) = [one for one in told.splitlines() if "version" in one][:1] or [told]
    found = f"{line}, {program}"
    if not number or int(number[1]) < LEAST_JAVA:
        return Finding("Java", "bad", f"{found}; needed: {LEAST_JAVA} or newer", install)
    return Finding("Java", "good", found)
