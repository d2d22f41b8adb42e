"""A scan and a run on an S3 server: every verdict, one GET an image, and no credential anywhere."""

import json
import os
import secrets
import subprocess
import sys
from collections import Counter
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

pytest.importorskip("pyspark")
pytest.importorskip("delta")
pytest.importorskip("moto")
boto3 = pytest.importorskip("boto3")

ROOT = Path(__file__).parents[2]
KEY, SECRET = "AKIANOISESCOPE", secrets.token_hex(20)
# One is gone when Spark asks how large it is, one when it reads it.
GONE = {"/pile/images/gone-1.jpg": "HEAD", "/pile/images/gone-2.jpg": "GET"}
# One is cut before Spark asks how large it is, one between that and its being read.
CUT = {"/pile/images/cut-1.jpg": "HEAD", "/pile/images/cut-2.jpg": "GET"}


def surroundings(endpoint, secret=SECRET, key=KEY):
    left_out = ("AWS_", "PYTEST_XDIST", "SPARK_REMOTE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return kept | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def command(env, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "noisescope_core.cli", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, env=env,
    )  # fmt: skip


@pytest.fixture(scope="module")
def endpoint():
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.spark.programs.s3_server", KEY],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
    server.terminate()
    server.wait()


@pytest.fixture(scope="module")
def client(endpoint):
    return boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
    )  # fmt: skip


@pytest.fixture(scope="module")
def told(endpoint, client, jars, tmp_path_factory):
    from noisescope_core.simulate import write_dump

    folder = tmp_path_factory.mktemp("s3")
    write_dump(folder / "dump", photographs=32, generated=28, reference=64, size=96, seed=3)
    sizes = {}
    for bucket in ("pile", "out"):
        client.create_bucket(Bucket=bucket)
    for kind in ("images", "reference"):
        for file in sorted((folder / "dump" / kind).iterdir()):
            # Names that a URI must quote.
            name = f"{kind}/a day/%20{file.name}"
            sizes[f"/pile/{name}"] = file.stat().st_size
            client.put_object(Bucket="pile", Key=name, Body=file.read_bytes())
    whole = next(file for file in (folder / "dump/reference").iterdir()).read_bytes()
    for path in GONE | CUT:
        client.put_object(Bucket="pile", Key=path.removeprefix("/pile/"), Body=whole)
    labels = (folder / "dump" / "labels.csv").read_text().split()
    fakes = {line.split(",")[0] for line in labels if ",fake," in line}
    sound = {line.split(",")[0] for line in labels if ",real," in line}
    denied = sorted(path for path in sizes if name_of(path) in sound)[:2]
    rules = {"vanish": GONE, "cut": CUT, "deny": denied}
    (folder / "rules.json").write_text(json.dumps(rules))
    done = subprocess.run(
        [sys.executable, "-m", "tests.spark.programs.s3_scan", str(folder), endpoint, jars],
        cwd=ROOT, capture_output=True, text=True, check=False, env=surroundings(endpoint),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "told.json").read_text()) | {
        "sizes": sizes, "folder": folder, "denied": denied, "printed": done.stdout + done.stderr,
        "fakes": {path for path in sizes if name_of(path) in fakes},
    }  # fmt: skip


def name_of(path):
    return path.rsplit("/", 1)[1].removeprefix("%20")


def images_of(told):
    return {path: size for path, size in told["sizes"].items() if path.startswith("/pile/images/")}


def by_path(rows):
    verdicts = {row["path"].removeprefix("s3a:/"): row for row in rows}
    assert len(verdicts) == len(rows)
    return verdicts


def test_every_object_has_a_verdict(told):
    verdicts = by_path(told["tables"]["verdicts"])
    assert verdicts.keys() == images_of(told).keys() | GONE.keys() | CUT.keys()
    fakes = {path for path, row in verdicts.items() if row["is_fake"]}
    assert len(fakes) > 20 and fakes <= told["fakes"]
    assert told["scan"]["found"] == 1


def test_jars_out_of_a_folder_ask_nothing_of_maven(told, jars):
    names = [file.name for file in Path(jars).glob("*.jar")]
    assert any("hadoop-aws" in name for name in names)
    assert any("delta-spark" in name for name in names)
    assert not list((told["folder"] / "ivy").rglob("*.jar"))


