"""The schedules name what exists, and do what each exit code asks for."""

import ast
import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from noisescope_core.cli import main, task

ROOT = Path(__file__).parents[2]
SCHEDULES = ROOT / "schedules"
BUNDLE = SCHEDULES / "databricks/databricks.yml"
DAG_FILE = SCHEDULES / "airflow/noisescope_scan.py"
SCRIPT = SCHEDULES / "cron/noisescope-scan"


@pytest.fixture
def bundle():
    return yaml.safe_load(BUNDLE.read_text())


def only_task(bundle):
    (job,) = bundle["resources"]["jobs"].values()
    (one,) = job["tasks"]
    return one


def options_of(text):
    return set(re.findall(r"(?<![\w-])--[a-z-]+", text))


def check_scan_takes(options):
    known = {name for option in main.commands["scan"].params for name in option.opts}
    required = {option.opts[0] for option in main.commands["scan"].params if option.required}
    assert required <= options <= known


def test_the_bundle_refers_to_variables_that_exist(bundle):
    used = set(re.findall(r"\$\{var\.(\w+)\}", BUNDLE.read_text()))
    assert used == set(bundle["variables"])


def test_the_bundle_names_an_entry_point_and_a_project_that_exist(bundle):
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    one = only_task(bundle)
    wheel = one["python_wheel_task"]
    assert wheel["package_name"] == setup["metadata"]["name"]
    scripts = setup["options.entry_points"]["console_scripts"].split("\n")
    entries = dict(script.split(" = ") for script in scripts if script)
    module, function = entries[wheel["entry_point"]].split(":")
    assert getattr(sys.modules[module], function) is task.main
    (artifact,) = bundle["artifacts"].values()
    project = (BUNDLE.parent / artifact["path"]).resolve()
    assert project == ROOT
    assert artifact["build"].split()[-3:] == ["--wheel-dir", "dist", "."]


def test_every_target_has_a_cluster_or_an_environment_with_the_wheel(bundle):
    runs_on = {}
    for name, target in bundle["targets"].items():
        (job,) = target["resources"]["jobs"].values()
        (one,) = job["tasks"]
        assert one["task_key"] == only_task(bundle)["task_key"]
        if "environment_key" in one:
            (place,) = job["environments"]
            key, wheels = "environment_key", place["spec"]["dependencies"]
        else:
            (place,) = job["job_clusters"]
            key, wheels = "job_cluster_key", [library["whl"] for library in one["libraries"]]
        assert one[key] == place[key]
        (wheel,) = wheels
        assert (BUNDLE.parent / wheel).resolve().parent == ROOT / "dist"
        runs_on[name] = key.removesuffix("_key")
    clusters = dict.fromkeys(("dev", "prod", "prod_on_arrival"), "job_cluster")
    assert runs_on == clusters | {"prod_serverless": "environment"}


def test_the_bundle_scans_one_at_a_time_and_never_again_after_an_alert(bundle):
    (job,) = bundle["resources"]["jobs"].values()
    assert job["max_concurrent_runs"] == 1
    assert only_task(bundle)["max_retries"] == 0
    assert only_task(bundle)["python_wheel_task"]["parameters"][0] == "scan"
    check_scan_takes(options_of(" ".join(only_task(bundle)["python_wheel_task"]["parameters"])))


def test_a_job_has_the_clock_or_the_trigger_and_one_place(bundle):
    starts = {}
    for name, target in bundle["targets"].items():
        (job,) = target["resources"]["jobs"].values()
        starts[name] = [key for key in job if key in ("schedule", "trigger")]
    assert starts == {
        "dev": [], "prod": ["schedule"], "prod_on_arrival": ["trigger"],
        "prod_serverless": ["schedule"],
    }  # fmt: skip
    places = [target["workspace"] for name, target in bundle["targets"].items() if name != "dev"]
    assert places[0] == places[1] == places[2]


@pytest.mark.parametrize(
    ("code", "failure"), [(0, None), (2, "exit code 2: wrong usage"), (3, "3: a thr")]
)
def test_a_task_returns_or_fails_with_the_meaning(monkeypatch, code, failure):
    monkeypatch.setattr(task, "command_line", lambda: sys.exit(code))
    if failure is None:
        task.main()
    else:
        with pytest.raises(task.TaskFailed, match=failure):
            task.main()


def test_a_task_takes_its_parameters_from_sys_argv(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["noisescope-task", "scan", "--help"])
    task.main()
    assert "--tables" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["noisescope-task", "scan", "--images=x"])
    with pytest.raises(task.TaskFailed, match="exit code 2"):
        task.main()


def test_on_databricks_the_session_is_left_running(monkeypatch, spark, small_config):
    from noisescope_core.spark.session.start import start_session, stop_session

    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "18.0")
    stop_session(start_session(small_config))
    assert spark.range(3).count() == 3


