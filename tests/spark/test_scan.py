"""Scheduled scans on real Delta tables: days of arrivals, one of which dies before its commit."""

import re
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("pyspark")
pytest.importorskip("delta")

from tests.spark.programs.scan_days import ATTACKS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def told(scans_told):
    return scans_told("scan")


def latest(told):
    verdicts = {}
    for row in sorted(
        told["tables"]["verdicts"], key=lambda row: (row["registry_version"], row["scan"])
    ):
        verdicts[row["path"]] = row
    return verdicts


def waiting(told):
    return [row for row in told["tables"]["arrivals"] if row["features"]]


def test_every_file_delivered_has_a_verdict_and_is_counted_once(told):
    verdicts = latest(told)
    delivered = len(told["files"]) + 4 + len(ATTACKS)
    assert len(verdicts) == delivered
    scans = [day for day in told["days"] if "scan" in day]
    # The last finds nothing new and writes nothing.
    assert [day["scan"] for day in scans] == [1, 2, 3, 4, 4]
    assert sum(day["files"] for day in scans) == delivered
    for day in scans:
        assert day["scored"] + day["unscored"] + day["quarantined"] == day["files"]
    keys = Counter((row["path"], row["registry_version"]) for row in told["tables"]["verdicts"])
    assert set(keys.values()) == {1}
    current = {row["path"]: row for row in told["tables"]["current_verdicts"]}
    assert len(current) == len(told["tables"]["current_verdicts"]) and current == verdicts
    assert {row["path"] for row in told["tables"]["seen"]} == set(verdicts)
    (empty,) = (row for path, row in verdicts.items() if path.endswith("/empty.jpg"))
    assert (empty["status"], empty["reason"]) == ("quarantined", "empty file (zero bytes)")
    aside = {row["path"] for row in told["tables"]["quarantine"]}
    assert aside == {p for p, row in verdicts.items() if row["status"] == "quarantined"}


def test_a_generator_is_found_once_although_a_tenth_of_the_reference_is_its(told):
    days = [day for day in told["days"] if "scan" in day]
    assert [day["found"] for day in days] == [0, 1, 0, 0, 0]
    (fingerprint,) = told["tables"]["fingerprints"]
    assert fingerprint["state"] == "candidate"
    assert (fingerprint["first_scan"], fingerprint["registry_version"]) == (2, 1)
    fake = {row["fingerprint_id"] for row in latest(told).values() if row["is_fake"]}
    assert fake == {fingerprint["fingerprint_id"]}
    # The first day's twelve were too few to find it; they are judged again once it is found.
    assert (days[0]["scored"], days[0]["unscored"]) == (11, 0)
    of_first = [row for path, row in latest(told).items() if "/1/" in path and row["is_fake"]]
    assert len(of_first) == days[1]["rejudged"] > 0
    flagged = {Path(p).name for p, row in latest(told).items() if row["is_fake"]}
    known = flagged & set(told["files"])
    assert known <= set(told["made"])
    assert len(known) >= 0.9 * len(told["made"])
    ids = {row["image_id"] for row in waiting(told)}
    claimed = {row["image_id"] for row in latest(told).values() if row["is_fake"]}
    assert ids and not ids & claimed
    assert not any(row["thumbnail"] for row in told["tables"]["arrivals"])


def test_an_image_is_one_row_and_each_of_its_paths_has_a_verdict(told):
    rows = told["tables"]["images"]
    assert len({row["image_id"] for row in rows}) == len(rows)
    paths = {}
    for row in latest(told).values():
        if row["image_id"]:
            paths.setdefault(row["image_id"], set()).add(row["path"])
    assert set(paths) == {row["image_id"] for row in rows}
    twice = {image for image, names in paths.items() if len(names) > 1}
    first = {row["image_id"]: row["first_scan"] for row in rows}
    of_first = [image for image in twice if any("/1/" in name for name in paths[image])]
    assert of_first and all(first[image] == 1 for image in of_first)


def test_a_scan_that_died_is_done_by_the_next_and_nothing_is_left_of_it(told):
    names = [day.get("scan", "died") for day in told["days"][1:]]
    assert names == [1, 2, "died", 3, 4, 4]
    # The fourth day's files wait while the next scan finishes the third day's.
    assert [day["files"] for day in told["days"] if "scan" in day] == [
        12, 79, len(told["files"]) - 90 + 1, 2 + len(ATTACKS), 0,
    ]  # fmt: skip
    # But what the next search needs not extract again.
    assert [name.partition("-")[0] for name in told["left"]] == ["reference"]
    assert [row["scan"] for row in sorted(told["tables"]["runs"], key=lambda r: r["scan"])] == [
        1, 2, 3, 4,
    ]  # fmt: skip


def test_two_scans_at_once_are_one_refusal(told):
    assert "another scan holds these tables (elsewhere:1)" in told["days"][0]["refused"]
    (lease,) = told["tables"]["lease"]
    assert lease["owner"] == ""


