"""Kinds of files that went wrong: sound pixels are read, damage and unknown formats are named."""

import os
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from noisescope_core.images import jpeg
from noisescope_core.images.decode import decode, read_header
from noisescope_core.images.formats import DAMAGED, UNKNOWN, format_of
from tests.heart.test_decode import PIXELS, encoded

PICTURE = cv2.resize(PIXELS, (256, 192), interpolation=cv2.INTER_CUBIC)
PICTURE = np.ascontiguousarray(PICTURE)
PNG = encoded(Image.fromarray(PIXELS), "PNG")


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def behind_header(*chunks):
    return PNG[:33] + b"".join(chunks) + PNG[33:]


FRAME = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 64, 48, 0, 0, 1, 10, 0, 0))
PACKED = zlib.compress(b"z" * 2_000_000)


@pytest.mark.parametrize(
    "data",
    [
        behind_header(chunk(b"zTXt", b"workflow\0\0" + PACKED)),
        behind_header(chunk(b"iTXt", b"workflow\0\1\0\0\0" + PACKED)),
        behind_header(chunk(b"iCCP", b"press\0\0" + PACKED)),
        behind_header(chunk(b"tEXt", b"parameters\0" + b"A" * 9_000_000)),
        behind_header(*[chunk(b"zTXt", b"k\0\0" + PACKED)] * 70),
        behind_header(chunk(b"tEXt", b"a\0b")[:-4] + bytes(4)),
        behind_header(chunk(b"gAMA", struct.pack(">I", 100_000)), chunk(b"sBIT", b"\5\6\5")),
        behind_header(chunk(b"acTL", struct.pack(">II", 1, 0)), FRAME),
        behind_header(chunk(b"acTL", struct.pack(">II", 1, 0)))[:-12]
        + FRAME + chunk(b"fdAT", bytes(4) + zlib.compress(bytes(100))) + PNG[-12:],
        PNG + b"garbage" * 1000, PNG[:-12], PNG[:-5],
    ],
    ids=["ztxt", "itxt", "profile", "long text", "many texts", "checksum of a text", "gamma",
         "one frame", "frame apart", "garbage behind", "no end", "half an end"],
)  # fmt: skip
def test_what_surrounds_the_pixels_of_a_png_does_not_matter(data):
    image = decode(data)
    assert image.reason is None
    assert np.array_equal(image.pixels, PIXELS)


def test_a_png_that_lacks_rows_is_damaged():
    rows = zlib.compress(bytes(193 * 30))
    header = PNG[:33]
    end = chunk(b"IEND", b"")
    for data in (header + chunk(b"IDAT", rows) + end, header + end, PNG[: len(PNG) // 2] + end):
        assert decode(data).reason == DAMAGED


KINDS = {
    "baseline": {},
    "coarse": {"quality": 30},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 5},
    "grey": {},
    "cmyk": {},
}


def jpeg_of(kind, pixels=PICTURE):
    image = Image.fromarray(pixels)
    if kind == "grey":
        image = image.convert("L")
    elif kind == "cmyk":
        image = image.convert("CMYK")
    return encoded(image, "JPEG", **{"quality": 92, **KINDS[kind]})


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_without_its_end_marker_is_whole(kind):
    data = jpeg_of(kind)
    expected = decode(data).pixels
    assert expected is not None
    tails = (b"", b"\xff", bytes(5000))
    for whole in (data + b"garbage" * 1000, data + bytes(99), *(data[:-2] + end for end in tails)):
        assert np.array_equal(decode(whole).pixels, expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.97])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9", bytes(3000)], ids=["cut", "closed", "zeros"])
def test_a_jpeg_that_lost_its_last_part_is_damaged(kind, share, end):
    data = jpeg_of(kind)
    assert decode(data[: int(share * len(data))] + end).reason == DAMAGED


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_with_zeros_inside_is_damaged(kind):
    data = bytearray(jpeg_of(kind))
    middle = len(data) * 2 // 3
    data[middle : middle + 100] = bytes(100)
    assert decode(bytes(data)).reason == DAMAGED


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    "options", [{}, {"optimize": True}, {"progressive": True}, {"restart_marker_rows": 1}]
)
def test_flat_areas_are_not_taken_for_damage(level, mode, options):
    pixels = np.full((900, 900, 3), level, np.uint8)
    pixels[:192, :256] = PICTURE
    data = encoded(Image.fromarray(pixels).convert(mode), "JPEG", **options)
    assert decode(data).reason is None


