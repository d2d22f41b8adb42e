"""Volumes of Databricks: one thing under all their names, though this machine mounts none."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyspark")

NAMES = ("a.png", "b [1] {x}.png", "empty.png")


def test_a_volume_is_listed_and_read_by_all_its_names(tmp_path):
    images = tmp_path / "volumes/main/x/images"
    images.mkdir(parents=True)
    for name in NAMES:
        (images / name).write_bytes(b"" if "empty" in name else b"x")
    done = subprocess.run(
        [sys.executable, "-m", "tests.spark.programs.volumes", str(tmp_path)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    listed = [f"/Volumes/main/x/images/{name}" for name in NAMES]
    expected = {"listed": listed, "read": 2, "read again": 2}
    assert told == dict.fromkeys(("", "dbfs:", "dbfs://"), expected)
