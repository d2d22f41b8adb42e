"""The command that runs an experiment."""

import subprocess
import sys

from tests.experiment_files import written


def experiment_command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "noisescope_core.cli", "experiment", *map(str, arguments)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_the_command_runs_a_file_and_prints_its_summary(tmp_path, experiment_sets):
    file = written(tmp_path)
    done = experiment_command("run", file, "--data", experiment_sets, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "a test: 4 answers by 2 methods, 0 are there; 2 batches" in done.stderr
    assert "azimuthal" in done.stdout
    assert f"Summary: {tmp_path / 'out/summary.md'}" in done.stdout
    wrong = experiment_command("run", file, "--data", tmp_path, "--out", tmp_path / "other")
    assert wrong.returncode == 2
    assert wrong.stderr.count("is not a folder") == 2
    assert "Traceback" not in wrong.stderr
    assert not (tmp_path / "other").exists()
