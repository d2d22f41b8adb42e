"""Spark Connect: the same verdicts from a server that lends neither RDD nor SparkContext."""

import ast
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from tests.conftest import INTERPRETED, SMALL
from tests.runs import verdict_rows

pyspark = pytest.importorskip("pyspark")
for package in ("grpc", "grpc_status", "google.rpc"):
    pytest.importorskip(package, reason="Spark Connect needs: pip install 'noisescope[spark]'")

ROOT = Path(__file__).parents[2]

# A notebook on serverless compute: its session is there before NoiseScope, SPARK_REMOTE is not.
# The client is without a JVM, as of pyspark-client, and the session refuses most settings.
SERVERLESS = """
import sys
sys.modules |= {"py4j": None, "pyspark.core": None}
from pyspark.sql import SparkSession
from pyspark.sql.connect.conf import RuntimeConf
from pyspark.util import is_remote_only

TAKEN = {"spark.sql.session.timeZone", "spark.sql.shuffle.partitions", "spark.sql.ansi.enabled",
         "spark.sql.legacy.timeParserPolicy", "spark.databricks.execution.timeout"}
change = RuntimeConf.set, RuntimeConf.unset

def refusing(changed):
    def method(conf, key, *setting):
        if key not in TAKEN:
            raise RuntimeError(f"[CONFIG_NOT_AVAILABLE] Configuration {key} is not available.")
        return changed(conf, key, *setting)
    return method

RuntimeConf.set, RuntimeConf.unset = map(refusing, change)

from noisescope_core import api
from noisescope_core.config import load_config
from noisescope_core.spark.session import workers
from noisescope_core.spark.session.start import session_settings, start_session

url, images, reference, out, *settings = sys.argv[1:]
assert is_remote_only()
spark = SparkSession.builder.remote(url).getOrCreate()
config = load_config(None, settings)
assert start_session(config) is spark

def held():
    # Delta itself sets others, which say how Parquet names columns.
    return {key: is_ for key, is_ in spark.conf.getAll.items() if ".fieldId." not in key}

before = held()
with session_settings(spark, config) as refused:
    assert spark.conf.get("spark.sql.shuffle.partitions") == "4"
    assert "spark.sql.execution.arrow.maxBytesPerBatch" in refused, refused
    assert not TAKEN.intersection(refused)
workers.INSIDE = 1000
api.detect(images, reference, out, config)
assert held() == before
assert spark.range(3).count() == 3
"""

MASTER = """
import sys
from noisescope_core.config import load_config
from noisescope_core.spark.session.start import session_settings, start_session

config = load_config(None, ["spark.master=" + sys.argv[1]])
spark = start_session(config)
before = spark.conf.getAll
with session_settings(spark, config) as refused:
    assert not refused, refused
    assert spark.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch") == "64"
assert spark.conf.getAll == before
print(type(spark).__module__, spark.range(7).count())
"""


@pytest.fixture(scope="module")
def server(jars, tmp_path_factory):
    """A Connect server in a process of its own; its workers import this checkout."""
    from noisescope_core.spark.session.jars import jar_settings
    from noisescope_core.spark.session.start import AT_START

    folder = tmp_path_factory.mktemp("server")
    home = os.path.dirname(pyspark.__file__)
    settings = {"spark.connect.grpc.binding.port": "0", "spark.ui.enabled": "false", **AT_START}
    # Out of the cache that `jars` has filled.
    settings |= jar_settings(None, delta=True)
    log = folder / "server.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [os.path.join(home, "bin", "spark-submit"), "--master", "local[2]",
             *[word for key, value in settings.items() for word in ("--conf", f"{key}={value}")],
             "--class", "org.apache.spark.sql.connect.service.SparkConnectServer",
             "spark-internal"],
            cwd=folder, stdout=file, stderr=file,
            env=environment(SPARK_HOME=home, PYSPARK_PYTHON=sys.executable),
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 300
        while not (started := re.search(r"server started at: .*:(\d+)", log.read_text())):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.2)
        yield f"sc://localhost:{started[1]}"
    finally:
        process.terminate()
        process.wait(60)


