"""Known watermarks: read where they are, and nowhere else."""

import cv2
import numpy as np
import pytest

from noisescope_core.images.watermark import STEP, WORDS, watermark_of
from tests.conftest import picture


def marked(pixels, word, kind=np.uint8):
    """Write a word as the published scheme does: one Haar coefficient of every 4 x 4 block.

    Tools give it pixels of either kind.
    """
    yuv = cv2.cvtColor(pixels.astype(kind), cv2.COLOR_RGB2YUV)
    chroma = yuv[:, :, 1].astype(np.float64)
    number = 0
    for top in range(0, chroma.shape[0], 8):
        for left in range(0, chroma.shape[1], 8):
            block = chroma[top : top + 8, left : left + 8].reshape(4, 2, 4, 2)
            low = block.sum((1, 3)) / 2
            row, column = divmod(int(np.abs(low.ravel()[1:]).argmax()) + 1, 4)
            value = abs(low[row, column])
            wanted = (value // STEP + 0.25 + 0.5 * word[number % len(word)]) * STEP
            block[row, :, column] += np.copysign(wanted - value, low[row, column]) / 2
            number += 1
            chroma[top : top + 8, left : left + 8] = block.reshape(8, 8)
    if kind is np.uint8:
        chroma = np.clip(np.rint(chroma), 0, 255)
    yuv[:, :, 1] = chroma
    rgb = cv2.cvtColor(yuv, cv2.COLOR_YUV2RGB)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def photograph(seed, shape=(256, 256)):
    pixels = picture(np.random.default_rng(seed), shape)
    pixels = pixels.mean(2, keepdims=True) + 0.25 * (pixels - pixels.mean(2, keepdims=True))
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("name", WORDS)
def test_a_watermark_is_named(name, kind):
    # A word of 32 bits has to be read without a mistake: at the size of its images.
    pixels = photograph(0, (512, 512))
    assert watermark_of(marked(pixels, WORDS[name], kind)) == name


def test_other_words_and_photographs_have_none():
    rng = np.random.default_rng(1)
    assert watermark_of(marked(photograph(2), rng.integers(0, 2, 136))) is None
    for seed in range(30):
        assert watermark_of(photograph(seed)) is None
    assert watermark_of(np.zeros((64, 64), np.uint8)) is None
    assert watermark_of(np.full((40, 9, 3), 128, np.uint8)) is None


def test_watermarks_of_real_images(shared):
    for folder, least, most in (("diffusion/fake", 0.6, 1), ("faces/real", 0, 0)):
        files = sorted((shared / "data" / folder).iterdir())[:60]
        named = [watermark_of(cv2.imread(str(file))[:, :, ::-1]) is not None for file in files]
        assert least <= np.mean(named) <= most
