"""Duplicates: one picture twice, told from one fingerprint twice."""

import cv2
import numpy as np

from noisescope_core.duplicates import first_of_group, sketch
from tests.conftest import picture


def test_noise_and_content_must_agree():
    rng = np.random.default_rng(0)
    pictures = [np.clip(picture(rng), 0, 255).astype(np.uint8) for _ in range(4)]
    _, data = cv2.imencode(".jpg", pictures[0], [cv2.IMWRITE_JPEG_QUALITY, 80])
    again = cv2.imdecode(data, cv2.IMREAD_COLOR)
    sketches = np.stack([sketch(p) for p in (*pictures, again)])
    strong = np.full((5, 5), 0.3, np.float32)
    weak = np.full((5, 5), 0.05, np.float32)
    assert first_of_group(sketches, strong).tolist() == [0, 1, 2, 3, 0]
    assert first_of_group(sketches, weak).tolist() == [0, 1, 2, 3, 4]


def test_a_grey_image_and_a_flat_one_have_sketches():
    assert sketch(np.full((64, 80), 7, np.uint8)).tolist() == [7] * 1024
    sketches = np.zeros((3, 1024), np.uint8)
    assert first_of_group(sketches, np.ones((3, 3))).tolist() == [0, 1, 2]
