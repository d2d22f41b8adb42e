"""Reference folders that look large enough and are not: copies of tested images, or of others."""

import io
import warnings
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from noisescope_core.config import load_config
from noisescope_core.in_memory import detect
from tests.conftest import picture


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def jpeg(pixels, quality):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def pictures(seed, count):
    rng = np.random.default_rng(seed)
    shape = (96, 128)
    return [
        np.clip(np.rint(picture(rng, shape) + rng.normal(0, 6, shape)[..., None]), 0, 255).astype(
            np.uint8
        )
        for _ in range(count)
    ]


TESTED, OTHERS = pictures(1, 30), pictures(2, 70)
IMAGES = {f"{k}.png": png(pixels) for k, pixels in enumerate(TESTED)}
REFERENCE = {f"r{k}.png": png(pixels) for k, pixels in enumerate(OTHERS)}
SAME = {f"same{name}": data for name, data in IMAGES.items()}
AGAIN = {f"again{k}.jpg": jpeg(pixels, 92) for k, pixels in enumerate(TESTED)}
TEN_TIMES = {
    f"{k}_{quality}.jpg": jpeg(pixels, quality)
    for k, pixels in enumerate(OTHERS[:10])
    for quality in range(86, 96)
}
FEW = dict(list(REFERENCE.items())[:20])


@pytest.mark.parametrize(
    ("reference", "left", "note"),
    [
        (SAME | FEW, 20, "reference images left out that are tested, too: 30"),
        (SAME, 0, "reference images left out that are tested, too: 30"),
        (AGAIN | FEW, 20, "reference images that show a tested picture"),
        (TEN_TIMES, 10, "one picture once more: 90"),
    ],
)
def test_copies_do_not_calibrate(reference, left, note):
    config = load_config(None, ("discovery.least_reference=40",))
    notes = []
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        judged = detect(IMAGES, reference, config, notes.append)
    reason = f"too few reference images to calibrate: {left} of all sizes, needed 40"
    assert Counter(verdict.reason for verdict in judged.verdicts) == {reason: len(IMAGES)}
    assert {verdict.status for verdict in judged.verdicts} == {"unscored"}
    assert any(note in text for text in notes)


def test_what_is_left_of_a_reference_serves():
    config = load_config(None, ("discovery.least_reference=40",))
    judged, alone = (
        detect(IMAGES, reference, config) for reference in (REFERENCE | SAME, REFERENCE)
    )
    assert {verdict.status for verdict in judged.verdicts} == {"scored"}
    assert judged.verdicts == alone.verdicts
