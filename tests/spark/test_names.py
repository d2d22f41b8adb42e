"""Names are never patterns: what is listed, read again and streamed is the named folder.

Nor are names of catalogs and schemas parts of statements.
"""

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


def listed(spark, config, folder, access="executors", **more):
    """What scans see of a folder, by path."""
    from noisescope_core.spark.sources.listed import listed_files

    scans = config.scan.model_copy(update={"access": access})
    config = config.model_copy(update={"scan": scans})
    return {row.path: row for row in listed_files(spark, str(folder), config, **more).collect()}


@pytest.mark.parametrize("access", ["executors", "spark"])
def test_a_folder_is_listed_for_scans(spark, small_config, folder, access):
    (folder / "empty.png").touch()
    (folder / ".hidden.png").write_bytes(b"x")
    (folder / "half.png._COPYING_").write_bytes(b"x")
    rows = listed(spark, small_config, folder, access)
    # Spark passes over hidden names.
    hidden = {str(file) for file in folder.glob(".*")} if access == "executors" else set()
    assert rows.keys() == expected(folder).keys() | {str(folder / "empty.png")} | hidden
    assert rows[str(folder / "empty.png")].reason == "empty file (zero bytes)"
    for path, data in expected(folder).items():
        assert (rows[path].bytes, rows[path].reason) == (len(data), None)


def test_folders_are_listed_by_themselves_and_once(spark, small_config, tmp_path):
    from noisescope_core.spark.sources.listed import top_folders

    images = tmp_path / "images"
    names = ["top.png", "a/1.png", "a/b/2.png", "c [1]/3.png"]
    for name in names:
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_bytes(b"x")
    whole = {str(images / name) for name in names}
    folders = top_folders(spark, str(images), small_config)
    assert folders == [str(images / "a"), str(images / "c [1]"), str(images)]
    assert listed(spark, small_config, images).keys() == whole
    assert listed(spark, small_config, images, folders=folders[:1]).keys() == {
        str(images / "a/1.png"), str(images / "a/b/2.png")
    }  # fmt: skip
    with pytest.raises(Exception, match=r"nowhere: folder that cannot be listed"):
        listed(spark, small_config, tmp_path / "nowhere")


def test_a_file_is_new_if_its_path_size_or_time_is(spark):
    from noisescope_core.spark.scans.listing import unseen
    from noisescope_core.spark.sources.listed import LISTED

    class Seen:
        def read(self, table):
            rows = [("same", 1, 10_000), ("larger", 1, 10_000), ("later", 1, 10_000),
                    ("later", 1, 11_000), ("touched", 1, 10_000), ("old", None, None),
                    ("by milliseconds", 1, 10_999), ("gone", 1, 10_000)]  # fmt: skip
            return spark.createDataFrame(rows, "path string, bytes long, modified long")

    found = [("same", 1, 10_000), ("larger", 2, 10_000), ("later", 1, 11_000),
             ("touched", 1, 9_000), ("old", 7, 7), ("by milliseconds", 1, 10_000),
             ("new", 1, 10_000), ("undated", 1, None)]  # fmt: skip
    frame = spark.createDataFrame([(*row, None) for row in found], LISTED)
    rows = {row.path: row.replaced for row in unseen(Seen(), frame).collect()}
    assert rows == {"larger": True, "touched": True, "new": False, "undated": False}


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
