"""When a scan asks for a person, and what it tells other programs."""

import json
import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from noisescope_core.app import metrics
from noisescope_core.app.alerts import CHANCE, alerts
from noisescope_core.config import Alerts, Observe
from noisescope_core.errors import UsageError

RUN = {
    "scan": 9, "run_id": "abc", "version": "1", "config_hash": "f", "files": 100, "scored": 80,
    "unscored": 15, "quarantined": 5, "unreadable": 0, "fake": 8, "rejudged": 2, "found": 1,
    "bytes": 10**12 + 1, "registry_version": 3, "arrivals_seconds": 1.5,
    "search_seconds": 0.0, "tables_seconds": 2.0,
    "real_score": 0.4, "finished": datetime(2026, 1, 2, tzinfo=UTC), "alerts": [],
}  # fmt: skip


def earlier(*scores, version=3):
    return [
        {
            "scan": number,
            "real_score": score,
            "registry_version": version,
            "scored": 10_000,
            "fake": 0,
        }
        for number, score in enumerate(scores, 1)
    ]


def thresholds(**set_):
    """These alone."""
    return Alerts(**dict.fromkeys(("quarantined", "unreadable", "drift")) | set_)


def times(factor, **counts):
    """A scan with as many times the files."""
    counted = ("files", "scored", "unscored", "quarantined", "unreadable", "fake")
    row = RUN | counts
    return row | {name: factor * row[name] for name in counted}


def test_no_threshold_no_alert():
    assert alerts(times(1000), earlier(5.0, 5.0, 5.0), thresholds()) == []


@pytest.mark.parametrize(
    ("set_", "said"),
    [
        ({"flagged": 0.05}, "8,000 of 80,000 scored files carry a generator's fingerprint: 10.0%"),
        ({"flagged": 0.1}, None),
        ({"quarantined": 0.04}, "5,000 of 100,000 files were set aside: 5.0%"),
        ({"unreadable": 0.01}, "2,000 of 100,000 files could not be read: 2.0%"),
        ({"unreadable": 0.02}, None),
        ({"found": True}, "new fingerprints: 1"),
        ({"drift": 0.3}, "has moved by +0.40 spreads"),
        ({"drift": 0.5}, None),
    ],
)
def test_each_threshold_says_what_exceeds_it(set_, said):
    told = alerts(times(1000, unreadable=2), earlier(0.0, 0.1, -0.1), thresholds(**set_))
    assert len(told) == (said is not None)
    assert all(said in line for line in told)


def test_the_default_asks_for_broken_and_unread_files_and_for_other_scores():
    run = times(100, quarantined=10, unreadable=4) | {"real_score": 0.7}
    told = " ".join(alerts(run, earlier(0.0, 0.0, 0.0), Alerts()))
    for key in ("quarantined 5.0%", "unreadable 1.0%", "drift 0.50"):
        assert f"alerts.{key}" in told


@given(st.integers(1, 2000), st.sampled_from((0.01, 0.05, 0.3)))
def test_what_few_files_exceed_by_chance_is_no_alert(total, limit):
    counts, set_ = range(total + 1), thresholds(quarantined=limit)
    runs = [RUN | {"files": total, "quarantined": count} for count in counts]
    told = [bool(alerts(run, [], set_)) for run in runs]
    # More files set aside never ask less, and what asks is rare where the limit is the truth.
    assert told == sorted(told)
    assert sum(binom.pmf(count, total, limit) for count in counts if told[count]) < CHANCE
    assert told[-1] or limit**total > CHANCE / 2


def test_a_share_that_is_to_be_nothing_asks_at_one_file():
    assert alerts(RUN | {"quarantined": 1}, [], thresholds(quarantined=0))