def test_a_progressive_jpeg_needs_all_its_scans():
    data = jpeg_of("progressive")
    layout = jpeg.layout_of(data)
    assert len(layout.scans) == 10
    for scan in layout.scans[:-1]:
        assert decode(data[: scan.end] + jpeg.END).reason == DAMAGED


def test_lossy_webp_overwritten_with_zeros_is_damaged():
    noise = np.random.default_rng(3).integers(0, 256, (400, 400, 3), np.uint8)
    data = bytearray(encoded(Image.fromarray(noise), "WEBP", quality=90))
    assert decode(bytes(data)).reason is None
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    assert decode(bytes(data)).reason == DAMAGED
    flat = encoded(Image.fromarray(np.full((4000, 4000, 3), 255, np.uint8)), "WEBP")
    assert decode(flat).reason is None


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_damage_that_one_reader_lets_pass_is_told_by_the_other(compression):
    data = bytearray(encoded(Image.fromarray(PICTURE), "TIFF", compression=compression))
    assert np.array_equal(decode(bytes(data)).pixels, PICTURE)
    data[len(data) // 4 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 4)
    assert decode(bytes(data)).reason == DAMAGED


def test_a_gif_without_its_last_byte_is_whole():
    data = encoded(Image.fromarray(PIXELS), "GIF")
    assert np.array_equal(decode(data[:-1]).pixels, decode(data).pixels)
    assert decode(data[:-20]).reason == DAMAGED


def pages(*pictures):
    """A TIFF of pictures, each with the type of its page (NewSubfileType)."""
    images = [Image.fromarray(pixels) for pixels, _ in pictures]
    for image, (_, kind) in zip(images, pictures, strict=True):
        image.encoderinfo = {"tiffinfo": TiffImagePlugin.ImageFileDirectory_v2()}
        image.encoderinfo["tiffinfo"][254] = kind
    first, *others = images
    return encoded(
        first, "TIFF", save_all=True, append_images=others,
        tiffinfo=first.encoderinfo["tiffinfo"],
    )  # fmt: skip


def test_a_thumbnail_on_a_page_of_its_own_is_no_second_image():
    small = PIXELS[::4, ::4].copy()
    behind, before = pages((PIXELS, 0), (small, 1)), pages((small, 1), (PIXELS, 0))
    for data in (behind, before):
        image = decode(data)
        assert (image.reason, image.width, image.height) == (None, 64, 48)
        assert np.array_equal(image.pixels, PIXELS)
        assert (read_header(data, 10_000, 100_000).width) == 64
    assert decode(pages((small, 1))).pixels is not None


def test_pages_that_are_images_are_not_one():
    data = pages((PIXELS, 0), (PIXELS[::-1].copy(), 0))
    assert decode(data).reason == "2 pages, not one image: save each as a file"


def test_a_codec_that_one_reader_lacks_is_read_by_the_other():
    data = encoded(Image.fromarray(PIXELS), "TIFF", compression="zstd")
    image = decode(data)
    if image.pixels is None:
        pytest.skip("neither reader has this codec here")
    assert np.array_equal(image.pixels, PIXELS)


def test_samples_that_are_not_eight_or_sixteen_bits_are_refused():
    grey = PIXELS[:, :, 0]
    floats = encoded(Image.fromarray((grey / 255).astype(np.float32)), "TIFF")
    assert decode(floats).reason.startswith("format not supported: TIFF of 32-bit floats")
    colour = cv2.imencode(".tiff", (PIXELS / 255).astype(np.float32))[1].tobytes()
    assert decode(colour).reason.startswith("format not supported: TIFF of 32-bit floats")
    long = encoded(Image.fromarray(grey.astype(np.int32)), "TIFF")
    assert decode(long).reason.startswith("format not supported: TIFF of 32-bit integers")
    portable = b"Pf\n64 48\n-1.0\n" + (grey / 255).astype("<f4").tobytes()
    assert decode(portable).reason.startswith("format not supported: PFM (floats)")


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\0\0\0\x1cftypisom\0\0\2\0isomiso2", "MP4 or QuickTime film"),
        (b"qoif", "QOI"), (b"8BPS\0\1", "Photoshop (PSD)"), (b"DDS |", "DDS"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 30000 30000\n", "PostScript"),
        (b"%PDF-1.7", "PDF"), (b"\x89HDF\r\n\x1a\n", "HDF5"), (b"PK\3\4", "ZIP archive"),
        (b"\0\0\1\xb3\x14", "MPEG film"), (b"RIFF\0\0\0\0AVI LIST", "RIFF (film or sound)"),
        (b"<!DOCTYPE html><html>", "HTML, a web page in the place of an image"),
    ],
)  # fmt: skip
def test_formats_are_told_apart_from_damage(start, name):
    reason = f"format not supported: {name}; convert it to PNG, at its own size"
    assert decode(start + os.urandom(300)).reason == reason


