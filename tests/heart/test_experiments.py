"""Experiments: files checked as a whole, draws, resumption, rows against the truth."""

import json
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisescope_core import api
from noisescope_core.app.evaluation import ratios
from noisescope_core.errors import NoiseScopeError, UsageError
from noisescope_core.experiments import run as runner
from noisescope_core.experiments.definition import Experiment, Trial, load_experiment
from noisescope_core.experiments.methods import Answer
from noisescope_core.experiments.page import write_page
from noisescope_core.experiments.pictures import HEADER_BYTES, Drawn, draw, find_files
from noisescope_core.experiments.run import batches, here, judged, run_experiment
from noisescope_core.experiments.summary import markdown, plots, write_summary
from noisescope_core.experiments.table import SCHEMA, append, read
from tests.conftest import picture, save
from tests.experiment_files import PLAIN, silent, written

CONF = Path(__file__).parents[2] / "conf/experiments"


def test_files_that_come_with_the_project_are_valid():
    for file in sorted(CONF.glob("*.yaml")):
        experiment = load_experiment(str(file))
        assert list(experiment.cases())


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path):
    trials = {
        "one": {"generated": {"mad": 6}, "photographs": {"taken": 0}, "reference": {"taken": 1}}
    }
    file = written(
        tmp_path, trials=trials, attacks={"jpg": [85], "jpeg": [850], "median": [4]},
        methods={"paper": {"method": "paper", "settings": ["t_merge=3"]}},
    )  # fmt: skip
    with pytest.raises(UsageError) as told:
        load_experiment(file)
    lines = str(told.value).splitlines()
    for said in (
        "no set 'mad', did you mean 'made'?", "photographs.taken: must be at least 1",
        "attacks.jpg: ", "attacks.jpeg: ", "attacks.median: ", "calibration.t_merge",
    ):  # fmt: skip
        assert any(said in line for line in lines), (said, lines)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ["svm"]}, "methods.svm.method"),
        ({"draws": 0}, "draws"),
        ({"side": 63}, "side: must be 64 to 4096 pixels, or native, got 63"),
        ({"side": "native"}, "methods.azimuthal: needs images of one size"),
        (
            {
                "side": "native",
                "methods": ["csd"],
                "sets": {"made": {"simulate": "generated"}, "taken": "taken"},
            },
            "trials.one: made is simulated and has no native size",
        ),
        (
            {"side": "native", "methods": ["csd"], "attacks": {"fingerprint_removal": [1]}},
            "attacks.fingerprint_removal: needs images of one size",
        ),
        ({"sets": {"made": {"folder": "made", "simulate": "generated"}}}, "either a folder or"),
        ({"colour": 1}, "colour: no such key"),
        ({"defences": ["prayer"]}, "defences.0"),
        ({"trials": {}}, "trials: needs at least one"),
    ],
)
def test_a_mistake_is_named(tmp_path, changes, said):
    with pytest.raises(UsageError) as told:
        load_experiment(written(tmp_path, **changes))
    assert said in str(told.value)
    assert len(str(told.value).splitlines()) <= 3


def test_absent_folders_and_too_few_images_are_told_before_anything_runs(tmp_path, experiment_sets):
    trials = {
        "one": {"generated": {"made": 9}, "photographs": {"taken": 6}, "reference": {"taken": 15}},
        "large": {"side": 68, "photographs": {"taken": 1}, "reference": {"taken": 1}},
    }
    sets = {"made": "made", "taken": "taken", "gone": "gone"}
    experiment = load_experiment(written(tmp_path, trials=trials, sets=sets))
    with pytest.raises(UsageError) as told:
        run_experiment(
            experiment, find_files(experiment, experiment_sets), tmp_path / "out", silent
        )
    said = str(told.value)
    assert "gone is not a folder" in said
    assert "trials.one: needs 9 images of made" in said
    # Of 66 pixels at most, none is large enough for the second trial.
    assert "trials.one: needs 21 images of taken, of 68 x 68 at least" in said
    assert not (tmp_path / "out").exists()


