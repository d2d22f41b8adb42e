"""What analysts decide about fingerprints, and what scans make of it, on real Delta tables."""

import json
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("pyspark")
pytest.importorskip("delta")


@pytest.fixture(scope="module")
def told(scans_told):
    return scans_told("registry")


def of_day(told, name):
    return dict(told["days"][name]["fake"])


def test_a_false_alarm_unflags_its_images_and_is_not_found_anew(told):
    first, second = told["fingerprints"]
    found, after = of_day(told, "found"), of_day(told, "false alarm")
    assert set(found.values()) == {first, second}
    assert set(after.values()) == {second}
    before = {name for name, one in found.items() if one == first}
    assert len(before) >= 30
    assert not before & set(after)
    # New files of the other generator are flagged, those with the false alarm are not searched.
    assert len(after) > sum(one == second for one in found.values())
    run = told["days"]["false alarm"]["run"]
    assert (run["found"], run["rejudged"]) == (0, len(before))
    passed_over = [r for r in told["tables"]["images"] if r["false_alarm"] == first]
    assert len(passed_over) >= 10


def test_a_decision_taken_back_flags_all_of_them_again(told):
    first, second = told["fingerprints"]
    again = of_day(told, "confirmed after all")
    assert {n for n, one in of_day(told, "found").items() if one == first} <= set(again)
    assert Counter(again.values())[first] > Counter(of_day(told, "found").values())[first]
    assert set(again.values()) == {first, second}
    # Those that came in the meantime, too.
    assert len(set(told["made"]) & set(again)) >= 0.95 * len(told["made"])


def test_merged_fingerprints_share_a_name_and_nothing_else_changes(told):
    first, second = told["fingerprints"]
    before, after = of_day(told, "confirmed after all"), of_day(told, "merged")
    # An image was erased in between.
    before.pop(told["gone"][0], None)
    assert before.keys() == after.keys()
    assert set(after.values()) == {first}
    assert told["days"]["merged"]["run"]["rejudged"] == Counter(before.values())[second]
    states = {row["fingerprint_id"]: row for row in told["listed"]}
    assert (states[second]["state"], states[second]["merged_into"]) == ("merged", first)
    assert not any(row["pending"] for row in told["listed"])
    unknown, several, circle = told["refused"]
    assert "no fingerprints begin so" in unknown
    assert "several fingerprints begin so" in several
    assert "is among the fingerprints to be merged" in circle


def test_the_history_of_verdicts_is_kept(told):
    first, _ = told["fingerprints"]
    rows = told["tables"]["verdicts"]
    keys = Counter((row["path"], row["registry_version"]) for row in rows)
    assert set(keys.values()) == {1}
    by_path = {}
    for row in sorted(rows, key=lambda row: row["registry_version"]):
        by_path.setdefault(row["path"], []).append((row["is_fake"], row["fingerprint_id"]))
    assert [(True, first), (False, None), (True, first)] in by_path.values()
    decided = [(r["state"], r["analyst"], r["note"]) for r in told["tables"]["decisions"]]
    assert ("false alarm", "ann", "a frame") in decided
    assert all(row["scan"] for row in told["tables"]["decisions"])


def test_a_registry_travels_and_a_damaged_file_does_not(told):
    first, _ = told["fingerprints"]
    assert told["exported"] == 2
    assert told["imported"] == [[2, 0], [0, 2]]
    there = of_day(told, "imported")
    assert set(there.values()) == {first}
    assert told["days"]["imported"]["run"]["found"] == 0
    assert len(set(told["made"]) & set(there)) >= 0.95 * len(told["made"])
    assert "no pack that can be read" in told["broken"]


def test_a_candidate_that_no_image_meets_is_passed_over_and_then_retired(told):
    first, second = told["fingerprints"]
    (young, decided), *old = told["aged"]
    assert young == {first: first}
    # Retired once, however often the scan is begun.
    assert old == [[{first: first}, decided + 1]] * 2
    assert told["retired"] == [[second, "retired", "no image met it in 7 scans"]]


