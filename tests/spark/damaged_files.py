"""Files of every kind that a pile can hold, and what detect has to say of each."""

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tests.conftest import picture

UNLISTED = {
    "half.png._COPYING_": "not yet copied",
    "dangling.png": "link that leads nowhere",
    "pipe.png": "not a file with content",
    "not utf-8 \\xff.png": "name that is not UTF-8",
    "not utf-8 \\xfe.png": "name that is not UTF-8",
}
"""Files that cannot be read, and part of the reason."""

HIDDEN = (".hidden.png", "_underscore.png", "_metadata.png")
"""Images with names that Spark passes over."""

CIRCLE = "circle"
"""A link to the folder in which it lies."""


def encoded(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    """Encode a picture."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises far more pixels than its bytes hold."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100_000), 9)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def sound_picture() -> np.ndarray:
    """The picture that all these files are made of."""
    return np.clip(picture(np.random.default_rng(0)), 0, 255).astype(np.uint8)


def quarantined() -> dict[str, tuple[bytes, str]]:
    """Name to bytes of a file that is set aside, and part of the reason."""
    pixels = sound_picture()
    jpeg = encoded(pixels, "JPEG", quality=95)
    frames = {"save_all": True, "append_images": [Image.fromarray(pixels[::-1])]}
    return {
        "zero.jpg": (b"", "zero bytes"),
        "truncated.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "text.png": (b"not a picture at all", "not an image"),
        # A checksum as Hadoop leaves it, of what the file was before.
        ".copy.png.crc": (b"crc\0\0\0\2\0\1\2\3\4", "not an image"),
        "bomb.png": (bomb(30_000, 30_000), "too many"),
        "wide bomb.png": (bomb(7_000, 7_000), "7,000 x 7,000 pixels are too many"),
        "animated.gif": (encoded(pixels, "GIF", **frames), "animation of 2 frames"),
    }


def unscored() -> dict[str, tuple[bytes, str]]:
    """Name to bytes of an image that gets no score, and part of the reason."""
    pixels = sound_picture()
    return {
        "black.png": (encoded(pixels * 0, "PNG"), "flat image"),
        "saturated.png": (encoded(pixels * 0 + 255, "PNG"), "flat image"),
        "tiny.png": (encoded(pixels[:20, :20], "PNG"), "smaller than 64"),
        "other size.png": (encoded(np.tile(pixels, (2, 2, 1)), "PNG"), "too few images of 128 x"),
    }


def scored() -> dict[str, bytes]:
    """Name to bytes of an odd image that is scored like any other."""
    pixels = sound_picture()
    turned = Image.Exif()
    turned[0x0112] = 6
    cmyk = io.BytesIO()
    Image.fromarray(pixels).convert("CMYK").save(cmyk, "JPEG")
    return {
        "deep.png": cv2.imencode(".png", pixels.astype(np.uint16) * 257)[1].tobytes(),
        "palette.png": encoded(np.asarray(Image.fromarray(pixels).convert("P")), "PNG"),
        "alpha.png": encoded(np.dstack([pixels, pixels[:, :, 0]]), "PNG"),
        "grey.png": encoded(pixels[:, :, 0], "PNG"),
        "turned.jpg": encoded(pixels, "JPEG", exif=turned),
        "web.webp": encoded(pixels, "WEBP", lossless=True),
        "one.gif": encoded(pixels, "GIF"),
        "a name with spaces %20 and #.png": encoded(pixels, "PNG"),
        "copy.png": encoded(pixels, "PNG"),
        "Screenshot 2024-01-01 10:20:30.png": encoded(pixels, "PNG"),
        "IMG_1[1] {a,b} *?.png": encoded(pixels, "PNG"),
        "a=b %41%.png": encoded(pixels, "PNG"),
        'quote\'s "double".png': encoded(pixels[::-1], "PNG"),
        "new\nline.png": encoded(pixels[:, ::-1], "PNG"),
        "ünïcödé-图.png": encoded(pixels[::-1, ::-1], "PNG"),
        "<script>alert(1)<\u2215script>.png": encoded(pixels // 2, "PNG"),
        "cmyk.jpg": cmyk.getvalue(),
        **{name: encoded(pixels, "PNG") for name in HIDDEN},
    }


def write_damaged_files(folder: Path) -> None:
    """Write them all to a folder, and those with names that are hardly names."""
    for name, (data, _) in {**quarantined(), **unscored()}.items():
        (folder / name).write_bytes(data)
    for name, data in scored().items():
        (folder / name).write_bytes(data)
    jpeg = encoded(sound_picture(), "JPEG", quality=95)
    for name, reason in UNLISTED.items():
        if reason == "not yet copied":
            (folder / name).write_bytes(jpeg)
    (folder / "dangling.png").symlink_to(folder.parent / "nowhere")
    (folder / CIRCLE).symlink_to(".")
    os.mkfifo(folder / "pipe.png")
    for name in (b"/not utf-8 \xff.png", b"/not utf-8 \xfe.png"):
        with open(os.fsencode(folder) + name, "wb") as stream:
            stream.write(jpeg)
