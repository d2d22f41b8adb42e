"""Processes that die: executors in the middle of stages, the driver between them. Nothing is lost.

Real processes and SIGKILL. Executors are frozen first, so that the one that is killed surely holds
a task.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import psutil
import pyarrow.dataset as ds
import pytest

from tests.conftest import INTERPRETED, SMALL

pytest.importorskip("pyspark")
import pyspark

from noisescope_core.spark.tables.run import UNFINISHED
from noisescope_core.tables.schemas import SCHEMAS

ROOT = Path(__file__).parents[2]
LIMIT = 300
"""Seconds after which a test gives up waiting."""


def launched(words, log, **environment):
    """Start a process of its own, all that it says in a file."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    with log.open("w") as stream:
        return subprocess.Popen(
            words, stdout=stream, stderr=stream, env=environment, start_new_session=True
        )


def noisescope(dump, out, settings, log, **environment):
    """Start `noisescope detect` as a process of its own, what it says in a file."""
    command = [
        sys.executable, "-m", "noisescope_core.cli", "detect", "--images", str(dump.images),
        "--reference", str(dump.reference), "--out", str(out),
        *(part for setting in settings for part in ("--set", setting)),
    ]  # fmt: skip
    return launched(command, log, **environment)


def wait_until(condition, process):
    """Wait for something that a running process does; give back what the condition gave."""
    limit = time.monotonic() + LIMIT
    while not (found := condition()):
        assert process.poll() is None, "the process ended before its time"
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.005)
    return found


def kill_tree(process):
    """Kill a process and all that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        tree = psutil.Process(process.pid)
        for one in [tree, *tree.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    process.wait()


@pytest.fixture
def started():
    """Processes of a test, none of which outlives it."""
    processes = []
    yield processes
    for process in processes:
        kill_tree(process)


def verdicts(out):
    return ds.dataset(out / "verdicts").to_table().sort_by("path")


def spark_home(folder):
    # A local cluster writes what its executors do below SPARK_HOME, wherever SPARK_WORKER_DIR is.
    folder.mkdir()
    for name in ("bin", "jars"):
        (folder / name).symlink_to(Path(pyspark.__file__).parent / name)
    return str(folder)


class Cluster:
    """The executors of a running driver, as the system and as Spark see them."""

    def __init__(self, process, port, events, parents=()):
        self.process, self.events, self.parents = process, events, parents or [process]
        self.api = f"http://localhost:{port}/api/v1/applications"

    def executors(self):
        """Executor ids to processes."""
        found = {}
        parents = [psutil.Process(parent.pid) for parent in self.parents]
        for child in (one for parent in parents for one in parent.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, ValueError):
                words = child.cmdline()
                if "org.apache.spark.executor.CoarseGrainedExecutorBackend" in words:
                    found[words[words.index("--executor-id") + 1]] = child
        return found

    def ask(self, what):
        (application,) = json.load(urlopen(self.api, timeout=30))
        return json.load(urlopen(f"{self.api}/{application['id']}/{what}", timeout=30))

    def logged(self, event, start=0):
        """Events of one kind in Spark's event log, from a byte on."""
        (file,) = self.events.iterdir()
        with file.open("rb") as stream:
            stream.seek(start)
            lines = stream.read().split(b"\n")[:-1]
        return [json.loads(line) for line in lines if b'"Event":"%s"' % event.encode() in line]

    def kill_one_at_work(self, step):
        """Kill an executor in the middle of a task of the next job with this step in its plan."""
        (file,) = self.events.iterdir()
        start = file.stat().st_size

        def jobs():
            found = self.logged("SparkListenerJobStart", start)
            return [job["Stage IDs"] for job in found if step in json.dumps(job["Stage Infos"])]

        while True:
            known = self.executors()
            seen = len(jobs())
            wait_until(lambda seen=seen: len(jobs()) > seen, self.process)
            for executor in known.values():
                executor.suspend()
            # An end that was on its way when its sender was frozen has arrived by then.
            time.sleep(0.5)
            running = {
                task["executorId"]: stage["stageId"]
                for stage in self.ask("stages?status=active&details=true")
                for task in stage["tasks"].values()
                if task["status"] == "RUNNING" and stage["stageId"] in jobs()[-1]
            }
            killed = min(running.keys() & known.keys(), default=None)
            if killed:
                known[killed].kill()
                psutil.wait_procs([known[killed]], timeout=30)
            for number, executor in known.items():
                if number != killed:
                    executor.resume()
            if killed:
                return killed, running[killed]


def free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def observed(master, events, port):
    """Settings of a run on a cluster whose executors and events can be looked at."""
    events.mkdir()
    return [
        *(setting for setting in SMALL if not setting.startswith("spark.master")),
        # Planned from stage to stage, what reads a shuffle is a job of its own.
        *(setting for setting in INTERPRETED if "adaptive" not in setting),
        f"spark.master={master}",
        "spark.conf.spark.ui.enabled=true",
        f"spark.conf.spark.ui.port={port}",
        "spark.conf.spark.ui.liveUpdate.period=0",
        "spark.conf.spark.eventLog.enabled=true",
        f"spark.conf.spark.eventLog.dir={events}",
        "spark.conf.spark.eventLog.compress=false",
        "spark.conf.spark.eventLog.rolling.enabled=false",
    ]


