"""HEIC and JPEG XL, read where the extra `formats` is installed, and AVIF, read everywhere."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from noisescope_core.config import Config
from noisescope_core.extraction import residual_rows
from noisescope_core.images import formats, heif, jxl
from noisescope_core.images.compression import compression_of
from noisescope_core.images.decode import decode, read_header
from noisescope_core.images.formats import DAMAGED, SEVERAL
from noisescope_core.images.records import said_by
from tests.heart.test_decode import PIXELS, encoded
from tests.record_files import TRAINED, exif, xmp

imagecodecs = pytest.importorskip("imagecodecs", reason="the extra `formats` is not installed")
pillow_heif = pytest.importorskip("pillow_heif", reason="the extra `formats` is not installed")

GREY, ALPHA = PIXELS[:, :, 0].copy(), np.dstack([PIXELS, PIXELS[:, :, 0]])
DEEP = np.random.default_rng(2).integers(0, 65536, PIXELS.shape, np.uint16)


def heic(pixels=PIXELS, **options):
    """Lossless HEIC."""
    mode = {2: "L", 3: "RGB"}.get(pixels.ndim if pixels.ndim == 2 else pixels.shape[2], "RGBA")
    mode += ";16" if pixels.dtype == np.uint16 else ""
    file = pillow_heif.from_bytes(mode, pixels.shape[1::-1], pixels.tobytes())
    chroma = {} if pixels.ndim == 2 else {"chroma": 444, "matrix_coefficients": 0}
    stream = io.BytesIO()
    file.save(stream, quality=-1, **chroma, **options)
    return stream.getvalue()


def jpeg_xl(pixels=PIXELS, **options):
    return bytes(imagecodecs.jpegxl_encode(pixels, lossless=True, **options))


LOSSLESS = {"HEIC": heic, "JPEG XL": jpeg_xl}


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize("pixels", [PIXELS, GREY, ALPHA, PIXELS[:47, :61].copy()])
def test_stored_pixels_are_read(kind, pixels):
    data = LOSSLESS[kind](pixels)
    expected = pixels[:, :, :3] if pixels.ndim == 3 else pixels
    image = decode(data)
    assert np.array_equal(image.pixels, expected)
    assert str(image.compression) == kind
    header = read_header(data, 10_000, 100_000)
    assert (header.width, header.height) == expected.shape[1::-1]
    assert (header.compression, header.reason) == (image.compression, None)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_the_container_changes_nothing_that_is_compared(kind):
    """Whatever tells a generator is the same as of a PNG."""
    large = np.random.default_rng(3).integers(0, 256, (96, 128, 3), np.uint8)
    rows = [
        next(iter(residual_rows(data, Config(), "image", {})))
        for data in (encoded(Image.fromarray(large), "PNG"), LOSSLESS[kind](large))
    ]
    assert rows[0]["status"] == "scored"
    for column in ("residual", "tile", "sketch", "thumbnail"):
        assert rows[0][column] == rows[1][column]


def test_the_tiles_of_a_phone_are_one_picture():
    large = np.random.default_rng(4).integers(0, 256, (160, 224, 3), np.uint8)
    data = heic(large, tile_size=64)
    assert b"grid" in data
    assert np.array_equal(decode(data).pixels, large)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_no_turn_is_applied(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    turned = heic(PIXELS[:47, :61].copy(), exif=tags.tobytes())
    assert heif.main_picture(turned).turns
    image = decode(turned)
    assert np.array_equal(image.pixels, PIXELS[:47, :61])
    assert (image.width, image.height) == (61, 47)
    lossy = {"quality": 100, "subsampling": "4:4:4"}
    avif, plain = (
        encoded(Image.fromarray(PIXELS), "AVIF", **lossy, **more) for more in ({"exif": tags}, {})
    )
    assert np.array_equal(decode(avif).pixels, decode(plain).pixels)


def test_a_turned_jpeg_xl_is_read_as_stored(monkeypatch):
    """The orientation of the header is at bits known for a plain header."""
    plain = jpeg_xl()
    stream = jxl.stream_of(plain)
    assert stream.size == (64, 48)
    asked = {}
    monkeypatch.setattr(
        imagecodecs, "jpegxl_decode", lambda *_, **options: asked.update(options) or PIXELS
    )
    jxl.pixels_of(stream)
    assert asked["keeporientation"] is True


@pytest.mark.parametrize("kind", LOSSLESS)
def test_more_than_eight_bits_stay_within_a_grey_level(kind):
    image = decode(LOSSLESS[kind](DEEP))
    assert image.pixels.dtype == np.uint8
    assert abs(image.pixels - DEEP / 257).max() < 1
    ten = DEEP >> 6
    image = decode(bytes(imagecodecs.jpegxl_encode(ten, lossless=True, bitspersample=10)))
    assert abs(image.pixels - ten / 1023 * 255).max() < 1


def test_deep_avif_stays_near():
    smooth = cv2.resize(DEEP[:6, :8], (64, 48), interpolation=cv2.INTER_LINEAR) >> 6
    options = [cv2.IMWRITE_AVIF_DEPTH, 10, cv2.IMWRITE_AVIF_QUALITY, 100]
    data = cv2.imencode(".avif", smooth, options)[1].tobytes()
    image = decode(data)
    assert image.pixels.dtype == np.uint8
    assert abs(image.pixels[:, :, ::-1] - smooth / 1023 * 255).mean() < 2


def test_floats_are_refused_not_rounded():
    floats = jpeg_xl((PIXELS / 255).astype(np.float32))
    assert decode(floats).reason.startswith("format not supported: JPEG XL of 32-bit floats")


def test_the_main_picture_of_several_is_read():
    file = pillow_heif.from_bytes("RGB", (64, 48), PIXELS[::-1].tobytes())
    file.add_frombytes("RGB", (64, 48), PIXELS.tobytes())
    stream = io.BytesIO()
    file.save(stream, quality=-1, chroma=444, matrix_coefficients=0, primary_index=1)
    assert np.array_equal(decode(stream.getvalue()).pixels, PIXELS)


def test_animations_are_set_aside():
    film = np.stack([PIXELS, PIXELS[::-1]])
    assert decode(bytes(imagecodecs.jpegxl_encode(film, photometric="rgb"))).reason == SEVERAL
    burst = heic()
    assert decode(burst[:8] + b"hevc" + burst[12:]).reason == SEVERAL
    frames = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1].copy())]
    avif = encoded(frames[0], "AVIF", save_all=True, append_images=frames[1:])
    assert decode(avif).reason == "animation of 2 frames, not one image"


def test_a_jpeg_packed_in_jpeg_xl_is_that_jpeg():
    """Another decoder's rounding would make other noise of the same picture."""
    jpeg = encoded(Image.fromarray(PIXELS), "JPEG", quality=85)
    image = decode(bytes(imagecodecs.jpegxl_encode_jpeg(jpeg)))
    assert np.array_equal(image.pixels, decode(jpeg).pixels)
    assert image.compression == compression_of(Image.open(io.BytesIO(jpeg)))


