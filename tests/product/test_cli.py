"""The command line: exit codes, one line for a mistake, what is printed."""

import contextlib
import json
import os
import subprocess
import sys

import psutil
import pyarrow.dataset as ds
import pytest

from tests.conftest import INTERPRETED, SMALL
from tests.runs import verdict_rows

pytestmark = pytest.mark.spark


def noisescope(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "noisescope_core.cli", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, env={**os.environ, **environment},
    )  # fmt: skip


def settings(*some):
    return [part for setting in some for part in ("--set", setting)]


QUICKLY = settings(*INTERPRETED)


def detect(images, reference, out, *more, **environment):
    return noisescope(
        "detect", "--images", images, "--reference", reference, "--out", out, *settings(*SMALL),
        *more, **environment,
    )  # fmt: skip


def few_of(folder, few, count):
    """Make a folder of links to the first files of another."""
    few.mkdir()
    for file in sorted(folder.iterdir())[:count]:
        (few / file.name).symlink_to(file)
    return few


def javas_of(cache):
    """JVMs that keep their classes below a folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == "java" and process.environ().get("XDG_CACHE_HOME") == str(cache):
                found.append(process)
    return found


@pytest.fixture(scope="module")
def detected(dump, tmp_path_factory):
    folder = tmp_path_factory.mktemp("detected")
    one_core = "--set", "spark.master=local[1]"
    # The first run of a user, who has no archive of Spark's classes.
    cache = {"XDG_CACHE_HOME": str(folder / "cache")}
    return folder / "out", detect(dump.images, dump.reference, folder / "out", *one_core, **cache)


def test_one_core_gives_the_verdicts_of_two(detected, paper_run):
    out, _ = detected
    assert len(verdict_rows(out)) == 60
    assert verdict_rows(out) == verdict_rows(paper_run.out)


def test_the_first_run_leaves_sparks_classes_for_the_next(detected, dump, tmp_path):
    out, done = detected
    assert done.returncode == 0, done.stderr
    kept = list((out.parent / "cache" / "noisescope").iterdir())
    assert [file.suffix for file in kept] == [".jsa"]
    before = kept[0].stat()
    log = tmp_path / "classes.log"
    told = f"spark.conf.spark.driver.extraJavaOptions=-Xlog:class+load:file={log}"
    cache = {"XDG_CACHE_HOME": str(out.parent / "cache")}
    more = ("--set", told, "--set", "spark.master=local[2]", "--quiet", "--json", *QUICKLY)
    few = few_of(dump.images, tmp_path / "few", 12)
    again = detect(
        few, few_of(dump.reference, tmp_path / "known", 30), tmp_path / "out", *more, **cache
    )
    assert again.stderr == ""
    assert "shared objects file (top)" in log.read_text()
    assert kept[0].stat().st_mtime_ns == before.st_mtime_ns
    places = {name: str(tmp_path / "out" / name) for name in ("report.html", "verdicts")}
    summary = json.loads((tmp_path / "out/summary.json").read_text(encoding="utf-8"))
    said = {"report": places["report.html"], "verdicts": places["verdicts"]}
    assert json.loads(again.stdout) == summary | said


def test_without_a_place_to_keep_them_classes_are_read_anew(monkeypatch, tmp_path):
    from noisescope_core.spark.session.jvm import java_options

    file = tmp_path / "file"
    file.touch()
    for place in (file, tmp_path / "a b"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(place))
        options = java_options(leave_classes=True)
        assert ".jsa" not in options and "Archive" not in options


def test_detect_says_what_it_does_and_where_the_report_is(detected):
    out, done = detected
    assert done.returncode == 0, done.stderr
    assert "24 of 60 images carry the fingerprint of 1 generator." in done.stdout
    assert f"Report: {out / 'report.html'}" in done.stdout
    assert (out / "report.html").exists()
    for stage in ("list", "extract", "reference", "calibrate", "correlate", "cluster", "score"):
        lines = [line for line in done.stderr.splitlines() if line.startswith(f"{stage:<10} ")]
        assert len(lines) == 1, done.stderr
    assert "1,770 pairs of 60 images" in done.stderr
    assert "Traceback" not in done.stderr
    assert "WARN" not in done.stderr


def test_nothing_to_score_is_a_failure_in_one_line_with_a_row_per_file(dump, tmp_path, monkeypatch):
    from noisescope_core.spark.session.jvm import java_options

    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.txt", "b.png"):
        (images / name).write_text("no image")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "Archive" not in java_options(leave_classes=False)
    reference = few_of(dump.reference, tmp_path / "reference", 3)
    done = detect(images, reference, tmp_path / "out", "--json", "--quiet", *QUICKLY)
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("noisescope: ")
    assert "nothing could be scored, all 2 files are set aside" in lines[0]
    assert ds.dataset(tmp_path / "out/verdicts").count_rows() == 2
    # Only a whole run leaves classes, when its JVM ends after it.
    psutil.wait_procs(javas_of(tmp_path), timeout=60)
    assert list((tmp_path / "noisescope").iterdir()) == []


def test_mistakes_are_told_before_spark_starts(dump, tmp_path):
    missing = detect(tmp_path / "nowhere", dump.reference, tmp_path / "out")
    assert missing.returncode == 2
    assert missing.stderr == f"noisescope: --images: {tmp_path / 'nowhere'} does not exist\n"
    wrong = detect(
        dump.images, dump.reference, tmp_path / "out", "--set", "t_merge=1", "--set", "seed=-1"
    )
    assert wrong.returncode == 2
    assert "did you mean calibration.t_merge?" in wrong.stderr
    assert "seed: input should be greater than or equal to 0" in wrong.stderr
    assert not (tmp_path / "out").exists()


def test_a_run_directory_that_cannot_be_made(dump, tmp_path):
    (tmp_path / "file").write_text("")
    done = detect(dump.images, dump.reference, tmp_path / "file")
    assert done.returncode == 2
    assert "cannot be written to" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_error_of_the_jvm_is_told_by_what_it_was():
    from noisescope_core.errors import first_line

    text = "An error occurred while calling o18.parquet.\n: java.io.IOException: disk full\n\tat x"
    assert first_line(Exception(text)) == "java.io.IOException: disk full"
    assert first_line(Exception("no such file\nmore")) == "no such file"
    assert first_line(KeyError()) == "KeyError"
