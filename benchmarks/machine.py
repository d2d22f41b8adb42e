"""What a measurement was taken on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

import numpy as np
import psutil
from threadpoolctl import threadpool_info

PACKAGES = ("numpy", "scipy", "PyWavelets", "opencv-python-headless", "numba", "pyspark")
"""Whose versions matter for speed."""


def description() -> list[str]:
    """Say processor, memory, BLAS kernel and versions, a line each."""
    np.ones((2, 2)) @ np.ones((2, 2))
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":")[1].strip() for line in info.splitlines() if "model name" in line]
    blas = {f"{pool['internal_api']} {pool.get('architecture', '')}" for pool in threadpool_info()}
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return [
        f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB, BLAS {', '.join(sorted(blas))}",
        f"Python {platform.python_version()}, {versions}",
    ]
