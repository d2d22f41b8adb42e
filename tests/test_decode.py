"""Decoding: pixels as they are stored, and a reason for what is set aside."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from noisescope_core.decode import decode, thumbnail

PIXELS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_rgb_order_and_size():
    image = decode(encoded(Image.fromarray(PIXELS), "PNG"))
    assert np.array_equal(image.pixels, PIXELS)
    assert (image.width, image.height, image.reason) == (64, 48, None)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_orientation_is_not_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = decode(encoded(Image.fromarray(PIXELS), "JPEG", exif=exif, quality=95))
    plain = decode(encoded(Image.fromarray(PIXELS), "JPEG", quality=95))
    assert np.array_equal(turned.pixels, plain.pixels)


def test_alpha_is_dropped_not_blended():
    with_alpha = np.dstack([PIXELS, np.zeros(PIXELS.shape[:2], np.uint8)])
    assert np.array_equal(decode(encoded(Image.fromarray(with_alpha), "PNG")).pixels, PIXELS)


def test_sixteen_bits_become_eight():
    deep = cv2.imencode(".png", PIXELS[:, :, ::-1].astype(np.uint16) * 257)[1].tobytes()
    assert np.array_equal(decode(deep).pixels, PIXELS)


def test_grey_stays_one_channel():
    image = decode(encoded(Image.fromarray(PIXELS[:, :, 0]), "PNG"))
    assert np.array_equal(image.pixels, PIXELS[:, :, 0])


def test_palette_becomes_rgb():
    palette = Image.fromarray(PIXELS).convert("P")
    image = decode(encoded(palette, "PNG"))
    assert np.array_equal(image.pixels, np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "GIF"])
def test_other_still_formats(kind):
    assert decode(encoded(Image.fromarray(PIXELS), kind)).pixels.shape == PIXELS.shape


def test_webp_and_cmyk():
    lossless = decode(encoded(Image.fromarray(PIXELS), "WEBP", lossless=True))
    assert np.array_equal(lossless.pixels, PIXELS)
    cmyk = decode(encoded(Image.fromarray(PIXELS).convert("CMYK"), "JPEG"))
    assert cmyk.pixels.shape == PIXELS.shape


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animations_are_set_aside(kind):
    frames = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1].copy())]
    image = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert image.pixels is None
    assert image.reason == "animation of 2 frames, not one image"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.98])
def test_truncated_files_are_set_aside(kind, share):
    whole = encoded(Image.fromarray(PIXELS), kind)
    image = decode(whole[: int(share * len(whole))])
    assert image.pixels is None
    assert image.reason


def test_limits_hold_before_any_pixel_is_decoded(monkeypatch):
    def never(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr(cv2, "imdecode", never)
    data = encoded(Image.fromarray(PIXELS), "PNG")
    assert "64 x 48 pixels are too many" in decode(data, max_pixels=64 * 48 - 1).reason
    assert "limit 100" in decode(data, max_bytes=100).reason


@given(st.binary(max_size=300), st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF"]))  # fmt: skip  # noqa: E501
def test_random_bytes_get_a_reason_and_never_raise(data, magic):
    image = decode(magic + data)
    assert image.pixels is None
    assert image.reason
    assert "\n" not in image.reason


def test_thumbnail():
    wide = np.tile(PIXELS, (4, 10, 1))
    small = cv2.imdecode(np.frombuffer(thumbnail(wide), np.uint8), cv2.IMREAD_UNCHANGED)
    assert small.shape == (38, 128, 3)
    grey = cv2.imdecode(np.frombuffer(thumbnail(PIXELS[:, :, 0]), np.uint8), cv2.IMREAD_UNCHANGED)
    assert grey.shape == (48, 64)