def test_a_file_whose_header_cannot_be_read_in_part_is_listed(tmp_path):
    for name, ending in (("made", ".webp"), ("taken", ".png")):
        (tmp_path / name).mkdir()
        for k in range(18 if name == "taken" else 6):
            pixels = np.random.default_rng(k).integers(0, 256, (200, 200, 3), np.uint8)
            file = tmp_path / name / f"{k:02}{ending}"
            file.write_bytes(cv2.imencode(ending, pixels, [cv2.IMWRITE_WEBP_QUALITY, 101])[1])
    assert file.stat().st_size > HEADER_BYTES
    experiment = load_experiment(written(tmp_path))
    assert len(find_files(experiment, tmp_path)["made"]) == 6


@given(number=st.integers(0, 50), made=st.integers(1, 8), taken=st.integers(1, 10))
def test_no_image_is_drawn_twice(number, made, taken):
    trial = Trial(
        generated={"made": made}, photographs={"taken": taken}, reference={"taken": taken}
    )
    drawn = draw(trial, number, 0, {"made": 8, "taken": 20})
    assert len(set(drawn.names)) == len(drawn.names) == made + 2 * taken
    assert drawn.tested == made + taken
    assert [name for name, _ in drawn.names[:made]] == ["made"] * made
    again = draw(trial, number, 0, {"made": 8, "taken": 20})
    assert again.names == drawn.names


def test_trials_of_the_same_photographs_draw_the_same():
    one = Trial(generated={"made": 4}, photographs={"taken": 4}, reference={"taken": 4})
    other = Trial(generated={"more": 6}, photographs={"taken": 6}, reference={"taken": 4})
    sizes = {"made": 8, "more": 8, "taken": 20}
    first, second = (
        [name for name in draw(trial, 1, 0, sizes).names if name[0] == "taken"]
        for trial in (one, other)
    )
    assert second[:8] == first


def test_draws_differ_and_simulated_sets_have_images_of_their_own_for_each():
    trial = Trial(generated={"made": 4}, photographs={"taken": 4}, reference={"taken": 4})
    of_folders = [draw(trial, k, 0, {"made": 8, "taken": 20}).names for k in (0, 1)]
    assert of_folders[0] != of_folders[1]
    simulated = [set(draw(trial, k, 0, {"made": 0, "taken": 0}).names) for k in (0, 1)]
    assert not simulated[0] & simulated[1]


def test_answers_are_held_against_the_truth():
    drawn = Drawn([("x", k) for k in range(8)], np.array([0, 0, 0, 1, 1, 2, 2, 2]), 2)
    answer = Answer([np.array([0, 1, 3, 5]), np.array([4])], other=1)
    row = judged(drawn, answer)
    assert (row["tp"], row["fp"], row["fn"], row["tn"]) == (4, 1, 1, 2)
    assert row["f1"] == ratios(4, 1, 1)["f1"] == 0.8
    # Of the four flagged the second generator's image 3 is in the first one's set.
    assert row["given_right"] == 0.75
    assert row["recalls"] == [2 / 3, 1.0]
    # Half of a set is not most of it.
    assert (row["purity"], row["discovered"]) == (0.75, 0.5)
    assert row["auc"] is None
    assert judged(drawn, Answer([]))["f1"] == 0
    # Two photographs are stronger than one of the five generated images each.
    strengths = np.array([9.0, 8, 7, 6, 1, 5, 4, -np.inf])
    row = judged(drawn, Answer([], strengths=strengths))
    assert (row["auc"], row["recall_5"], row["recall_1"]) == (13 / 15, 0.8, 0.8)
    assert (row["purity"], row["discovered"]) == (None, 0.0)


