"""Grey images among colour ones: the pattern is found, and grey images that carry it flagged."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from noisescope_core.config import Config
from noisescope_core.extraction import is_grey
from noisescope_core.in_memory import detect
from noisescope_core.whitened.discovery.growth import without_absent
from tests.conftest import picture


def png(pixels, grey):
    pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    stored = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if grey else pixels[:, :, ::-1]
    return cv2.imencode(".png", stored)[1].tobytes()


@pytest.fixture(scope="module")
def flagged():
    """Names of the images that are flagged in a pile of which every second is grey."""
    rng = np.random.default_rng(11)
    pattern = rng.normal(0, 0.4, (128, 128, 3))
    images = {}
    for k in range(80):
        name = f"{'fake' if k < 40 else 'real'}-{'grey' if k % 2 else 'colour'}-{k}"
        images[name] = png(picture(rng, (128, 128)) + (k < 40) * pattern, k % 2)
    reference = {str(k): png(picture(rng, (128, 128)), k % 10 == 0) for k in range(80)}
    return {v.path for v in detect(images, reference, Config()).verdicts if v.is_fake}


def test_the_pattern_is_found_in_both(flagged):
    assert not [name for name in flagged if name.startswith("real")]
    for kind in ("colour", "grey"):
        assert sum(kind in name for name in flagged) >= 17, kind


def test_weights_of_an_image_with_all_planes_stay():
    rng = np.random.default_rng(0)
    weights, shares = rng.uniform(0, 9, 33), rng.uniform(0, 1, 33)
    assert np.array_equal(without_absent(weights, np.zeros(33, bool), shares), weights)


def test_scores_of_fewer_bands_have_one_spread_with_others():
    rng = np.random.default_rng(1)
    weights, shares = rng.uniform(1, 3, 33), rng.uniform(0.5, 1, 33)
    noise = rng.normal(0, 1, (33, 20_000)) * np.sqrt(shares)[:, None]
    absent = np.arange(33) >= 11
    spread = (without_absent(weights, absent, shares) @ noise).std()
    assert spread == pytest.approx((weights @ noise).std(), rel=0.03)


def test_shared_case_of_mixed_grey(shared: Path, tmp_path: Path):
    script = shared / "cases/make_mixed_grey.py"
    if not script.exists():
        pytest.skip(f"make_mixed_grey.py is not at {shared / 'cases'}")
    environment = os.environ | {"CASES": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in ("make_base.py", "make_mixed_grey.py"):
        subprocess.run([sys.executable, script.parent / name], check=True, env=environment)
    images, reference = (
        {file.name: file.read_bytes() for file in (tmp_path / folder).iterdir()}
        for folder in ("mixed", "A/reference")
    )
    flagged = {v.path for v in detect(images, reference, Config()).verdicts if v.is_fake}
    assert not [name for name in flagged if name.startswith("real")]
    assert len(flagged) >= 30


@pytest.mark.parametrize(("grey", "name"), [(True, "in colour"), (False, "in grey")])
def test_a_reference_without_colours_or_without_grey_is_told(grey, name):
    """Whatever the format says: a grey picture in three channels is grey."""
    rng = np.random.default_rng(12)
    images = {f"t{k}": png(picture(rng, (96, 96)), not grey) for k in range(24)}
    reference = {f"r{k}": png(picture(rng, (96, 96)), grey) for k in range(60)}
    notes = []
    judged = detect(images, reference, Config(), notes.append)
    assert [text for text in notes if text.startswith(f"Tested images {name}")]
    assert not any(verdict.is_fake for verdict in judged.verdicts)
    assert is_grey(np.repeat(np.arange(64, dtype=np.uint8).reshape(8, 8, 1), 3, 2))
    notes.clear()
    both = reference | {f"s{k}": png(picture(rng, (96, 96)), not grey) for k in range(9)}
    detect(images, both, Config(), notes.append)
    assert not [text for text in notes if text.startswith(f"Tested images {name}")]
