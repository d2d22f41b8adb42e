"""Image files decoded to pixels as they are stored.

In come the bytes of a file, out come pixels, or the reason why there are none (`Decoded`).
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import EXTRASAMPLES

from noisescope_core.images import heif, jpeg, jxl, png, tiff, webp
from noisescope_core.images.compression import Compression, compression_of
from noisescope_core.images.formats import (
    DAMAGED,
    PLUGINS,
    READ,
    UNKNOWN,
    format_of,
    not_installed,
    not_supported,
)

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

ORIENTATION = 0x0112
"""Number of the TIFF tag that says how an image is turned (TIFF 6.0)."""

UNASSOCIATED_ALPHA = 2
"""Value of the tag ExtraSamples for alpha that colours are not multiplied by (TIFF 6.0)."""

LUMA = np.array([0.299, 0.587, 0.114])
"""Shares of red, green and blue in luma (ITU-R BT.601)."""

PILLOW_TOO = ("TIFF", "GIF")
"""Formats that Pillow reads where OpenCV does not: other codecs, a GIF without its last byte."""

ASKED_TWICE = ("JPEG 2000",)
"""Formats, and compressed TIFF besides, of which OpenCV gives pixels where data is broken."""

THUMBNAIL_QUALITY = 80
"""JPEG quality of thumbnails, 1..100. Chosen."""


@dataclass(frozen=True)
class Decoded:
    """An image, or the reason why there is none.

    Attributes
    ----------
    pixels : (H, W) or (H, W, 3) uint8 in RGB order, or None
    width, height : int, in pixels, 0 where the header could not be read
    reason : str or None
        Why the file is set aside, in one line.
    compression : of the file, None where the header could not be read
    """

    pixels: NDArray[np.uint8] | None
    width: int = 0
    height: int = 0
    reason: str | None = None
    compression: Compression | None = None


def refused_size(size: int, limit: int) -> str | None:
    """Say why a file of so many bytes is set aside unread, if it is.

    Examples
    --------
    >>> refused_size(0, 100)
    'empty file (zero bytes)'
    >>> refused_size(100, 100) is None
    True
    """
    if size == 0:
        return "empty file (zero bytes)"
    return f"file of {size:,} bytes, limit {limit:,} (decode.max_bytes)" if size > limit else None


def read_header(data: bytes, max_pixels: int, max_bytes: int) -> Decoded:
    """Read what a file, or its beginning, says of itself: `decode` without pixels."""
    return _opened(data, max_pixels, max_bytes).header


@dataclass(frozen=True)
class _Opened:
    """A file whose header was read, and what its format asks for besides."""

    header: Decoded
    format: str = ""
    data: bytes = b""
    layout: jpeg.Layout | None = None
    page: tiff.Page | None = None
    picture: heif.Picture | jxl.Stream | None = None


def _opened(data: bytes, max_pixels: int, max_bytes: int) -> _Opened:
    if reason := refused_size(len(data), max_bytes):
        return _Opened(Decoded(None, reason=reason))
    name = format_of(data)
    if name is None:
        return _Opened(Decoded(None, reason=UNKNOWN))
    if name not in READ and name not in PLUGINS:
        return _Opened(Decoded(None, reason=not_supported(name)))
    if reason := not_installed(name):
        return _Opened(Decoded(None, reason=reason))
    layout, picture, frames = None, None, 0
    if name == "PNG":
        data, frames = png.pixels_alone(data)
    elif name == "JPEG":
        layout = jpeg.layout_of(data)
        data = jpeg.with_end(data, layout)
    limit = f"limit {max_pixels:,} (decode.max_pixels)"
    try:
        page = tiff.main_page(data) if name == "TIFF" else None
        if name in PLUGINS:
            picture = heif.main_picture(data) if name == "HEIC" else jxl.stream_of(data)
            header = Decoded(None, *picture.size, picture.reason, Compression(name))
        else:
            header = _header_of_page(page) if page else _header_of(data, name, frames)
    except Image.DecompressionBombError:
        return _Opened(Decoded(None, reason=f"too many pixels to decode, {limit}"))
    except Exception:  # Pillow's readers raise whatever a broken header makes them.
        return _Opened(Decoded(None, reason=DAMAGED))
    if header.width * header.height > max_pixels:
        reason = f"{header.width:,} x {header.height:,} pixels are too many to decode, {limit}"
        header = replace(header, reason=reason)
    if isinstance(picture, jxl.Stream) and picture.from_jpeg and not header.reason:
        return _opened_jpeg(data, max_pixels, max_bytes)
    return _Opened(header, name, data, layout, page, picture)


def _opened_jpeg(data: bytes, max_pixels: int, max_bytes: int) -> _Opened:
    """Open the JPEG that a file in JPEG XL was made from: its pixels are exactly that JPEG's."""
    try:
        return _opened(jxl.jpeg_of(data), max_pixels, max_bytes)
    except Exception:  # As above.
        return _Opened(Decoded(None, reason=DAMAGED))


