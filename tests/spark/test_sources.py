"""The same bytes come out of folders, archives and tables, and by the same names again."""

import os
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from noisescope_core.app.original import read_original
from noisescope_core.archives import MARK
from noisescope_core.config import load_config
from noisescope_core.errors import NoiseScopeError, UsageError
from noisescope_core.tables.schemas import SCHEMAS, types_in
from tests.runs import run_detect

pytest.importorskip("pyspark")

FILES = {f"{k:02d} [a] {{b}}.jpg": bytes([k]) * (50 * k + 1) for k in range(12)}
PACKED = ("x.tar", "y.tar.gz", "z.zip")
CONFIG = load_config(None, ["spark.batch_bytes=65536"])


def write_archive(path, files):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, data in files.items():
            source = path.parent / "member"
            source.write_bytes(data)
            archive.add(source, name)
            source.unlink()


def write_table(folder, rows, schema, files=2):
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(rows, schema)
    for number in range(files):
        part = table.slice(number * len(rows) // files, len(rows) // files)
        pq.write_table(part, folder / f"{number} [1].parquet")


def hugging_face(folder, rows):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("label", pa.int64()), ("image", kind)])
    write_table(folder / "data", [{"label": 0, "image": row} for row in rows], schema)
    (folder / "README.md").write_text("a dataset")


def listed(spark, location, config=CONFIG):
    from noisescope_core.spark.sources.source import list_source

    return list_source(spark, str(location), "image", config)


def read(spark, location, config=CONFIG, paths=None):
    """What is read of a location: bytes, or the reason why not, by path."""
    from pyspark.sql import functions as F

    from noisescope_core.spark.sources.source import read_listed

    listing = listed(spark, location, config)
    rows = listing.frame(spark).where("reason is null")
    if paths is not None:
        rows = rows.where(F.col("path").isin(*paths))
    content = read_listed(spark, rows, config, listing.files, whole=paths is None).collect()
    return {
        row.path.removeprefix("file:"): bytes(row.content) if row.status is None else row.reason
        for row in content
    }


def test_archives_lie_in_folders_beside_files(spark, tmp_path):
    folder = tmp_path / "in [1]*"
    (folder / "sub").mkdir(parents=True)
    expected = {}
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
        expected[str(folder / name)] = data
    for name in ("_metadata.png", ".hidden.png"):
        (folder / name).write_bytes(name.encode())
        expected[str(folder / name)] = name.encode()
    for name in PACKED:
        write_archive(folder / "sub" / name, FILES)
        expected |= {f"{folder}/sub/{name}{MARK}{file}": data for file, data in FILES.items()}
    assert read(spark, folder) == expected
    some = sorted(expected)[::5]
    assert read(spark, folder, paths=some) == {path: expected[path] for path in some}
    for path in some:
        assert read_original(path, None, CONFIG) == expected[path]
    archive = folder / "sub/x.tar"
    assert read(spark, archive).keys() == {f"{archive}{MARK}{name}" for name in FILES}