def test_images_at_their_native_sizes_are_searched_together(tmp_path):
    """One decoder's tile at sizes of which none has enough images, among photographs."""
    rng = np.random.default_rng(4)
    # As strong as a latent decoder's: a stronger one is not told from a device's.
    tile = np.tile(rng.normal(0, 0.12, (8, 8, 1)), (32, 32, 1))
    for name, count in (("made", 48), ("taken", 240)):
        (tmp_path / name).mkdir()
        for k in range(count):
            pixels = picture(rng, (112 + 8 * (k % 16), 96 + 8 * (k % 11)))
            pixels += tile[: pixels.shape[0], : pixels.shape[1]] * (name == "made")
            save(tmp_path / name / f"{k:03}.png", pixels)
    trial = {
        "generated": {"made": 48}, "photographs": {"taken": 60}, "reference": {"taken": 180}
    }  # fmt: skip
    file = written(
        tmp_path, side="native", trials={"sizes": trial}, methods=["whitened", "paper"], draws=1
    )  # fmt: skip
    experiment = load_experiment(file)
    said = []
    run_experiment(experiment, find_files(experiment, tmp_path), tmp_path, said.append)
    assert "native sizes as found, whitened: sizes: F1 " in "".join(said)
    table = read(tmp_path)
    rows = {row["method"]: row for row in table.to_pylist()}
    assert rows["whitened"]["side"] is None
    assert rows["whitened"]["unscored"] == rows["whitened"]["fp"] == 0
    assert rows["whitened"]["recalls"][0] > 0.8
    assert rows["whitened"]["purity"] == rows["whitened"]["discovered"] == 1
    assert rows["whitened"]["auc"] > 0.95
    assert rows["paper"]["undecided"]
    assert rows["paper"]["unscored"] == 108
    lines = markdown(table).splitlines()
    assert lines[-4].startswith("| files | attack | method | made | photographs flagged | purity")
    assert lines[-2].startswith("| as found | none | whitened |")


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path, experiment_sets, monkeypatch):
    experiment = load_experiment(written(tmp_path))
    out = tmp_path / "out"
    asked = [experiment.key(case) for case in experiment.cases()]
    assert len(set(asked)) == len(asked) == 4

    def only_first(todo):
        yield from here(experiment, find_files(experiment, experiment_sets), 1)(todo[:1])

    run_experiment(experiment, find_files(experiment, experiment_sets), out, silent, only_first)
    first = read(out).to_pylist()
    assert [row["method"] for row in first] == ["csd", "csd"]
    left = batches(experiment, {row["key"] for row in first})
    assert [batch.method for batch in left] == ["azimuthal"]
    run_experiment(experiment, find_files(experiment, experiment_sets), out, silent)
    rows = read(out).to_pylist()
    assert sorted(row["key"] for row in rows) == sorted(asked)
    assert [row for row in rows if row["method"] == "csd"] == first
    monkeypatch.setattr(runner, "answered", None)
    run_experiment(experiment, find_files(experiment, experiment_sets), out, silent)


def test_a_batch_that_fails_costs_no_other(tmp_path, experiment_sets):
    experiment = load_experiment(written(tmp_path))

    def failing(todo):
        yield todo[0], ValueError("no such thing\nmore")
        yield from here(experiment, find_files(experiment, experiment_sets), 1)(todo[1:])

    with pytest.raises(NoiseScopeError, match=r"1 of 2 batches failed; 64 x 64 .*: no such thing$"):
        run_experiment(
            experiment, find_files(experiment, experiment_sets), tmp_path, silent, failing
        )
    assert [row["method"] for row in read(tmp_path).to_pylist()] == ["azimuthal"] * 2