@pytest.mark.parametrize("images", [20, 100, 1000])
def test_the_middle_of_a_day_strays_without_an_alert(images):
    rng = np.random.default_rng(images)
    middles = np.median(rng.standard_normal((500, images)), axis=1)
    row = RUN | {"registry_version": 3, "scored": images, "fake": 0}
    days = [row | {"scan": scan, "real_score": middle} for scan, middle in enumerate(middles)]

    def asking(days, limit):
        later = range(3, 500)
        told = [alerts(days[k], days[max(0, k - 10) : k], thresholds(drift=limit)) for k in later]
        return sum(map(bool, told)) / len(told)

    # Where hardly a shift is allowed, hardly a day asks; moved beyond chance, every day does.
    assert asking(days, 1e-9) < 0.01
    assert alerts(days[20] | {"real_score": 2.5}, days[10:20], thresholds(drift=0.5))


def test_drift_is_held_against_scans_of_the_same_registry_alone():
    drift, run = thresholds(drift=0.3), times(1000)
    assert alerts(run, earlier(0.0, 0.0, 0.0), drift)
    assert alerts(run, earlier(0.0, 0.0), drift) == []
    assert alerts(run, earlier(0.0, 0.0, 0.0, version=2), drift) == []
    # The ten latest count.
    assert alerts(run, earlier(*[0.0] * 9, *[0.4] * 10), drift) == []
    assert alerts(run | {"real_score": None}, earlier(0.0, 0.0, 0.0), drift) == []


def test_an_empty_scan_raises_nothing():
    empty = RUN | {"files": 0, "scored": 0, "fake": 0, "quarantined": 0, "found": 0}
    watched = thresholds(flagged=0, quarantined=0, unreadable=0, found=True)
    assert alerts(empty, [], watched) == []


def test_events_are_lines_of_json_that_name_the_run(tmp_path):
    file = tmp_path / "events.jsonl"
    observe = Observe(events=str(file))
    metrics.write_event(observe.events, "abc", event="stage", stage="merge", what="a\nb")
    metrics.publish(RUN, observe)
    stage, scan = [json.loads(line) for line in file.read_text().splitlines()]
    assert (stage["run"], stage["stage"], stage["what"]) == ("abc", "merge", "a\nb")
    assert datetime.fromisoformat(stage["time"]).tzinfo is not None
    assert (scan["run"], scan["event"], scan["fake"]) == ("abc", "scan", 8)


def test_the_textfile_is_whole_and_exact(tmp_path):
    file = tmp_path / "noisescope.prom"
    metrics.publish(RUN, Observe(prometheus=str(file)))
    lines = file.read_text().splitlines()
    assert "noisescope_bytes 1000000000001" in lines
    assert "noisescope_finished_timestamp_seconds 1767312000" in lines
    assert [path.name for path in tmp_path.iterdir()] == ["noisescope.prom"]
    told = [line for line in lines if not line.startswith("#")]
    assert len(told) == len(set(told)) == len(metrics.GAUGES) + 2


def test_mlflow_gets_a_run_per_scan(monkeypatch):
    told = {}

    class Started:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            told["ended"] = True

    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(
        set_experiment=lambda name: told.update(experiment=name),
        start_run=lambda run_name: told.update(name=run_name) or Started(),
        log_params=told.update,
        log_metrics=lambda figures, step: told.update(figures=figures, step=step),
    ))  # fmt: skip
    metrics.publish(RUN, Observe(mlflow="scans"))
    assert (told["experiment"], told["name"], told["step"]) == ("scans", "scan 9", 9)
    assert told["figures"]["fake"] == 8
    assert told["ended"]


def test_what_cannot_be_written_to_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(metrics, "find_spec", lambda name: None)
    observe = Observe(events=str(tmp_path / "no/a"), prometheus=str(tmp_path / "no/b"), mlflow="x")
    with pytest.raises(UsageError) as error:
        metrics.check(observe)
    for key in ("observe.events", "observe.prometheus", "observe.mlflow"):
        assert key in str(error.value)
    metrics.check(Observe(events=str(tmp_path / "a")))
