"""Every job by itself under spark-submit, from the built wheel and outside the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.conftest import INTERPRETED, SMALL
from tests.runs import verdict_rows

pyspark = pytest.importorskip("pyspark")
pytestmark = pytest.mark.spark

ROOT = Path(__file__).parents[2]
STAGES = ("extract", "calibrate", "correlate", "cluster", "score")

# One Spark for all of them; each is run as spark-submit runs it, by its own file.
ONE_BY_ONE = """
import runpy
import sys

import noisescope_core

print("imported from", noisescope_core.__file__)
jobs, common = sys.argv[1].split(","), sys.argv[2:]
for job in jobs:
    # Only the first lists the folders, and the last, which does it all by itself.
    lists, out = job in (jobs[0], jobs[-1]), common[3] + ("/all" if job == jobs[-1] else "/stages")
    sys.argv = [job, *common[:3], out, *(common[4:] if lists else ())]
    try:
        runpy.run_path(job, run_name="__main__")
    except SystemExit as done:
        assert not done.code, job
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--wheel-dir", str(folder), str(ROOT)],
        check=True, cwd=folder,
    )  # fmt: skip
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    pairs = (setting.removeprefix("spark.conf.").split("=") for setting in INTERPRETED)
    values = {"spark": {"conf": {"spark.sql.shuffle.partitions": 4, **dict(pairs)}}}
    for setting in SMALL:
        key, _, value = setting.partition("=")
        section, _, leaf = key.partition(".")
        if not leaf:
            values[section] = value
        elif section != "spark":
            values.setdefault(section, {})[leaf] = yaml.safe_load(value)
    file = tmp_path_factory.mktemp("config") / "small.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


def submit(wheel, folder, script, *arguments):
    environment = {
        **os.environ,
        "SPARK_HOME": os.path.dirname(pyspark.__file__),
        "PYSPARK_PYTHON": sys.executable,
        "NUMBA_CACHE_DIR": str(folder / "numba"),
    }
    environment.pop("PYTHONPATH", None)
    return subprocess.run(
        [os.path.join(os.path.dirname(pyspark.__file__), "bin", "spark-submit"),
         "--master", "local[2]", "--py-files", str(wheel), str(script), *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_the_wheel_brings_what_the_jobs_need(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("report.html.j2", "gallery.js"):
        assert f"noisescope_core/report/{name}" in names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "jobs"))]


@pytest.mark.slow
def test_stages_one_by_one_equal_all_at_once(wheel, config, dump, paper_run, tmp_path):
    script = tmp_path / "one_by_one.py"
    script.write_text(ONE_BY_ONE)
    folders = ["--images", str(dump.images), "--reference", str(dump.reference)]
    common = ["--config", str(config), "--out"]
    jobs = ",".join(str(ROOT / f"jobs/{stage}.py") for stage in (*STAGES, "detect"))
    done = submit(wheel, tmp_path, script, jobs, *common, str(tmp_path), *folders)
    assert done.returncode == 0, done.stderr[-2000:]
    # The editable checkout is on sys.path too.
    assert f"imported from {wheel}/" in done.stdout
    assert "24 of 60 images" in done.stdout
    for run in ("stages", "all"):
        assert verdict_rows(tmp_path / run) == verdict_rows(paper_run.out)
    assert (tmp_path / "all/report.html").exists()


def test_a_job_that_cannot_run_says_so_in_one_line(wheel, config, tmp_path):
    failed = submit(
        wheel, tmp_path, ROOT / "jobs/correlate.py", "--config", str(config),
        "--out", str(tmp_path / "nothing"),
    )  # fmt: skip
    assert failed.returncode == 1
    # spark-submit merges a Python driver's standard error into its standard output.
    said = failed.stdout + failed.stderr
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith("noisescope: ")]
    assert len(lines) == 1
    assert "no finished table" in lines[0]
