"""Duplicates: one picture twice, told from one fingerprint twice."""

import cv2
import numpy as np

from noisescope_core.images.sketch import sketch
from noisescope_core.whitened.planes.duplicates import first_of_group
from tests.conftest import picture


def test_noise_and_content_must_agree():
    rng = np.random.default_rng(0)
    pictures = [np.clip(picture(rng), 0, 255).astype(np.uint8) for _ in range(4)]
    _, data = cv2.imencode(".jpg", pictures[0], [cv2.IMWRITE_JPEG_QUALITY, 80])
    again = cv2.imdecode(data, cv2.IMREAD_COLOR)
    sketches = np.stack([sketch(p) for p in (*pictures, again)])
    strong = np.full((5, 5), 0.3, np.float32)
    weak = rng.normal(0, 0.02, (5, 5)).astype(np.float32)
    assert first_of_group(sketches, strong).tolist() == [0, 1, 2, 3, 0]
    assert first_of_group(sketches, weak).tolist() == [0, 1, 2, 3, 4]


def test_a_framed_and_a_letterboxed_copy_are_duplicates():
    rng = np.random.default_rng(2)
    pictures = [np.clip(picture(rng), 0, 255).astype(np.uint8) for _ in range(3)]
    framed, letterboxed = pictures[0].copy(), pictures[1].copy()
    framed[:16], framed[-16:], framed[:, :16], framed[:, -16:] = 20, 20, 20, 20
    bar = len(letterboxed) // 5
    letterboxed[:bar], letterboxed[-bar:] = 0, 0
    sketches = np.stack([sketch(p) for p in (*pictures, framed, letterboxed)])
    strong = np.full((5, 5), 0.3, np.float32)
    assert first_of_group(sketches, strong).tolist() == [0, 1, 2, 0, 1]


def test_a_grey_image_and_a_flat_one_have_sketches():
    assert sketch(np.full((64, 80), 7, np.uint8)).tolist() == [7] * 1024
    sketches = np.zeros((3, 1024), np.uint8)
    assert first_of_group(sketches, np.ones((3, 3))).tolist() == [0, 1, 2]


def test_burst_shots_share_less_noise_but_look_the_same():
    rng = np.random.default_rng(1)
    sketches = rng.integers(0, 256, (40, 1024), np.uint8)
    sketches[:6] = sketches[0] + rng.integers(0, 3, (6, 1024)).astype(np.uint8)
    noise = rng.normal(0, 0.003, (40, 40)).astype(np.float32)
    correlations = noise + noise.T
    for k in range(5):
        correlations[k + 1, k] = correlations[k, k + 1] = 0.03
    first = first_of_group(sketches, correlations)
    assert first.tolist() == [0] * 6 + list(range(6, 40))
    # A fingerprint alone, or a look alone, makes no duplicates.
    correlations[10:20, 10:20] = 0.03
    sketches[30:35] = sketches[30]
    assert first_of_group(sketches, correlations).tolist() == first.tolist()