@pytest.mark.parametrize(
    ("kind", "name"), [("TGA", "TGA"), ("PCX", "PCX"), ("SGI", "SGI"), ("ICO", "icon (ICO)")]
)
def test_formats_that_pillow_alone_knows_are_named(kind, name):
    assert decode(encoded(Image.fromarray(PIXELS), kind)).reason.startswith(
        f"format not supported: {name};"
    )


def test_every_format_that_is_read_is_told_by_its_start():
    avif = "avif" if Image.registered_extensions().get(".avif") else "png"
    for kind in ("png", "jpeg", "webp", "gif", "bmp", "tiff", "jp2", "ppm", avif):
        data = encoded(Image.fromarray(PIXELS), Image.registered_extensions()[f".{kind}"])
        assert decode(data).pixels is not None, kind
        if kind not in ("bmp", "ppm"):  # Their bytes are pixels, and any bytes are some.
            assert decode(data[:-1] if kind != "jpeg" else data[:-9]).reason in (DAMAGED, None)
            assert decode(data[: len(data) // 2]).reason == DAMAGED, kind
    assert format_of(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif") == "AVIF"
    for brands in (b"heic\0\0\0\0mif1heic", b"mif1\0\0\0\0mif1heic"):
        assert format_of(b"\0\0\0\x1cftyp" + brands) == "HEIC"
    for start in (b"\0\0\0\x0cJXL \r\n\x87\n", b"\xff\x0a"):
        assert format_of(start) == "JPEG XL"
    assert decode(b"a note, or anything else").reason == UNKNOWN


@pytest.fixture(scope="module")
def cases(shared, tmp_path_factory):
    """What a script of the shared cases makes of one picture."""
    folder = tmp_path_factory.mktemp("cases")
    source = folder / "source.png"
    source.write_bytes(encoded(Image.fromarray(PICTURE), "PNG"))

    def make(script):
        if not (shared / "cases" / script).exists():
            pytest.skip(f"{script} is not at {shared / 'cases'}")
        command = [sys.executable, shared / "cases" / script, folder / script, source]
        subprocess.run(command, check=True, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})
        return {file.name: decode(file.read_bytes()) for file in (folder / script).iterdir()}

    return make


def test_shared_cases_of_png(cases):
    for name, image in cases("make_png_text.py").items():
        assert np.array_equal(image.pixels, PICTURE), name


def test_shared_cases_of_jpeg(cases):
    for name, image in cases("make_jpegs.py").items():
        whole = "whole" in name or "no_end_marker" in name
        assert image.reason == (None if whole else DAMAGED), name


def test_shared_cases_of_containers(cases):
    pytest.importorskip("tifffile", reason="make_containers.py needs tifffile")
    pytest.importorskip("imagecodecs", reason="make_containers.py needs imagecodecs")
    made = cases("make_containers.py")
    assert np.array_equal(made.pop("with_thumbnail.tif").pixels, PICTURE)
    for name in ("zstd.tif", "lzma.tif"):
        assert np.array_equal(made.pop(name).pixels, PICTURE)
    assert made.pop("two_pages.tif").reason.startswith("2 pages")
    for name, image in made.items():
        assert image.reason.startswith("format not supported: "), name