@pytest.fixture
def standalone(tmp_path, started):
    """A master and two workers of one core: its URL, and the workers, whose children work."""
    spark_class = os.path.join(os.path.dirname(pyspark.__file__), "bin", "spark-class")
    port = free_port()

    def daemon(name, *words):
        log = tmp_path / f"{name}-{len(started)}.log"
        command = [spark_class, f"org.apache.spark.deploy.{name.lower()}.{name}", *words]
        started.append(launched(command, log, SPARK_LOCAL_IP="127.0.0.1"))
        return started[-1]

    url = f"spark://localhost:{port}"
    daemon("Master", "--host", "localhost", "--port", str(port), "--webui-port", "0")
    workers = [
        daemon("Worker", "--cores", "1", "--memory", "1g", "--webui-port", "0",
               "--work-dir", str(tmp_path / "work"), url)
        for _ in range(2)
    ]  # fmt: skip
    return url, workers


@pytest.mark.slow
def test_a_scan_on_a_standalone_cluster_loses_an_executor_and_nothing_else(
    paper_run, dump, tmp_path, started, standalone
):
    url, workers = standalone
    known, out, log = str(paper_run.out), str(tmp_path / "out"), str(tmp_path / "log")
    events, port = tmp_path / "events", free_port()
    settings = [
        *observed(url, events, port),
        "spark.conf.spark.driver.host=localhost",
        "spark.conf.spark.scheduler.minRegisteredResourcesRatio=1",
    ]
    command = [
        sys.executable, str(ROOT / "jobs/known.py"), "--images", str(dump.images),
        "--fingerprints", known, "--out", out,
        *(part for setting in settings for part in ("--set", setting)),
    ]  # fmt: skip
    process = launched(command, Path(log))
    started.append(process)
    cluster = Cluster(process, port, events, workers)
    wait_until(lambda: "list   " in Path(log).read_text(), process)
    number, _ = cluster.kill_one_at_work("InArrow")
    assert process.wait(LIMIT) == 0, Path(log).read_text()

    reasons = {
        (end["Task Info"]["Executor ID"], end["Task End Reason"]["Reason"])
        for end in cluster.logged("SparkListenerTaskEnd")
    }
    assert (number, "ExecutorLostFailure") in reasons
    assert len({executor for executor, reason in reasons if reason == "Success"}) > 1
    assert verdicts(Path(out)).equals(verdicts(paper_run.out))


@pytest.mark.slow
def test_killed_executors_change_nothing(paper_run, dump, tmp_path, started):
    out, log = tmp_path / "out", tmp_path / "log"
    events, port = tmp_path / "events", free_port()
    settings = observed("local-cluster[2,1,1024]", events, port)
    process = noisescope(dump, out, settings, log, SPARK_HOME=spark_home(tmp_path / "home"))
    started.append(process)
    cluster = Cluster(process, port, events)

    killed = {}
    for stage, begun, step in (
        ("correlate", "correlate: ", "InArrow"),
        # Reads what was shuffled, of which the killed executor takes its share along.
        ("cluster", " merged, ", "FlatMapGroupsInArrow"),
        ("score", "\ncluster   ", "InArrow"),
    ):
        wait_until(lambda begun=begun: begun in log.read_text(), process)
        number, spark_stage = cluster.kill_one_at_work(step)
        assert f"\n{stage:<10} " not in log.read_text(), f"{stage} was over before the kill"
        killed[number] = spark_stage
    assert process.wait(LIMIT) == 0, log.read_text()

    assert len(killed) == 3
    lost = {
        (end["Task Info"]["Executor ID"], end["Stage ID"])
        for end in cluster.logged("SparkListenerTaskEnd")
        if end["Task End Reason"]["Reason"] == "ExecutorLostFailure"
    }
    assert lost == set(killed.items())
    assert verdicts(out).equals(verdicts(paper_run.out))
    assert verdicts(out).num_rows == len(os.listdir(dump.images))


@pytest.mark.slow
def test_a_killed_driver_continues_where_it_was(whitened_run, dump, tmp_path, started):
    settings = (*SMALL, *INTERPRETED, "method=whitened")
    out, log = tmp_path / "out", tmp_path / "log"
    killed = noisescope(dump, out, settings, log)
    started.append(killed)
    wait_until((out / "scores/_temporary").exists, killed)
    kill_tree(killed)
    finished = {file.parent.name: file.stat().st_mtime_ns for file in out.glob("*/_SUCCESS")}
    assert finished.keys() == set(SCHEMAS) - {
        "correlations", "merging", "headers", "candidates", "sample", "arrivals", "scans", "scores",
        "verdicts",
    }  # fmt: skip
    assert not (out / "report.html").exists()

    again = noisescope(dump, out, settings, log)
    started.append(again)
    assert again.wait(LIMIT) == 0, log.read_text()
    said = log.read_text().splitlines()
    assert [line.split()[0] for line in said if "kept from the unfinished run" in line] == [
        "extract", "calibrate", "correlate", "cluster",
    ]  # fmt: skip
    assert [line.split()[0] for line in said if " s  " in line] == ["score"]
    for table, time_written in finished.items():
        assert (out / table / "_SUCCESS").stat().st_mtime_ns == time_written, table
    assert (out / "report.html").exists() and not (out / UNFINISHED).exists()
    assert verdicts(out).equals(verdicts(whitened_run.out))