def _header_of(data: bytes, name: str, frames: int) -> Decoded:
    """Read a header by Pillow; `frames` where they are known, else 0."""
    with _pillow_image(data, name) as header:
        # What a camera appends to its JPEG (a depth map, a gain map) is not an animation.
        single = frames == 1 or header.format == "MPO"
        frames = 1 if single else frames or getattr(header, "n_frames", 1)
        reason = f"animation of {frames} frames, not one image" if frames > 1 else None
        return Decoded(None, *header.size, reason, compression_of(header))


def _header_of_page(page: tiff.Page) -> Decoded:
    return Decoded(None, *page.size, page.reason, Compression("TIFF"))


def decode(data: bytes, max_pixels: int = 33_554_432, max_bytes: int = 104_857_600) -> Decoded:
    """Decode one file.

    The pixels are those stored: an EXIF orientation is not applied (a turned image would no
    longer lie on its fingerprint), alpha is dropped, not blended, 16 bits become 8, palettes
    and CMYK become RGB. Animations are set aside: their frames are not images of one picture.

    Parameters
    ----------
    data : bytes
    max_pixels, max_bytes : int
        Larger images and files are set aside before any pixel is decoded.

    Returns
    -------
    Decoded

    Examples
    --------
    >>> decode(b"no image").reason
    'not an image, or of a format that is not supported'
    """
    file = _opened(data, max_pixels, max_bytes)
    if file.header.reason:
        return file.header
    pixels = None if _shows_loss(file) else _pixels_of(file)
    if pixels is None or _lacks_its_end(file, pixels) or _is_refused_besides(file):
        return replace(file.header, reason=DAMAGED)
    height, width = pixels.shape[:2]
    return replace(
        file.header, pixels=pixels.astype(np.uint8, copy=False), width=width, height=height
    )


def _shows_loss(file: _Opened) -> bool:
    """Whether the bytes alone show that a part of the image is lost; no pixel is decoded."""
    if file.layout is not None:
        return jpeg.lost_in(file.data, file.layout)
    area = file.header.width * file.header.height
    return file.format == "WebP" and webp.is_blanked(file.data, area)


def _pixels_of(file: _Opened) -> NDArray[np.uint8] | None:
    """Decode by OpenCV, and by Pillow what OpenCV lacks a codec for; None if neither can."""
    if file.picture is not None:
        return _by_plugin(file.data, file.picture)
    pixels = _by_opencv(file.data, file.page.number if file.page else 0)
    try:
        if pixels is None and file.format in PILLOW_TOO:
            pixels = _by_pillow(file)
        if file.page is not None and pixels is not None:
            pixels = _tiff_as_stored(pixels, file, file.page)
    except Exception:  # The second reader may refuse what the first let pass.
        return None
    return pixels


