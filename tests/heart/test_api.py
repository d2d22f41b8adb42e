"""The Python interface, and every example in a docstring."""

import doctest
import importlib
from pathlib import Path

import pytest

from noisescope_core import api

ROOT = Path(__file__).parents[2]

WITH_EXAMPLES = sorted(
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for file in (ROOT / "noisescope_core").rglob("*.py")
    if ">>>" in file.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_in_docstrings_are_true(module):
    failed, tried = doctest.testmod(importlib.import_module(module))
    assert tried and not failed


def test_settings_are_keys_or_a_configuration():
    config = api.configured({"calibration.t_merge": None, "discovery.images": 30})
    assert config.discovery.images == 30
    assert api.configured(config) is config
    with pytest.raises(api.UsageError, match="discovery"):
        api.configured({"discovery.image": 30})


@pytest.mark.parametrize("key", ["method=paper", "residual.denoiser=blur"])
def test_a_scan_refuses_what_the_command_refuses(key, tmp_path):
    name, _, value = key.partition("=")
    with pytest.raises(api.UsageError, match=f"{name}: scan knows the"):
        api.scan(tmp_path, tmp_path, str(tmp_path / "tables"), {name: value})
    assert not (tmp_path / "tables").exists()


def test_all_that_is_named_is_there():
    assert all(hasattr(api, name) for name in api.__all__)
