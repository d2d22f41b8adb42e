"""A store scanned a part at a time, into a schema of a catalog: each file is read once."""

from collections import Counter

import pytest

pytest.importorskip("pyspark")
pytest.importorskip("delta")

# Many scans, each mostly waiting for its tables.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told(scans_told):
    return scans_told("backfill")


def files(told, name):
    return [row["files"] for row in told[name]]


def test_a_backfill_takes_folder_after_folder_until_nothing_is_new(told):
    assert told["taken in the order"] == [
        ["a/1.jpg", "a/2.jpg"],
        ["b/1.jpg", "b/2.jpg", "b/packed.zip"],
        ["lies in no folder.jpg"],
    ]
    # Each folder is listed once more, and nothing is new; of an archive the members count.
    assert [count for count in files(told, "backfill") if count] == [2, 4, 1]


def test_a_scan_takes_as_many_files_as_it_may_and_the_next_goes_on(told):
    assert files(told, "two files 1") + files(told, "two files 2") == [2, 1]


def test_a_scan_whose_time_is_up_leaves_the_rest_to_the_next(told):
    assert files(told, "no time 1") + files(told, "no time 2") == [2, 1]


def test_files_changed_before_are_left_out_until_all_are_asked_for(told):
    assert files(told, "since") + files(told, "since no time") == [1, 1]


def test_what_was_set_aside_is_read_again_when_asked_for(told):
    asked = [
        (told[name][0]["files"], told[name][0]["quarantined"])
        for name in ("too large", "replaced", "not retried", "retried")
    ]
    assert asked == [(2, 2), (1, 0), (0, 0), (2, 0)]


def test_a_file_replaced_under_its_name_has_another_verdict_beside_the_first(told):
    rows = [row for row in told["tables"]["verdicts"] if row["path"] == told["path"]]
    assert len({row["image_id"] for row in rows}) == len(rows) == 2
    (held,) = (r for r in told["tables"]["current_verdicts"] if r["path"] == told["path"])
    assert held == max(rows, key=lambda row: row["scan"])


def test_every_file_has_one_verdict_that_holds(told):
    paths = Counter(row["path"] for row in told["tables"]["current_verdicts"])
    assert set(paths.values()) == {1}
    archives = {path.split("!")[0] for path in paths if ".zip" in path}
    members = {path for path in paths if ".zip" in path}
    assert len(members) == 2 and len(archives) == 1
    assert set(paths) - members == {row["path"] for row in told["tables"]["seen"]} - archives
    assert {row["status"] for row in told["tables"]["current_verdicts"]} == {"scored"}


def test_who_lists_does_not_make_files_new(told):
    assert files(told, "by Spark") == [1]


def test_files_that_a_table_names_are_not_listed(told):
    assert files(told, "discovered") == [1]


def test_the_verdict_of_a_path_is_looked_for_in_few_files_of_the_table(told):
    of_all, of_a_path = told["files of the table"]
    assert of_a_path <= 2 < of_all / 3