@pytest.mark.parametrize("kind", LOSSLESS)
def test_damaged_files_are_set_aside(kind):
    data = LOSSLESS[kind]()
    for share in (0.05, 0.3, 0.7, 0.98):
        assert decode(data[: int(share * len(data))]).reason == DAMAGED
    assert decode(data[:300] + bytes(len(data) - 300)).pixels is None


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_large_picture_is_refused_by_its_header(monkeypatch, kind):
    monkeypatch.setattr(imagecodecs, "jpegxl_decode", lambda *_, **__: pytest.fail("decoded"))
    monkeypatch.setattr(pillow_heif, "open_heif", lambda *_, **__: pytest.fail("decoded"))
    image = decode(LOSSLESS[kind](), max_pixels=64 * 48 - 1)
    assert image.reason == "64 x 48 pixels are too many to decode, limit 3,071 (decode.max_pixels)"
    assert decode(LOSSLESS[kind](), max_bytes=100).pixels is None


def test_a_header_that_promises_less_than_there_is_gives_no_pixels():
    data = heic()
    place = data.index(b"ispe") + 8
    lying = data[:place] + (16).to_bytes(4, "big") + data[place + 4 :]
    assert decode(lying).reason == DAMAGED


FILES = [
    heic(), jpeg_xl(), jpeg_xl(DEEP), bytes(imagecodecs.jpegxl_encode_jpeg(
        encoded(Image.fromarray(PIXELS), "JPEG"))), encoded(Image.fromarray(PIXELS), "AVIF"),
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FILES), st.data())
def test_no_file_raises_or_passes_the_limit(data, draw):
    broken = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        # The tables that say how large a picture is come first.
        place = draw.draw(st.integers(0, min(len(data), 700) - 1))
        broken[place] = draw.draw(st.integers(0, 255))
    image = decode(bytes(broken), max_pixels=64 * 48)
    assert (image.pixels is None) == (image.reason is not None)
    if image.pixels is not None:
        assert image.pixels.shape[0] * image.pixels.shape[1] <= 64 * 48
    said_by(bytes(broken))


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([heic()[:32], b"\xff\x0a", jpeg_xl(DEEP)[:40]]), st.binary(max_size=400))
def test_no_beginning_raises(start, rest):
    assert decode(start + rest).reason is not None
    said_by(start + rest)


def test_records_that_are_items_are_read():
    assert said_by(heic(exif=exif(make="Some", model="Phone"))).camera == "Some Phone"
    assert said_by(heic(xmp=xmp(f'Iptc4xmpExt:DigitalSourceType="{TRAINED}"'))).claimed_by == "iptc"
    avif = encoded(Image.fromarray(PIXELS), "AVIF", exif=exif(make="Some", model="Phone"))
    assert said_by(avif).camera == "Some Phone"


def test_without_the_extra_the_reason_names_it(monkeypatch):
    formats.not_installed.cache_clear()
    monkeypatch.setattr(formats, "find_spec", lambda _: None)
    try:
        assert decode(heic()).reason == (
            "format not supported: HEIC; pip install 'noisescope[formats]'"
        )
        assert "JPEG XL" in decode(jpeg_xl()).reason
        assert decode(encoded(Image.fromarray(PIXELS), "PNG")).pixels is not None
    finally:
        formats.not_installed.cache_clear()