def test_everything_at_a_small_size(tmp_path):
    """All methods on simulated images: what they find, the summary and its pictures."""
    experiment = load_experiment(str(CONF / "small.yaml")).model_copy(update={"draws": 1})
    said = []
    run_experiment(experiment, find_files(experiment, tmp_path), tmp_path, said.append)
    assert "50 answers by 5 methods, 0 are there" in said[0]
    table = read(tmp_path)
    assert table.num_rows == 50
    rows = table.to_pylist()

    def told(trial, method, what="f1", files="as found"):
        (value,) = [
            row[what] for row in rows
            if (row["trial"], row["method"], row["files"]) == (trial, method, files)
        ]  # fmt: skip
        return value

    for files in experiment.files:
        assert told("balanced", "whitened", files=files) >= 0.95
        assert told("two generators", "whitened", "fingerprints", files) == 2
        assert told("two generators", "whitened", "given_right", files) >= 0.95
        assert told("photographs alone", "whitened", "fp", files) == 0
    assert told("balanced", "paper") >= 0.8
    whole = markdown(table)
    assert whole.count("\n") == (1 + 10) + 4 + (1 + 2)
    assert "0 of 1 runs flag" in whole
    files = write_summary(table, tmp_path)
    assert [file.name for file in files] == ["summary.md", "f1.png", "fingerprints.png"]
    assert all(cv2.imread(str(file)) is not None for file in files[1:])
    pictures = [p for row in rows for p in row["pictures"]]
    assert all(cv2.imdecode(np.frombuffer(p, np.uint8), 0).shape == (96, 96) for p in pictures)


def test_every_attack_with_and_without_defence(tmp_path):
    experiment = load_experiment(str(CONF / "small_attacks.yaml"))
    run_experiment(experiment, find_files(experiment, tmp_path), tmp_path, silent)
    rows = read(tmp_path).to_pylist()
    assert len(rows) == len(list(experiment.cases())) == 1 + 12 * 2 + 2
    f1 = {(row["attack"], row["defence"]): row["f1"] for row in rows}
    assert f1[None, "none"] >= 0.95
    assert all(row["psnr"] is not None for row in rows if row["attack"] in ("jpeg", "noise"))
    assert all(row["psnr"] is None for row in rows if row["attack"] in (None, "crop", "social"))
    # Photographs are never processed but in the reference, and are not flagged for it.
    assert max(row["fp"] for row in rows) <= 4
    names = [name for name, _ in plots(read(tmp_path))]
    assert names == ["attacks 1"]
    write_page([read(tmp_path)], tmp_path / "page.md", "the command")
    text = (tmp_path / "page.md").read_text()
    assert "**Attacks at a small size.** `whitened` holds in" in text
    assert "Every attack once on simulated images" in text
    assert (tmp_path / "page/attacks-at-a-small-size-attacks-1.png").exists()
    assert text.count("](page/") == 1


def test_another_residual_is_another_condition(tmp_path, experiment_sets):
    trials = {
        "one": {"generated": {"made": 8}, "photographs": {"taken": 5}, "reference": {"taken": 14}}
    }
    experiment = load_experiment(
        written(tmp_path, trials=trials, methods=["prnu"], defences=["none", "blur", "nlm"],
                settings=["method=paper", "calibration.t_merge=5", "texture.images=2",
                          "texture.neighbours=5", "clustering.classify_above=2"], draws=1)
    )  # fmt: skip
    run_experiment(experiment, find_files(experiment, experiment_sets), tmp_path, silent)
    rows = read(tmp_path).to_pylist()
    assert [row["defence"] for row in sorted(rows, key=lambda r: r["condition_number"])] == [
        "none", "blur", "nlm",
    ]  # fmt: skip
    assert not any(row["undecided"] for row in rows)


def row_of(**changes):
    numbers = {"trial_number": 0, "condition_number": 0, "method_number": 0, "draw": 0, "side": 64}
    counts = {"tp": 9, "fp": 0, "fn": 1, "tn": 10, "fingerprints": 1, "other": 0}
    return {
        **numbers, **counts, "key": "0", "experiment": "E", "about": "Why.", "trial": "t",
        "files": "saved again", "defence": "none", "method": "whitened", "generators": 1,
        "generated": 10, "photographs": 10, "reference": 20, "undecided": False,
        "precision": 1.0, "recall": 0.9, "f1": 0.95, "given_right": 1.0,
        "seconds": 1.0, "ready_seconds": 1.0, "pictures": [], "versions": '{"noisescope": "1"}',
        "finished": datetime(2026, 1, 2, tzinfo=UTC), **changes,
    }  # fmt: skip