def test_without_maven_and_without_a_folder_both_ways_are_named(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    nowhere = " ".join(
        f"-D{scheme}.proxy{part}" for scheme in ("http", "https")
        for part in ("Host=127.0.0.1", "Port=9")
    )  # fmt: skip
    line = one_line(
        command(
            surroundings("") | {"JAVA_TOOL_OPTIONS": nowhere}, "scan",
            "--images", str(images), "--reference", str(images),
            "--tables", str(tmp_path / "tables"),
            "--set", f"spark.conf.spark.jars.ivy={tmp_path / 'ivy'}",
        ), 1,
    )  # fmt: skip
    assert "Spark lacks jars: let it reach Maven" in line
    assert "doctor --fetch-jars DIR" in line and "spark.jars=DIR" in line


def test_an_object_that_is_gone_is_quarantined(told):
    aside = {row["path"].removeprefix("s3a:/"): row for row in told["tables"]["quarantine"]}
    assert {aside[path]["reason"] for path in GONE} == {"gone since it was listed"}


def test_an_object_that_is_cut_before_it_is_read_is_quarantined(told):
    aside = {
        row["path"].removeprefix("s3a:/"): row["reason"] for row in told["tables"]["quarantine"]
    }
    damaged = "truncated or corrupt image data: get the file again"
    assert {path: aside[path] for path in CUT} == dict.fromkeys(CUT, damaged)


def test_a_refusal_is_no_quarantine_and_is_tried_again_by_the_next_scan(told):
    first = by_path(told["tables"]["verdicts"])
    for path in told["denied"]:
        assert (first[path]["status"], first[path]["is_fake"]) == ("unreadable", None)
        assert first[path]["reason"] == "could not be read (ACCESS_DENIED, tried 2 times)"
    queue = {
        row["path"].removeprefix("s3a:/"): row["tries"] for row in told["tables"]["unreadable"]
    }
    assert queue == dict.fromkeys(told["denied"], 1)
    assert told["scan"]["unreadable"] == 2
    # The files that were cut are others since then, and broken still.
    assert (told["second"]["files"], told["second"]["scored"]) == (2 + len(CUT), 2)
    assert told["after"]["unreadable"] == []
    denied = {f"s3a:/{path}" for path in told["denied"]}
    rows = [row for row in told["after"]["verdicts"] if row["path"] in denied]
    assert sorted(row["status"] for row in rows) == ["scored"] * 2 + ["unreadable"] * 2


def test_an_image_is_read_once_and_whole(told):
    gets, read = Counter(), Counter()
    for one in told["asked"]:
        if one["kind"] == "GET" and one["status"] in (200, 206):
            gets[one["path"]] += 1
            read[one["path"]] += one["bytes"]
    images = {
        path: size for path, size in images_of(told).items() if size and path not in told["denied"]
    }
    assert {path: gets[path] for path in images} == dict.fromkeys(images, 1)
    assert {path: read[path] for path in images} == images


def test_a_busy_server_changes_no_verdict(told):
    # Delta's commits met them, too.
    assert sum(one["status"] == 503 for one in told["asked"]) > len(told["asked"]) // 12
    assert any(one["status"] == 503 and "/_delta_log/" in one["path"] for one in told["asked"])
    scanned = by_path(told["tables"]["verdicts"])
    run = by_path(told["run"])
    assert run.keys() == images_of(told).keys() | CUT.keys()
    for path, row in run.items():
        if path in told["denied"]:
            continue
        for name in ("status", "is_fake"):
            assert row[name] == scanned[path][name], (path, name)


def test_a_busy_server_is_asked_again_for_what_is_smaller_than_its_refusal(
    told, endpoint, monkeypatch
):
    from noisescope_core.spark.tables.run import Run

    for name, value in surroundings(endpoint).items():
        monkeypatch.setenv(name, value)
    run = Run(None, "s3a://out/small")
    run.write_text("small.json", "[1]")

    def rules(**some):
        with urlopen(Request(f"{endpoint}/_rules", json.dumps(some).encode(), method="PUT")):
            pass

    rules(busy=3)
    try:
        assert [run.text("small.json") for _ in range(30)] == ["[1]"] * 30
        with urlopen(f"{endpoint}/_asked") as answer:
            refused = [one for one in json.load(answer) if one["status"] == 503]
        assert any(one["kind"] == "GET" for one in refused)
    finally:
        rules()


@pytest.mark.parametrize("shorter_by", [1, 2_500])
def test_an_object_that_becomes_shorter_ends_where_it_ends(
    shorter_by, endpoint, client, monkeypatch
):
    """Arrow gives back what lay in its memory for the rest."""
    from noisescope_core.tables.opened import OpenedFile

    for name, value in surroundings(endpoint).items():
        monkeypatch.setenv(name, value)
    client.create_bucket(Bucket="shorter")
    # The last byte is the one that a buffer has before it is filled.
    data = bytes(range(256)) * 20 + b"\xa7"
    client.put_object(Bucket="shorter", Key="file", Body=data)
    with OpenedFile("s3a://shorter/file", 2) as file:
        assert file.read(8_192) == data
        file.seek(0)
        client.put_object(Bucket="shorter", Key="file", Body=data[:-shorter_by])
        assert file.read(8_192) == data[:-shorter_by]


def test_no_credential_is_written(told, client):
    written = told["printed"].encode()
    for file in told["folder"].rglob("*"):
        if file.is_file() and "dump" not in file.parts:
            written += file.read_bytes()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="out")
    for one in (one for page in pages for one in page["Contents"]):
        written += client.get_object(Bucket="out", Key=one["Key"])["Body"].read()
    assert len(written) > 10_000
    assert SECRET.encode() not in written
    assert KEY.encode() not in written


def scanned(env, images="s3a://pile/images", *more):
    places = ("--images", images, "--reference", "s3a://pile/reference")
    return command(env, "scan", *places, "--tables", "s3a://out/other", *more)


def one_line(done, code):
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.splitlines()
    assert SECRET not in line
    return line


def test_a_store_that_cannot_be_used_is_one_line(endpoint, client):
    env = surroundings(endpoint)
    assert "s3a://nowhere: there is no such bucket" in one_line(
        scanned(env, "s3a://nowhere/images"), 1
    )
    refused = surroundings(endpoint, key="AKIAUNKNOWN")
    assert "the credentials found (environment, profile, instance) are refused" in one_line(
        scanned(refused), 1
    )
    silent = surroundings("http://127.0.0.1:9")
    assert "the endpoint http://127.0.0.1:9 does not answer" in one_line(scanned(silent), 1)


def test_credentials_in_a_uri_or_a_setting_are_refused_unquoted(endpoint):
    env = surroundings(endpoint)
    line = one_line(scanned(env, f"s3a://{KEY}:{SECRET}@pile/images"), 2)
    assert "credentials belong in the environment" in line
    setting = f"spark.conf.spark.hadoop.fs.s3a.secret.key={SECRET}"
    line = one_line(scanned(env, "s3a://pile/images", "--set", setting), 2)
    assert "spark.conf.spark.hadoop.fs.s3a.secret.key: credentials belong in the env" in line
