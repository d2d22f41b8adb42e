"""Names are never patterns: what is listed, read again and streamed is the named folder.

Nor are names of catalogs and schemas parts of statements.
"""

import os
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pyspark")

NAMES = ("IMG_1[1].png", "{a,b}.png", "10:20:30.png", "100%41%.png", "a b?*.png", "sound.png")


@pytest.fixture
def folder(tmp_path):
    """A folder with such names, beside others that its name would be a pattern of."""
    images = tmp_path / "up [1] {x,y}"
    for place in (images, tmp_path / "up 1 x", tmp_path / "up 1 y"):
        place.mkdir()
        (place / "other.png").write_bytes(b"other")
    (images / "other.png").unlink()
    for name in NAMES:
        (images / name).write_bytes(name.encode())
    (images / ".sound.png.crc").write_bytes(b"crc\0\0\0\2\0\1\2\3\4")
    return images


def contents(frame):
    from noisescope_core.app.places import plain_path

    return {plain_path(row.path): bytes(row.content) for row in frame.collect()}


def expected(folder):
    return {str(folder / name): name.encode() for name in NAMES}


def test_a_folder_is_listed_and_read(spark, small_config, folder):
    from noisescope_core.spark.sources.files import content_of, spark_files

    assert contents(content_of(spark_files(spark, str(folder)), small_config)) == expected(folder)


@pytest.mark.parametrize("scheme", ["", "file:"])
def test_files_are_read_again_by_their_paths(spark, small_config, folder, scheme):
    from noisescope_core.spark.sources.files import content_of, spark_files

    paths = [f"{scheme}{path}" for path in expected(folder)]
    assert contents(content_of(spark_files(spark, *paths), small_config)) == expected(folder)


def streamed(spark, config, folder, checkpoints):
    """What is new to a stream: contents by path."""
    from noisescope_core.spark.scans.arrivals import new_files

    seen = {}
    query = (
        new_files(spark, config, str(folder))
        .writeStream.foreachBatch(lambda batch, _: seen.update(contents(batch)))
        .option("checkpointLocation", str(checkpoints / "checkpoint"))
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    return seen


def test_a_folder_is_streamed(spark, small_config, folder, tmp_path):
    assert streamed(spark, small_config, folder, tmp_path) == expected(folder)


def test_the_date_of_a_file_hides_nothing(spark, small_config, tmp_path):
    images, seen = tmp_path / "images", {}
    images.mkdir()
    for delivery in ((2107, 2026), (2005, 1980, 1960)):
        for year in delivery:
            (images / f"{year}.png").write_bytes(str(year).encode())
            seconds = datetime(year, 5, 5, tzinfo=UTC).timestamp()
            os.utime(images / f"{year}.png", (seconds, seconds))
        seen |= streamed(spark, small_config, images, tmp_path)
    assert sorted(seen.values()) == [b"1960", b"1980", b"2005", b"2026", b"2107"]


def test_a_folder_in_circles_is_entered_once(spark, small_config, folder):
    from noisescope_core.spark.sources.files import content_of, spark_files

    (folder / "again").symlink_to(".")
    (folder / "sub").mkdir()
    (folder / "sub/up").symlink_to("..")
    assert contents(content_of(spark_files(spark, str(folder)), small_config)) == expected(folder)


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("main.noisescope", "`main`.`noisescope`.`runs`"),
        ("my-catalog.noise-scope", "`my-catalog`.`noise-scope`.`runs`"),
        ("`my-catalog`.x", "`my-catalog`.`x`.`runs`"),
        ("`a.b`.`c/d`", "`a.b`.`c/d`.`runs`"),
        ("./a.b", "delta.`./a.b/runs`"),
        ("a.b/", "delta.`a.b/runs`"),
        ("tables", "delta.`tables/runs`"),
        ("/my`tables/a.b", "delta.`/my``tables/a.b/runs`"),
        ("s3a://bucket.name/a.b", "delta.`s3a://bucket.name/a.b/runs`"),
    ],
)
def test_a_location_names_a_folder_or_a_schema(location, name):
    from noisescope_core.spark.scans.store import Store, is_schema

    assert Store(None, location).name("runs") == name
    assert is_schema(location) == (not name.startswith("delta."))


def test_spark_reads_any_name_of_a_schema_as_it_was_meant(spark):
    from noisescope_core.spark.scans.store import Store

    parser = spark._jsparkSession.sessionState().sqlParser()
    text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)

    @given(text, text)
    def reads(catalog, schema):
        location = ".".join("`{}`".format(part.replace("`", "``")) for part in (catalog, schema))
        parts = parser.parseMultipartIdentifier(Store(spark, location).name("runs"))
        assert [parts.apply(at) for at in range(parts.size())] == [catalog, schema, "runs"]

    reads()


def test_a_conflict_is_told_by_what_delta_says_and_not_by_a_stack():
    from noisescope_core.spark.scans.store import is_conflict

    stack = "\n\tat java.base/java.util.concurrent.ConcurrentHashMap.get(ConcurrentHashMap.java:9)"
    assert not is_conflict(ValueError(f"o58.sql: cannot read a.json{stack}"))
    assert not is_conflict(ValueError(f"Caused by: java.util.concurrent.ExecutionException{stack}"))
    assert is_conflict(ValueError(f"[DELTA_CONCURRENT_APPEND] files were added{stack}"))
    refused = ValueError("it failed")
    refused.__cause__ = ValueError("Caused by: io.delta.exceptions.ConcurrentWriteException: x")
    assert is_conflict(refused)