def test_a_page_says_what_holds_what_does_not_and_what_wins_it_back(tmp_path):
    jpeg = {"attack": "jpeg", "strength": 60.0}
    blur = {"attack": "blur", "strength": 2.0}
    rows = [
        row_of(),
        row_of(method="paper", method_number=1, f1=0.97),
        row_of(**jpeg, condition_number=1, f1=0.4),
        row_of(**jpeg, condition_number=2, f1=0.92, defence="reference"),
        row_of(**blur, condition_number=3, f1=0.1, fingerprints=0, other=1),
        row_of(**blur, condition_number=4, f1=0.12, defence="reference"),
        row_of(trial="few", trial_number=1, undecided=True, f1=0.0),
        row_of(trial="none", trial_number=2, generated=0, fp=1, f1=0.0),
    ]
    write_page([pa.Table.from_pylist(rows, SCHEMA)], tmp_path / "page.md", "a command")
    said = (tmp_path / "page.md").read_text().splitlines()
    assert said[2].startswith("Written by `a command` from the tables of trials alone, 2026-01-02")
    (found,) = [line for line in said if line.startswith("**E.**")]
    assert found == (
        "**E.** `whitened` holds in 1 of 4 lines. Too few images to decide: few; more are needed. "
        "Another is better in 1 of 4: paper at t. "
        "t, jpeg 60 falls to 0.40; reference processed alike wins back 0.92. "
        "It does not hold, and nothing tried here helps, for t: blur 2 (0.10). "
        "In 1 of the 2 lines where it does not hold a shared pattern is found and reported, but "
        "taken for a device's or processing's, so it flags nothing: look at such patterns too. "
        "Of photographs alone it flags some in 1 of 1 runs."
    )
    assert any(line.startswith("| few | none |  | undecided |") for line in said)
    assert any(line.startswith("| t | blur 2 |  | 0.100 (0.000), 0.0 \\* |") for line in said)


def test_a_summary_of_several_generators_counts_fingerprints_by_those_who_tell_them_apart():
    image = [bytes(cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1])]
    both = {"trial": "both", "trial_number": 1, "generators": 2, "fingerprints": 2}
    rows = [
        row_of(pictures=image),
        row_of(**both, pictures=image, given_right=0.9),
        row_of(**both, draw=1, given_right=0.8),
        row_of(**both, method="csd", method_number=1),
    ]
    lines = markdown(pa.Table.from_pylist(rows, SCHEMA)).splitlines()
    assert lines[-3:] == ["| trial | whitened |", "| --- | --- |", "| both | 2.0, 0.85 |"]
    assert sum(line.startswith("| both") for line in lines) == 2


def test_from_python_an_experiment_prints_nothing_and_tells_the_logger(
    tmp_path, experiment_sets, caplog, capfd
):
    file = written(tmp_path, methods=["csd"], draws=1)
    with caplog.at_level("INFO", "noisescope"):
        means = api.experiment(file, experiment_sets, tmp_path / "out")
    assert set(means["method"]) == {"csd"}
    assert capfd.readouterr() == ("", "")
    assert "a test: 1 answers by 1 methods" in caplog.messages[0]
    assert len(caplog.messages) == 2


def test_a_row_says_with_which_versions_it_was_made(tmp_path, experiment_sets):
    experiment = Experiment.model_validate({**PLAIN, "methods": ["csd"], "draws": 1})
    run_experiment(experiment, find_files(experiment, experiment_sets), tmp_path, silent)
    (row,) = read(tmp_path).to_pylist()
    assert {"noisescope", "numpy"} <= json.loads(row["versions"]).keys()
    append(tmp_path, [row])
    assert read(tmp_path).num_rows == 1
    assert find_files(experiment, experiment_sets)["made"][0].name == "00.png"
