"""The same pixels have the same score, whatever the file: an image is tested without itself."""

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from noisescope_core.config import load_config
from noisescope_core.extraction import pixels_id
from noisescope_core.in_memory import detect
from tests.conftest import SMALL, picture

COPIES = {
    "copy.bmp": {"format": "BMP"},
    "copy.tif": {"format": "TIFF", "compression": "tiff_lzw"},
    "copy.webp": {"format": "WEBP", "lossless": True},
}


def saved(pixels, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, **options)
    return stream.getvalue()


def piles(grey):
    """40 pictures, 16 of them with a common pattern, and 60 reference pictures."""
    rng = np.random.default_rng(1)
    pattern = rng.normal(0, 3, (64, 64, 1))
    pixels = [
        np.clip(picture(rng, (64, 64)) + (k < 16) * pattern, 0, 255).astype(np.uint8)
        for k in range(100)
    ]
    return [one[:, :, 0] if grey else one for one in pixels]


@pytest.mark.parametrize("grey", [False, True])
def test_the_same_picture_in_other_files_has_the_same_score(grey):
    pictures = piles(grey)
    files = {f"{k:02d}.png": saved(one, format="PNG") for k, one in enumerate(pictures)}
    reference = {name: files.pop(name) for name in list(files)[40:]}
    files |= {name: saved(pictures[3], **options) for name, options in COPIES.items()}
    judged = detect(files, reference, load_config(None, SMALL))
    verdicts = {verdict.path: verdict for verdict in judged.verdicts}
    same = [verdicts[name] for name in ("03.png", *COPIES)]
    assert len({one.image_id for one in same}) == len(same)
    assert all(one.is_fake for one in same)
    assert len({(one.threshold, one.fingerprint_id) for one in same}) == 1
    # Grey pixels that a file stores as colours are rounded in another order.
    assert [one.score for one in same] == pytest.approx([same[0].score] * len(same), rel=1e-6)
    # It is one picture in the fingerprint, and held against it without itself.
    members = Counter(m for row in judged.fingerprints if row.flagged for m in row.member_pixels)
    assert members[pixels_id(pictures[3])] == 1
    rest = detect({name: data for name, data in files.items() if name not in COPIES},
                  reference, load_config(None, SMALL))  # fmt: skip
    (alone,) = (one for one in rest.verdicts if one.path == "03.png")
    assert alone.score == pytest.approx(same[0].score, rel=1e-6)


def test_grey_pixels_are_the_same_stored_as_colours():
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert pixels_id(grey) == pixels_id(np.repeat(grey[:, :, None], 3, 2))
    assert pixels_id(grey) != pixels_id(grey.reshape(4, 16))