def test_a_damaged_archive_costs_itself_alone(spark, tmp_path):
    write_archive(tmp_path / "sound.tar", FILES)
    whole = (tmp_path / "sound.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "none.zip").write_bytes(b"no archive")
    (tmp_path / "empty.tar").write_bytes(b"")
    rows = listed(spark, tmp_path).frame(spark).where("reason is not null").collect()
    reasons = {os.path.basename(row.path): row.reason for row in rows}
    assert reasons.keys() == {"cut.tar", "none.zip", "empty.tar"}
    assert "damaged or cut off after" in reasons["cut.tar"]
    content = read(spark, tmp_path)
    assert sum(path.startswith(f"{tmp_path}/sound.tar") for path in content) == len(FILES)


@pytest.mark.parametrize("name_of_rows", ["given", "missing", "twice"])
def test_hugging_faces_tables(spark, tmp_path, name_of_rows):
    names = {"given": list(FILES), "missing": [None] * 12, "twice": ["a.jpg"] * 12}[name_of_rows]
    rows = [{"bytes": data, "path": name}
            for name, data in zip(names, FILES.values(), strict=True)]  # fmt: skip
    hugging_face(tmp_path / "dataset", rows)
    content = read(spark, tmp_path / "dataset")
    assert sorted(content.values()) == sorted(FILES.values())
    if name_of_rows == "given":
        assert content == FILES
        assert read(spark, tmp_path / "dataset", paths=names[:3]) == dict(list(FILES.items())[:3])
    else:
        numbered = {f"{tmp_path}/dataset/data/{k // 6} [1].parquet{MARK}{k % 6}" for k in range(12)}
        assert content.keys() == numbered


def test_a_row_is_read_again_without_spark(tmp_path):
    rows = [{"bytes": data, "path": name} for name, data in FILES.items()]
    hugging_face(tmp_path / "dataset", rows)
    name = list(FILES)[7]
    listed = {"key": "image.path", "folder": str(tmp_path / "dataset")}
    assert read_original(name, listed, CONFIG) == FILES[name]
    numbered = f"{tmp_path}/dataset/data/1 [1].parquet{MARK}1"
    assert read_original(numbered, listed | {"key": ""}, CONFIG) == FILES[name]


def test_keys_and_columns_are_chosen_or_asked_for(spark, tmp_path):
    schema = pa.schema([("id", pa.int64()), ("photo", pa.binary()), ("mask", pa.binary())])
    rows = [{"id": k, "photo": data, "mask": b"m"} for k, data in enumerate(FILES.values())]
    write_table(tmp_path / "table", rows, schema)
    with pytest.raises(UsageError, match="several columns of bytes: photo, mask; name one"):
        listed(spark, tmp_path / "table")
    with pytest.raises(UsageError, match="no column picture of bytes, but photo, mask"):
        listed(spark, tmp_path / "table", load_config(None, ["source.column=picture"]))
    unnamed = load_config(None, ["source.column=photo", "source.key=name"])
    with pytest.raises(UsageError, match="no column name, but id, photo, mask"):
        listed(spark, tmp_path / "table", unnamed)
    config = load_config(None, ["source.column=photo", "source.key=id"])
    assert read(spark, tmp_path / "table", config) == {
        str(k): data for k, data in enumerate(FILES.values())
    }


def test_a_name_that_comes_twice_is_refused_where_it_was_asked_for(spark, tmp_path):
    schema = pa.schema([("id", pa.int64()), ("image", pa.binary())])
    write_table(tmp_path / "table", [{"id": 1, "image": b"x"}] * 4, schema)
    with pytest.raises(UsageError, match=r"come twice in id \(1 names of 4 rows\)"):
        listed(spark, tmp_path / "table", load_config(None, ["source.key=id"]))


def test_rows_without_bytes_and_with_too_many_are_told(spark, tmp_path):
    cells = [b"fine", None, b"", b"x" * 2000]
    rows = [{"path": f"{k}", "image": cell} for k, cell in enumerate(cells)]
    schema = pa.schema([("path", pa.string()), ("image", pa.binary())])
    write_table(tmp_path / "table", rows, schema)
    content = read(spark, tmp_path / "table", load_config(None, ["decode.max_bytes=1000"]))
    assert content["0"] == b"fine"
    assert content["1"].startswith("row without bytes")
    assert content["2"] == "empty file (zero bytes)"
    assert content["3"] == "image of 2000 bytes, limit 1,000 (decode.max_bytes)"


def test_tables_among_images_are_refused(spark, tmp_path):
    schema = pa.schema([("path", pa.string()), ("image", pa.binary())])
    write_table(tmp_path / "table", [{"path": "a", "image": b"x"}] * 2, schema)
    (tmp_path / "picture.png").write_bytes(b"x")
    with pytest.raises(UsageError, match="holds tables and images"):
        listed(spark, tmp_path)


def test_what_spark_leaves_out_is_read_by_itself(spark, tmp_path, monkeypatch):
    """Some files are not among what Spark reads, and one of these is gone by then."""
    from noisescope_core.spark.stages import listing
    from noisescope_core.spark.tables.run import Run

    (tmp_path / "in").mkdir()
    for name, data in FILES.items():
        (tmp_path / "in" / name).write_bytes(data)
    left_out = sorted(FILES)[3:6]
    run = Run(spark, str(tmp_path / "run"))
    source = listed(spark, tmp_path / "in")
    run.write_rows("files", source.rows)
    (tmp_path / "in" / left_out[0]).unlink()
    (tmp_path / "in" / left_out[1]).unlink()
    (tmp_path / "in" / left_out[1]).mkdir()

    given = {"path": "path", "status": "status", "reason": "reason", "bytes": "length(content)"}
    cells = [
        f"{given.get(name, f'cast(null as {kind})')} as {name}"
        for name, kind in types_in(SCHEMAS["scans"]).items()
    ]
    content = listing.read_listed(spark, run.read("files"), CONFIG, source.files)
    kept = content.where(~content.path.rlike("|".join(name[:2] for name in left_out)))
    config = load_config(None, ["source.attempts=2"])
    monkeypatch.setattr("noisescope_core.tables.opened.PAUSE", 0.01)
    listing.write_read(run, config, "scans", "image", kept, lambda read: read.selectExpr(*cells))
    found = {os.path.basename(row["path"]): row for row in run.rows("scans")}
    assert found.keys() == FILES.keys()
    gone, refused, late = (found[name] for name in left_out)
    assert (gone["status"], gone["reason"]) == ("quarantined", "gone since it was listed")
    assert refused["status"] == "unreadable"
    assert refused["reason"].startswith("could not be read (")
    assert "tried 2 times" in refused["reason"]
    assert (late["status"], late["bytes"]) == (None, len(FILES[left_out[2]]))
    listing.check_unreadable(run, load_config(None, ["source.unreadable=0.1"]), "scans", "image")
    with pytest.raises(NoiseScopeError, match="1 of 12 files are unreadable, more than the share"):
        listing.check_unreadable(run, CONFIG, "scans", "image")


def test_a_run_on_archives_says_what_one_on_files_says(spark, small_config, dump, tmp_path):
    write_archive(tmp_path / "images.tar", {f.name: f.read_bytes() for f in dump.images.iterdir()})
    hugging_face(
        tmp_path / "reference",
        [{"bytes": file.read_bytes(), "path": file.name} for file in dump.reference.iterdir()],
    )
    run_detect(spark, small_config, dump.images, dump.reference, tmp_path / "files")
    run_detect(
        spark, small_config, tmp_path / "images.tar", tmp_path / "reference", tmp_path / "packed"
    )
    answers = []
    for run in ("files", "packed"):
        rows = pq.read_table(tmp_path / run / "verdicts").to_pylist()
        answers.append({
            os.path.basename(row["path"]): (row["score"], row["is_fake"]) for row in rows
        })  # fmt: skip
    assert answers[0] == answers[1]
    assert {name for name, (_, fake) in answers[1].items() if fake} >= dump.fakes
