"""The doctor: what it finds on sound machines and on broken ones."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from noisescope_core.app import doctor


def command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "noisescope_core.cli", "doctor", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, env={**os.environ, **environment},
    )  # fmt: skip


def java_of(tmp_path, script):
    program = tmp_path / "jdk/bin/java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(tmp_path / "jdk")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'openjdk version \"11.0.2\" 2019-01-15' >&2", "needed: 17 or newer"),
        ("exit 3", "does not run"),
    ],
)
def test_a_java_that_will_not_do_is_named_with_what_to_install(monkeypatch, tmp_path, script, said):
    monkeypatch.setenv("JAVA_HOME", java_of(tmp_path, script))
    found = doctor.java()
    assert found.state == "bad"
    assert said in found.found
    assert "apt-get install openjdk-17-jre-headless" in found.mend


def test_no_java_and_a_newer_one(monkeypatch, tmp_path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.java().state == "bad"
    new = "echo 'openjdk version \"21.0.1\" 2023-10-17' >&2"
    monkeypatch.setenv("JAVA_HOME", java_of(tmp_path, new))
    assert doctor.java().state == "good"


def test_packages_that_are_missing_or_of_another_version_are_named(monkeypatch):
    assert doctor.packages().state == "good"
    known = doctor.version

    def other(name):
        if name == "mahotas":
            raise doctor.PackageNotFoundError(name)
        return "5.1" if name == "opencv-python-headless" else known(name)

    monkeypatch.setattr(doctor, "version", other)
    found = doctor.packages()
    assert found.state == "bad"
    assert "mahotas is missing" in found.found
    assert "opencv-python-headless 5.1 is not" in found.found
    assert "pip install 'noisescope[spark]'" in found.mend


def test_a_second_opencv_is_in_the_way(monkeypatch):
    assert doctor.opencv().state == "good"
    monkeypatch.setattr(doctor, "_installed", lambda name: name == "opencv-python")
    found = doctor.opencv()
    assert found.state == "warning"
    assert "uninstall -y opencv-python opencv-python-headless" in found.mend


def test_little_memory_and_little_room(monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda name: 1 << 15)
    assert doctor.memory().state == "warning"
    assert "discovery.images=500" in doctor.memory().mend
    monkeypatch.setenv("SPARK_LOCAL_DIRS", "/no/such/folder")
    assert doctor.scratch().state == "bad"


def test_code_that_cannot_be_kept_and_threads_that_are_held_back(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "gone"))
    assert doctor.compiled().state == "warning"
    monkeypatch.setattr(
        doctor, "threadpool_info",
        lambda: [{"user_api": "blas", "num_threads": 1, "internal_api": "openblas"}],
    )  # fmt: skip
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert "OMP_NUM_THREADS" in doctor.threads().mend


@pytest.mark.spark
def test_a_sound_machine_is_told_so_and_nothing_is_left_behind(tmp_path, dump):
    pytest.importorskip("pyspark")
    done = command(
        "--images", dump.images, "--out", tmp_path / "out", "--json",
        "--set", "spark.master=local[1]",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    findings = {one["name"]: one for one in json.loads(done.stdout)}
    assert {"packages", "OpenCV", "BLAS", "Java", "Spark", "--images", "--out"} <= findings.keys()
    assert {one["state"] for one in findings.values()} <= {"good", "warning"}
    assert list(Path(tmp_path / "out").glob("*")) == []


@pytest.mark.spark
def test_what_keeps_a_run_from_working_is_told_with_its_remedy(tmp_path):
    pytest.importorskip("pyspark")
    (tmp_path / "file").write_text("")
    done = command(
        "--images", tmp_path / "nowhere", "--out", tmp_path / "file/out",
        "--set", "spark.master=local[1]",
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("bad")]
    assert [line.split()[1] for line in lines] == ["--images", "--out"]
    assert "before this is mended: --images, --out" in done.stderr