def _by_plugin(data: bytes, picture: heif.Picture | jxl.Stream) -> NDArray[np.uint8] | None:
    """Decode a file by the package for its format; None if it is not what its header says."""
    try:
        if isinstance(picture, heif.Picture):
            pixels = heif.pixels_of(data, picture)
        else:
            pixels = jxl.pixels_of(picture)
    except Exception:  # As above.
        return None
    if pixels.ndim == 3:
        pixels = pixels[:, :, 0] if pixels.shape[2] < 3 else pixels[:, :, :3]
    if pixels.shape[1::-1] != picture.size:
        return None
    return np.ascontiguousarray(pixels)


def _by_opencv(data: bytes, page: int = 0) -> NDArray[np.uint8] | None:
    """Decode a file, of several pages one; RGB order."""
    buffer = np.frombuffer(data, np.uint8)
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        if page:
            pages = cv2.imdecodemulti(buffer, flags, range=(page, page + 1))[1]
            pixels = pages[0] if pages else None
        else:
            pixels = cv2.imdecode(buffer, flags)
    except cv2.error:
        return None
    if pixels is not None and pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return pixels


def _by_pillow(file: _Opened) -> NDArray[np.uint8]:
    """Decode a file, of several pages one; RGB order. Raises what Pillow raises."""
    with _pillow_image(file.data, file.format) as image:
        image.seek(file.page.number if file.page else 0)
        if image.mode.startswith("I;16"):
            return (np.asarray(image) >> 8).astype(np.uint8)
        if image.mode in ("1", "L", "LA"):
            return np.asarray(image.convert("L"))
        # Alpha is dropped only after a palette that has some was looked up.
        return np.asarray(image.convert("RGBA"))[:, :, :3]


@contextmanager
def _pillow_image(data: bytes, name: str) -> Iterator[Image.Image]:
    """Open a file by Pillow, without its warnings: of large images, say, whose limit is ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=[READ[name]]) as image:
            yield image


def _lacks_its_end(file: _Opened, pixels: NDArray[np.uint8]) -> bool:
    """Whether a JPEG's data ends before its image does, by what other bytes behind it change.

    Pillow is asked, as OpenCV's decoder writes a line to standard error about those bytes.
    """
    if file.layout is None:
        return False
    last = pixels[-1, -1]
    luma = float(last @ LUMA if pixels.ndim == 3 else last)
    if not jpeg.may_lack(file.layout, luma):
        return False
    with _pillow_image(jpeg.filled(file.data), file.format) as image:
        filled = np.asarray(image)
    if np.array_equal(filled, pixels):
        return False
    with _pillow_image(file.data, file.format) as image:
        return not np.array_equal(filled, np.asarray(image))


def _is_refused_besides(file: _Opened) -> bool:
    """Whether Pillow, asked as well where OpenCV lets damage pass, finds the data broken."""
    if not (file.page.compressed if file.page else file.format in ASKED_TWICE):
        return False
    try:
        _by_pillow(file)
    except UnidentifiedImageError:  # It knows no such pixels, so it says nothing of these.
        return False
    except Exception:
        return True
    return False


def _tiff_as_stored(pixels: NDArray[np.uint8], file: _Opened, page: tiff.Page) -> NDArray[np.uint8]:
    """Undo what the TIFF reader does whatever it is told: blend the alpha, turn the image."""
    if pixels.ndim == 3 and UNASSOCIATED_ALPHA in page.tags.get(EXTRASAMPLES, ()):
        pixels = _by_pillow(file)  # This reader turns the image too.
    orientation = page.tags.get(ORIENTATION, 1)
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 6, 7):
        pixels = pixels[::-1]
    if orientation in (2, 3, 7, 8):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def thumbnail(pixels: NDArray[np.uint8], side: int = 128) -> bytes:
    """Shrink an image to at most `side` pixels a side, as JPEG bytes.

    Parameters
    ----------
    pixels : (H, W) or (H, W, 3) uint8, RGB
    side : longest side wanted, pixels; smaller images stay as they are
    """
    scale = side / max(pixels.shape[:2])
    if scale < 1:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, THUMBNAIL_QUALITY])[1])