@pytest.mark.parametrize("name", ATTACKS)
def test_a_name_made_to_attack_is_a_name(told, name):
    (path,) = (path for path in latest(told) if path.endswith(f"/4/{name}"))
    assert latest(told)[path]["status"] == "scored"
    assert sum(row["path"] == path for row in told["tables"]["seen"]) == 1


def test_an_image_made_to_exhaust_memory_is_set_aside(told):
    (row,) = (row for row in latest(told).values() if "decode.max_pixels" in str(row["reason"]))
    assert row["status"] == "quarantined"


def test_columns_that_others_add_stay_and_are_null_in_what_is_written(told):
    assert {name: len(rows) for name, rows in told["tenants"].items()} == {
        name: len(rows) for name, rows in told["tables"].items()
    }
    assert {tenant for tenants in told["tenants"].values() for tenant in tenants} == {None}
    assert not any("tenant" in row for rows in told["tables"].values() for row in rows)


@pytest.mark.parametrize("table", ["verdicts", "current_verdicts", "images", "quarantine", "runs"])
def test_programs_without_spark_read_the_tables(scheduled_scans, told, table):
    deltalake, polars, duckdb = map(pytest.importorskip, ("deltalake", "polars", "duckdb"))
    place = str(scheduled_scans("scan") / "scan/tables" / table)
    stored = deltalake.DeltaTable(place)
    assert stored.protocol().min_reader_version == 1
    rows = len(told["tables"][table])
    assert polars.read_delta(place).height == rows
    dataset = stored.to_pyarrow_dataset()
    assert duckdb.sql("SELECT count(*) FROM dataset").fetchall() == [(rows,)]
    assert dataset.count_rows() == rows


def test_a_damaged_log_is_told_in_one_line_that_names_the_table(told):
    code, said = told["damaged"]
    assert code == 1
    *_, error = said.splitlines()
    # The table that was about to be changed may have been another.
    assert re.search(r"^noisescope: .*/tables: table \w+ cannot be .*seen/_delta_log", error)
    assert said.count("noisescope: ") == 1


def test_the_page_of_tables_is_the_schemas():
    from noisescope_core.tables.schemas import LONG_LIVED, SCHEMAS

    page = (ROOT / "docs/scheduled.md").read_text(encoding="utf-8")
    documented = {}
    for section in re.split(r"^### ", page, flags=re.M)[1:]:
        name, _, body = section.partition("\n")
        documented[name] = re.findall(r"^\| (\w+) \| ([\w<>]+) \|", body, flags=re.M)[1:]
    columns = {
        name: [tuple(column.split()) for column in schema.split(",")]
        for name, schema in (LONG_LIVED | {f"_{k}": v for k, v in SCHEMAS.items()}).items()
    }
    # These have the columns of a run's table, too.
    for name, of in (("fingerprints", "fingerprints"), ("arrivals", "arrivals")):
        documented[name] += columns[f"_{of}"]
    for name in ("verdicts", "current_verdicts"):
        documented[name] = columns["_verdicts"] + documented[name]
    tables = {name: documented.get(name) for name in LONG_LIVED}
    assert tables == {name: columns[name] for name in LONG_LIVED}


def test_what_cannot_be_scanned_is_refused_before_spark_starts(dump, tmp_path, capsys):
    from noisescope_core.cli import main

    place = ["--images", str(dump.images), "--reference", str(dump.reference)]
    for more, said in (
        (["--set", "method=paper"], "scan knows the method whitened alone"),
        (["--set", "residual.denoiser=blur"], "scan knows the denoiser wavelet alone"),
        (["--set", "scan.gather=0"], "scan.gather: input should be greater than or equal to 1"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["scan", *place, "--tables", str(tmp_path), *more])
        assert ended.value.code == 2
        assert said in capsys.readouterr().err


def test_a_folder_without_the_jars_is_named(tmp_path):
    from noisescope_core.errors import UsageError
    from noisescope_core.spark.session.jars import jar_settings

    with pytest.raises(UsageError, match=r"spark\.jars: .* is no folder with Delta's jars"):
        jar_settings(str(tmp_path), delta=True)
    (tmp_path / "delta.jar").touch()
    settings = jar_settings(str(tmp_path), delta=True)
    assert settings["spark.jars"] == str(tmp_path / "delta.jar")
    assert "spark.jars.packages" not in settings
    with pytest.raises(UsageError, match=r"spark\.jars: .* is no folder with S3's jars"):
        jar_settings(str(tmp_path), delta=True, s3=True)


def test_jars_are_fetched_for_what_is_used_alone():
    from noisescope_core.spark.session.jars import jar_settings

    assert jar_settings(None) == {}
    delta = jar_settings(None, delta=True)["spark.jars.packages"]
    assert delta.startswith("io.delta:delta-spark_") and "hadoop-aws" not in delta
    s3 = jar_settings(None, s3=True)
    assert s3["spark.jars.packages"].startswith("org.apache.hadoop:hadoop-aws:")
    assert "spark.sql.extensions" not in s3