def test_an_image_is_erased_everywhere(told):
    name, image_id = told["gone"]
    assert "delete the file first" in told["still there"]
    assert told["erased"]["images"] == 1
    assert told["erased"]["verdicts"] >= 1
    assert told["erased"]["seen"] == 1
    assert told["left of it"] == []
    assert name not in of_day(told, "merged")
    assert image_id not in json.dumps(told["tables"])
    lost = of_day(told, "confirmed after all").keys() - of_day(told, "merged").keys()
    assert lost == {name}


def test_a_fingerprint_is_shown_with_its_decisions_and_files(told):
    shown = told["shown"]
    assert shown["fingerprint"]["fingerprint_id"] == told["fingerprints"][1]
    assert [one["state"] for one in shown["decisions"]] == ["merged"]
    # Its images have the other's name by now.
    assert shown["files"] == 0


def test_a_file_of_the_tables_is_explained_with_its_past(told):
    first, _ = told["fingerprints"]
    said = told["explained"]
    assert said["verdict"] == "Generated, by all that this run can tell."
    assert (said["of_run"], said["status"], said["fingerprint_id"]) == (True, "scored", first)
    assert said["score"] > said["threshold"]
    assert "images that carry it" in said["facts"]["flagged"]
    past = [(scan, verdict, name) for scan, _, verdict, name, _ in said["history"]]
    assert past[0] == ("1", "flagged", first)
    assert past[1] == ("2", "not flagged", "")
    assert past[2] == ("3", "flagged", first)
    assert [line.partition("  ")[2] for line in said["decisions"]] == [
        f"ann: {first} false alarm, a frame", f"ann: {first} confirmed",
    ]  # fmt: skip
    assert said["page"].count("<td>flagged</td>") == 2
    assert said["page"].count("<td>not flagged</td>") == 1
    assert f"ann: {first} false alarm, a frame</p>" in said["page"]
    headline, meaning = said["gone"]
    assert headline == "Nothing can be said about this image."
    assert "cannot be read any more" in meaning


def test_older_tables_get_their_columns_and_later_ones_are_refused(told):
    (row,) = told["upgraded"]
    assert told["read as it is"] == [row]
    assert (row["width"], row["waiting"], row["height"]) == (96, 3, None)
    assert "/later: a later version made table runs (revision 99, this one" in told["later"]


def test_tables_of_an_earlier_version_are_filled_once(told):
    assert told["filled"] == {
        "current_verdicts": [["/pile/a.png", True], ["/pile/b.tar!/c.png", False]],
        "seen": [["/pile/a.png", 0, None], ["/pile/b.tar", 0, None]],
        "arrivals": [[2, "c", 4, None]],
    }


def test_files_written_together_are_not_written_again(told):
    assert told["compacted"] == [[[3, 1], [3, 1]], 6]


def test_the_registry_that_a_scan_noted_is_read_by_the_next_version():
    from noisescope_core.spark.scans.registry import RegistryState

    noted = RegistryState(shown_as={"b": "a"}, retested=["a"])
    assert RegistryState.from_json(noted.to_json()) == noted
    assert RegistryState.from_json(noted.to_json().replace("retested", "again")) == noted


def test_the_page_on_a_fingerprint_escapes_what_it_is_told():
    from noisescope_core.report.fingerprint import render_fingerprint

    attack = "<script>alert(1)</script>\u202e"
    row = dict.fromkeys(("watermark", "merged_into", "maker"), attack)
    row |= {
        "fingerprint_id": "0123456789ab", "state": "candidate", "note": attack, "width": 96,
        "height": 64, "images": 20, "first_scan": 1, "last_scan": 2, "cohesion": 2.0,
        "threshold": 3.0, "header": attack, "same_header": 1.0,
        "pixels": np.random.default_rng(0).standard_normal(96 * 64).astype(np.float32).tobytes(),
    }  # fmt: skip
    best = [{"path": attack, "score": 50.0, "confidence": 1.0, "scan": 1}]
    page = render_fingerprint({
        "fingerprint": row, "decisions": [], "files": 1, "best": best, "scores": [50.0, 60.0],
        "others": [0.1, -2.0],
    })  # fmt: skip
    assert "<script" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;" in page
    assert "<svg" in page