def environment(**more):
    kept = {
        key: value
        for key, value in os.environ.items()
        if key != "SPARK_REMOTE" and not key.lower().endswith("_proxy")
    }
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def client(*arguments, **more):
    done = subprocess.run(
        [sys.executable, *arguments], env=environment(**more), capture_output=True, text=True,
        timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def classic(run):
    """Verdicts of a run in the session of the tests."""
    rows = verdict_rows(run.out)
    assert sum(row["is_fake"] for row in rows) == 24
    return rows


def test_the_command_over_connect_equals_classic(server, paper_run, dump, tmp_path):
    said = client(
        "-m", "noisescope_core.cli", "detect", "--images", str(dump.images),
        "--reference", str(dump.reference), "--out", str(tmp_path / "run"),
        *[word for setting in (*SMALL, *INTERPRETED) for word in ("--set", setting)],
        SPARK_REMOTE=server,
    )  # fmt: skip
    assert "24 of 60 images" in said
    assert verdict_rows(tmp_path / "run") == classic(paper_run)


def test_a_notebook_on_serverless_compute_equals_classic(server, whitened_run, dump, tmp_path):
    # Fingerprints too large for one message; workers.INSIDE makes these too large.
    client(
        "-c", SERVERLESS, server, str(dump.images), str(dump.reference), str(tmp_path),
        *SMALL, *INTERPRETED, "method=whitened",
    )  # fmt: skip
    assert verdict_rows(tmp_path) == classic(whitened_run)


@pytest.mark.slow
def test_the_notebook_of_scheduled_scans_over_connect(server, tmp_path):
    # The other notebooks run in tests/product/test_notebooks.py.
    settings = (
        "scan.gather=50", "spark.conf.spark.sql.shuffle.partitions=2", *INTERPRETED,
    )  # fmt: skip
    asked = {"WORK": tmp_path, "SETTINGS": " ".join(settings), "PHOTOGRAPHS": 30,
             "GENERATED": 56, "REFERENCE": 60}  # fmt: skip
    said = client(
        str(ROOT / "notebooks/05_scheduled_scan.py"), SPARK_REMOTE=server,
        **{f"NOISESCOPE_{name}": str(value) for name, value in asked.items()},
    )  # fmt: skip
    first, second = map(ast.literal_eval, re.findall(r"^{'scan'.*}$", said, re.M))
    assert (first["found"], second["found"]) == (1, 0)
    assert first["quarantined"] + second["quarantined"] == 5
    assert first["fake"] + second["fake"] >= 48
    assert re.search(r" candidate confirmed .* an analyst +2$", said, re.M)
    assert re.search(r"^ +real +\d+ +0 +1$", said, re.M), "photographs are flagged"
    (picture,) = re.findall(r"^figure: (.*)$", said, re.M)
    assert Path(picture).read_bytes().startswith(b"\x89PNG")
    rows = [
        row for file in tmp_path.glob("scans-*/tables/verdicts/*.parquet")
        for row in ds.dataset(file).to_table().to_pylist()
    ]  # fmt: skip
    assert len({row["path"] for row in rows}) == len(rows) == first["files"] + second["files"]


def test_the_master_may_be_a_connect_server(server):
    assert client("-c", MASTER, server).split() == ["pyspark.sql.connect.session", "7"]


def test_a_server_that_is_not_there_is_told_in_one_line(dump, tmp_path):
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "noisescope_core.cli", "detect", "--images", str(dump.images),
             "--reference", str(dump.reference), "--out", str(tmp_path / "run"),
             "--set", f"spark.master=sc://localhost:{port}/;token=secret"],
            env=environment(), capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"noisescope: no Spark Connect server answers at sc://localhost:{port} ("
    )
    assert done.stderr.count("\n") == 1