def test_the_dag_calls_the_job_with_options_of_scan():
    tree = ast.parse(DAG_FILE.read_text())
    (command,) = (
        ast.literal_eval(node.value) for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMMAND"
    )  # fmt: skip
    job = command.index("{{ params.job }}")
    check_scan_takes(options_of(" ".join(command[job + 1 :])))
    named = set(re.findall(r"params\.(\w+)", DAG_FILE.read_text()))
    assert named == set(re.findall(r'"(\w+)": Param\(', DAG_FILE.read_text()))
    for place in re.findall(r"/opt/noisescope/((?!\.venv|dist)[\w./]+)", DAG_FILE.read_text()):
        assert (ROOT / place).exists()


def test_the_wheel_that_the_dag_names_is_the_one_that_is_built():
    from noisescope_core import __version__

    assert f"/dist/noisescope-{__version__}-py3-none-any.whl" in DAG_FILE.read_text()


def test_delta_is_that_of_the_tests():
    pytest.importorskip("delta")
    from noisescope_core.spark.session.jars import delta_package

    for file in (DAG_FILE, SCHEDULES / "cron/noisescope.conf"):
        assert re.findall(r"io\.delta:[\w.:-]+", file.read_text()) == [delta_package()]


def test_airflow_reads_the_dag_if_it_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    pytest.importorskip(
        "airflow.sdk", reason="Airflow is not installed: pip install apache-airflow"
    )
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(DAG_FILE.parent))
    assert not bag.import_errors
    dag = bag.dags["noisescope_scan"]
    assert dag.max_active_runs == 1
    assert dag.get_task("alert").retries == 0
    assert dag.get_task("scan").retry_delay > timedelta(minutes=15)


@pytest.fixture
def run(tmp_path):
    """Run the script where spark-submit only says what it was called with."""
    home = tmp_path / "home"
    (home / "schedules/cron").mkdir(parents=True)
    (home / "jobs").mkdir()
    (home / "dist").mkdir()
    shutil.copy(SCRIPT, home / "schedules/cron")
    shutil.copy(ROOT / "jobs/scan.py", home / "jobs")
    (home / "dist/noisescope-0.1.0-py3-none-any.whl").touch()
    (tmp_path / "bin").mkdir()
    submit = tmp_path / "bin/spark-submit"
    submit.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"json.dump(sys.argv[1:], open({str(tmp_path / 'called.json')!r}, 'w'))\n"
        "print('INFO of Spark')\nprint(os.environ['SAYS'])\nsys.exit(int(os.environ['CODE']))\n"
    )
    submit.chmod(0o755)

    def run(code=0, says="", settings=""):
        file = tmp_path / "my settings.conf"
        own = (SCHEDULES / "cron/noisescope.conf").read_text()
        file.write_text(f"{own}\nLOG='{tmp_path / 'log'}'\n{settings}\n")
        return subprocess.run(
            [home / "schedules/cron/noisescope-scan", file],
            capture_output=True, text=True, check=False,
            env={
                "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "CODE": str(code), "SAYS": says
            },
        )  # fmt: skip

    run.called = tmp_path / "called.json"
    run.log = tmp_path / "log"
    return run


def test_the_script_calls_the_job_with_options_of_scan(run):
    done = run(settings="CONFIG='/etc/my settings.yaml'")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    called = json.loads(run.called.read_text())
    (job,) = (at for at, word in enumerate(called) if word.endswith("/jobs/scan.py"))
    assert Path(called[job]).exists()
    check_scan_takes(set(called[job + 1 :: 2]))
    assert called[-1] == "/etc/my settings.yaml"
    assert called[called.index("--master") + 1] == "local[*]"
    assert Path(called[called.index("--py-files") + 1]).exists()
    assert "INFO of Spark" in run.log.read_text()


@pytest.mark.parametrize(
    ("code", "says", "subject"),
    [
        (1, "noisescope: another scan holds these tables", "the scan failed"),
        (2, "noisescope: --images: nowhere does not exist", "wrong usage or configuration"),
        (3, "ALERT flagged: 0.4 of the files", "a threshold of alerts was exceeded"),
        (137, "noisescope: killed", "the scan failed"),
    ],
)
def test_the_script_tells_what_somebody_has_to_look_at(run, code, says, subject):
    done = run(code, says)
    assert done.returncode == code
    first, *rest = done.stdout.splitlines()
    assert subject in first
    assert first.endswith(f"(exit code {code})")
    assert rest == [says]
    told = run(code, says, """NOTIFY='echo "told: $SUBJECT"; cat'""")
    assert told.returncode == code
    assert told.stdout == f"told: {first}\n{says}\n"


def test_a_failure_without_a_line_of_its_own_is_told_by_the_last_lines(run):
    assert run(1, "Traceback").stdout.splitlines()[1:] == ["INFO of Spark", "Traceback"]


def test_the_script_refuses_settings_that_lack_something(run):
    done = run(settings="TABLES=")
    assert done.returncode == 2
    assert "TABLES is not set" in done.stderr
    assert not run.called.exists()
    without = subprocess.run([SCRIPT], capture_output=True, text=True, check=False)
    assert without.returncode == 2
    assert "give a file of settings" in without.stderr
