"""Verdicts against labels."""

import csv

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from noisescope_core.app.evaluation import FAKE, REAL, evaluate, read_labels, read_verdicts
from noisescope_core.errors import UsageError


def verdict(path, is_fake, status="scored"):
    return {"path": path, "status": status, "is_fake": is_fake}


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_equals_scikit_learn(pairs):
    result = evaluate(
        [verdict(f"/d/{k}.png", judged) for k, (judged, _) in enumerate(pairs)],
        {f"{k}.png": "fake" if fake else "real" for k, (_, fake) in enumerate(pairs)},
    )
    judged, truth = np.array(pairs).T
    expected = precision_recall_fscore_support(truth, judged, average="binary", zero_division=0)
    assert (result["precision"], result["recall"], result["f1"]) == pytest.approx(expected[:3])
    assert result["tp"] + result["fp"] + result["fn"] + result["tn"] == len(pairs)


def test_counts_what_it_leaves_out():
    result = evaluate(
        [
            verdict("/d/a/1.png", True), verdict("/d/b/1.png", False),
            verdict("/d/2.png", None, "unscored"), verdict("/d/3.png", None, "quarantined"),
            verdict("/d/4.png", False), verdict("/d/x1.png", False),
        ],
        {"a/1.png": "generated", "b/1.png": "0", "/d/2.png": "fake", "3.png": "broken",
         "gone.png": "real"},
    )  # fmt: skip
    assert (result["tp"], result["tn"], result["fp"], result["fn"]) == (1, 1, 0, 0)
    assert result["not_scored"] == {"fake": 1, "real": 0}
    assert result["other_labels"] == 1
    assert result["without_verdict"] == 1
    assert result["without_label"] == 2


def test_a_label_is_the_end_of_a_path_from_a_folder_boundary_on():
    labels = {"1.png": "fake", "b/2.png": "fake", "2.png": "real", "s3a://u/3.png": "real"}
    paths = ["/d/ab/2.png", "/d/b/2.png", "s3a://u/3.png", "t.tar!/./1.png"]
    judged = {path: evaluate([verdict(path, True)], labels) for path in paths}
    assert [(r["tp"], r["fp"]) for r in judged.values()] == [(0, 1), (1, 0), (0, 1), (1, 0)]
    result = evaluate([verdict(path, True) for path in (*paths, "/d/x1.png", "/u/3.png")], labels)
    assert (result["without_label"], result["without_verdict"], result["such_as"]) == (2, 0, [])


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("/d/a b/1.png", " ./a b/1.png "),
        ("/d/a b/1.png", "../d/a b/1.png"),
        ("/d/a b/1.png", "a b\\1.png"),
        ("/d/a b/1.png", "file:///d/a%20b/1.png"),
        ("/d/a b/1.png", "file:/d/a b/1.png"),
        ("/d/cafe\u0301.png", "caf\u00e9.png"),
        ("/d/caf\u00e9.png", "cafe\u0301.png"),
        ("s3a://u/1.png", "s3://u/1.png"),
        ("/d/a\\b.png", "a\\b.png"),
        ("./key 7", "./key 7"),
        ("k/../7", "k/../7"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_labels_as_people_write_them(tmp_path, path, written, encoding, between):
    file = tmp_path / "labels.csv"
    lines = [("id", "label", "note"), (written, "1.0", "a,b"), ("", "", "")]
    with file.open("w", encoding=encoding, newline="") as stream:
        csv.writer(stream, delimiter=between).writerows(lines)
    assert evaluate([verdict(path, True)], read_labels(file))["tp"] == 1


@pytest.mark.parametrize(
    ("paths", "labels", "said"),
    [
        (["/a/1.png", "/b/1.png"], {"1.png": "fake"}, "1 labels belong to several files each, such "
         "as 1.png to /b/1.png and "),
        (["/a/1.png"], {"/c/1.png": "fake"}, "none of 1 labels is the path of a verdict or the end "
         "of one: labels are such as /c/1.png, verdicts such as /a/1.png"),
        (["/a/1.png"], {"1.png": "maybe"}, "no label says fake or real, they say such as 'maybe'"),
    ],
)  # fmt: skip
def test_labels_that_cannot_be_joined_are_told(paths, labels, said):
    with pytest.raises(UsageError) as error:
        evaluate((verdict(path, True) for path in paths), labels)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("second", ["a.png,real", "./a.png,0", "a.png"])
def test_labels_that_contradict_each_other_are_told(tmp_path, second):
    file = tmp_path / "labels.csv"
    file.write_text(f"path,label\na.png,fake\na.png,fake\n{second}\n")
    with pytest.raises(UsageError, match=r"1 rows contradict an earlier one, such .*a\.png, .*4"):
        read_labels(file)


def test_verdicts_are_those_of_a_run_or_of_its_table(tmp_path):
    folder = tmp_path / "verdicts"
    folder.mkdir()
    table = pa.Table.from_pylist([verdict("/d/a.png", True)])
    pq.write_table(table, folder / "part-0.parquet")
    for location in (tmp_path, folder, folder / "part-0.parquet"):
        assert list(read_verdicts(str(location))) == table.to_pylist()
    pq.write_table(table.select(["path"]), folder / "part-0.parquet")
    with pytest.raises(UsageError, match=r"holds no verdicts \(no column status, is_fake\)"):
        read_verdicts(str(tmp_path))
    (folder / "_delta_log").mkdir()
    with pytest.raises(UsageError, match="is a Delta table"):
        read_verdicts(str(tmp_path))


@pytest.mark.parametrize("spelling", sorted(FAKE | REAL))
def test_every_spelling_of_a_label(tmp_path, spelling):
    file = tmp_path / "labels.csv"
    file.write_text(f"path,label\na.png,  {spelling.upper()} \n")
    result = evaluate([verdict("/d/a.png", True)], read_labels(file))
    assert (result["tp"], result["fp"]) == ((1, 0) if spelling in FAKE else (0, 1))


def test_nothing_to_count_is_0_not_an_error():
    result = evaluate([], {})
    assert (result["precision"], result["recall"], result["f1"]) == (0, 0, 0)


def test_reads_labels_under_other_headers(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("\ufefffilename,source,is_fake\nä b.png,x,True\nc.png,y,False\n", "utf-8")
    assert read_labels(file) == {"ä b.png": "true", "c.png": "false"}


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "path,label\n", None, b"\xff\xfe\x00"])
def test_unusable_labels_are_named(tmp_path, content):
    file = tmp_path / "labels.csv"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError) as error:
        read_labels(file)
    assert str(file) in str(error.value)
