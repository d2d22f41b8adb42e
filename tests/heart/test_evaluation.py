"""Verdicts against labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from noisescope_core.app.evaluation import FAKE, REAL, evaluate, read_labels
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
    paths = ["/d/x1.png", "/d/ab/2.png", "/d/b/2.png", "s3a://u/3.png", "/u/3.png"]
    judged = {path: evaluate([verdict(path, True)], labels) for path in paths}
    assert [(r["tp"], r["fp"], r["without_label"]) for r in judged.values()] == [
        (0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)
    ]  # fmt: skip


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
