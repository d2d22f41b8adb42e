"""The Python interface, and every example in a docstring."""

import doctest
import importlib
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from noisescope_core import api

ROOT = Path(__file__).parents[1]

WITH_EXAMPLES = sorted(
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for file in (ROOT / "noisescope_core").rglob("*.py")
    if ">>>" in file.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_in_docstrings_are_true(module):
    failed, tried = doctest.testmod(importlib.import_module(module))
    assert tried and not failed


def test_a_folder_to_verdicts_to_one_image_explained(spark, dump, tmp_path):
    run = api.detect(dump.images, dump.reference, tmp_path / "run", {"method": "whitened"})
    verdicts = run.table("verdicts").to_pandas()
    flagged = verdicts[verdicts["is_fake"]]
    assert {Path(path).name for path in flagged["path"]} == dump.fakes
    told = api.explain(flagged["path"].iloc[0], run)
    assert told.match.is_fake
    (fingerprint,) = run.table("fingerprints").to_pylist()
    figures = [
        api.plot_explanation(told),
        api.plot_fingerprint(fingerprint),
        api.plot_scores(run, fingerprint),
        api.plot_surface(told.match.surface),
    ]
    assert all(isinstance(figure, Figure) for figure in figures)
    labels = tmp_path / "labels.csv"
    names = [Path(path).name for path in verdicts["path"]]
    rows = [f"{name},{'fake' if name in dump.fakes else 'real'}" for name in names]
    labels.write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    assert api.evaluate(run, labels)["f1"] == 1
    again = api.find_known(dump.images, run.location, tmp_path / "known")
    assert dict(zip(again["path"], again["is_fake"], strict=True)) == dict(
        zip(verdicts["path"], verdicts["is_fake"], strict=True)
    )


def test_settings_are_keys_or_a_configuration():
    config = api.configured({"calibration.t_merge": None, "discovery.images": 30})
    assert config.discovery.images == 30
    assert api.configured(config) is config
    with pytest.raises(api.UsageError, match="discovery"):
        api.configured({"discovery.image": 30})


def test_all_that_is_named_is_there():
    assert all(hasattr(api, name) for name in api.__all__)
