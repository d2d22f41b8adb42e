"""Decoding: pixels as they are stored, and a reason for what is set aside."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from noisescope_core.images.decode import decode, thumbnail

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


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_orientation_is_not_applied_in_lossless_formats(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    image = decode(encoded(Image.fromarray(PIXELS), kind, exif=exif, **options))
    assert np.array_equal(image.pixels, PIXELS)
    assert (image.width, image.height) == (64, 48)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("alpha", ["none", "any"])
def test_alpha_is_dropped_not_blended(kind, alpha):
    opacity = np.random.default_rng(1).integers(0, 256, PIXELS.shape[:2], np.uint8)
    with_alpha = np.dstack([PIXELS, opacity * (alpha == "any")])
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    data = encoded(Image.fromarray(with_alpha), kind, **options)
    assert np.array_equal(decode(data).pixels, PIXELS)


def test_alpha_of_a_turned_tiff_is_dropped():
    turned = Image.Exif()
    turned[0x0112] = 6
    with_alpha = np.dstack([PIXELS, PIXELS[:, :, 0]])
    data = encoded(Image.fromarray(with_alpha), "TIFF", exif=turned)
    assert np.array_equal(decode(data).pixels, PIXELS)


def test_transparent_palette_is_not_blended():
    palette = Image.fromarray(PIXELS).convert("P")
    image = decode(encoded(palette, "PNG", transparency=3))
    assert np.array_equal(image.pixels, np.asarray(palette.convert("RGB")))


def test_sixteen_bits_become_eight():
    deep = cv2.imencode(".png", PIXELS[:, :, ::-1].astype(np.uint16) * 257)[1].tobytes()
    assert np.array_equal(decode(deep).pixels, PIXELS)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_any_sixteen_bits_stay_within_a_grey_level(suffix):
    deep = np.random.default_rng(2).integers(0, 65536, PIXELS.shape, np.uint16)
    image = decode(cv2.imencode(suffix, deep[:, :, ::-1])[1].tobytes())
    assert image.pixels.dtype == np.uint8
    assert abs(image.pixels - deep / 257).max() < 1
    grey = decode(cv2.imencode(suffix, deep[:, :, 0])[1].tobytes())
    assert grey.pixels.shape == PIXELS.shape[:2]


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
    data = encoded(Image.fromarray(PIXELS).convert("CMYK"), "JPEG")
    with Image.open(io.BytesIO(data)) as second_opinion:
        expected = np.asarray(second_opinion.convert("RGB")).astype(int)
    assert abs(decode(data).pixels - expected).max() <= 2


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animations_are_set_aside(kind):
    frames = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1].copy())]
    image = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert image.pixels is None
    assert image.reason == "animation of 2 frames, not one image"


def test_what_a_camera_appends_to_its_jpeg_is_no_animation():
    depth = Image.fromarray(PIXELS[::2, ::2, 0].copy())
    data = encoded(Image.fromarray(PIXELS), "MPO", save_all=True, append_images=[depth])
    plain = encoded(Image.fromarray(PIXELS), "JPEG")
    assert np.array_equal(decode(data).pixels, decode(plain).pixels)


def test_text_is_not_an_image():
    assert decode(b"not a picture at all\n" * 50).reason.startswith("not an image")
    assert decode(b"").reason == "empty file (zero bytes)"


@pytest.mark.parametrize(("width", "height"), [(7_000, 7_000), (2**30, 2**30)])
def test_a_bomb_is_refused_by_its_header(monkeypatch, width, height):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    plain = encoded(Image.fromarray(PIXELS), "PNG")
    header = b"IHDR" + struct.pack(">II", width, height) + plain[24:29]
    bomb = plain[:12] + header + struct.pack(">I", zlib.crc32(header)) + plain[33:]
    image = decode(bomb)
    assert image.pixels is None
    assert "too many" in image.reason


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


WHOLE = [
    encoded(Image.fromarray(np.dstack([PIXELS, PIXELS[:, :, 0]])[:16, :16]), kind, **options)
    for kind, options in (
        ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {}), ("BMP", {}),
    )
] + [encoded(Image.fromarray(PIXELS[:16, :16]), kind) for kind in ("JPEG", "GIF")]  # fmt: skip


@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
    st.floats(0.2, 1),
)
@settings(max_examples=400)
def test_damaged_files_never_raise(whole, damage, share):
    data = bytearray(whole)
    for place, byte in damage:
        data[int(place * (len(data) - 1))] = byte
    image = decode(bytes(data[: int(share * len(data))]), max_pixels=100_000)
    assert (image.pixels is None) == bool(image.reason)
    if image.pixels is not None:
        assert image.pixels.shape[:2] == (image.height, image.width)


def test_a_tiff_that_one_reader_refuses_is_set_aside():
    whole = WHOLE[2]
    start = struct.unpack_from("<I", whole, 4)[0]
    tags = struct.unpack_from("<H", whole, start)[0]
    refused = 0
    for place in range(8, len(whole)):
        if start <= place < start + 2 + 12 * tags:
            continue
        image = decode(whole[:place] + b"\xff" + whole[place + 1 :])
        assert (image.pixels is None) == bool(image.reason)
        refused += image.pixels is None
    assert refused


def test_thumbnail():
    wide = np.tile(PIXELS, (4, 10, 1))
    small = cv2.imdecode(np.frombuffer(thumbnail(wide), np.uint8), cv2.IMREAD_UNCHANGED)
    assert small.shape == (38, 128, 3)
    grey = cv2.imdecode(np.frombuffer(thumbnail(PIXELS[:, :, 0]), np.uint8), cv2.IMREAD_UNCHANGED)
    assert grey.shape == (48, 64)
