"""Image files decoded to pixels as they are stored.

In come the bytes of a file, out come pixels, or the reason why there are none (`Decoded`).
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import EXTRASAMPLES, TiffImageFile

from noisescope_core.images.compression import Compression, compression_of

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

ORIENTATION = 0x0112
"""Number of the TIFF tag that says how an image is turned (TIFF 6.0)."""

UNASSOCIATED_ALPHA = 2
"""Value of the tag ExtraSamples for alpha that colours are not multiplied by (TIFF 6.0)."""

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


def read_header(data: bytes, max_pixels: int, max_bytes: int) -> tuple[Decoded, dict[int, Any]]:
    """Read what a file says of itself: `decode` without pixels, and the tags of a TIFF."""
    if reason := refused_size(len(data), max_bytes):
        return Decoded(None, reason=reason), {}
    limit = f"limit {max_pixels:,} (decode.max_pixels)"
    try:
        with warnings.catch_warnings():
            # Pillow's own warning about large images: the limit below is the one that counts.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as header:
                width, height = header.size
                # What a camera appends to its JPEG (a depth map, a gain map) is not an animation.
                frames = 1 if header.format == "MPO" else getattr(header, "n_frames", 1)
                tiff = dict(header.tag_v2) if isinstance(header, TiffImageFile) else {}
                compression = compression_of(header)
    except UnidentifiedImageError:
        return Decoded(None, reason="not an image, or of a format that is not supported"), {}
    except Image.DecompressionBombError:
        return Decoded(None, reason=f"too many pixels to decode, {limit}"), {}
    except Exception as error:  # Pillow's readers raise whatever a broken header makes them.
        return Decoded(None, reason=f"broken image header ({type(error).__name__})"), {}
    reason = None
    if width * height > max_pixels:
        reason = f"{width:,} x {height:,} pixels are too many to decode, {limit}"
    elif frames > 1:
        reason = f"animation of {frames} frames, not one image"
    return Decoded(None, width, height, reason, compression), tiff


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
    header, tiff = read_header(data, max_pixels, max_bytes)
    if header.reason:
        return header
    try:
        pixels = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error:
        pixels = None
    if pixels is None:
        return replace(header, reason="truncated or corrupt image data")
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    if tiff:
        try:
            pixels = _tiff_as_stored(pixels, data, tiff)
        except Exception:  # The second reader may refuse what the first let pass.
            return replace(header, reason="truncated or corrupt image data")
    height, width = pixels.shape[:2]
    return replace(header, pixels=pixels.astype(np.uint8, copy=False), width=width, height=height)


def _tiff_as_stored(
    pixels: NDArray[np.uint8], data: bytes, tags: dict[int, Any]
) -> NDArray[np.uint8]:
    """Undo what the TIFF reader does whatever it is told: blend the alpha, turn the image."""
    if pixels.ndim == 3 and UNASSOCIATED_ALPHA in tags.get(EXTRASAMPLES, ()):
        with warnings.catch_warnings(), Image.open(io.BytesIO(data)) as image:
            warnings.simplefilter("ignore")
            # This reader turns the image too.
            pixels = np.asarray(image.convert("RGBA"))[:, :, :3]
    orientation = tags.get(ORIENTATION, 1)
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
