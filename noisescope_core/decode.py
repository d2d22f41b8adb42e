"""Decode image files to pixels as they are stored, and say why where that cannot be done."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


@dataclass(frozen=True)
class Decoded:
    """An image, or the reason why there is none.

    Attributes
    ----------
    pixels : (H, W) or (H, W, 3) uint8 in RGB order, or None
    width, height : int, in pixels, 0 where the header could not be read
    reason : str or None
        Why the file is set aside, in one line.
    """

    pixels: NDArray[np.uint8] | None
    width: int = 0
    height: int = 0
    reason: str | None = None


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
    """
    if not data:
        return Decoded(None, reason="empty file (zero bytes)")
    if len(data) > max_bytes:
        return Decoded(None, reason=f"file of {len(data):,} bytes, limit {max_bytes:,}")
    try:
        with warnings.catch_warnings():
            # Pillow's own warning about large images: the limit below is the one that counts.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as header:
                width, height = header.size
                frames = getattr(header, "n_frames", 1)
    except UnidentifiedImageError:
        return Decoded(None, reason="not an image, or of a format that is not supported")
    except Image.DecompressionBombError:
        return Decoded(None, reason=f"too many pixels to decode, limit {max_pixels:,}")
    except Exception as error:  # Pillow's readers raise whatever a broken header makes them.
        return Decoded(None, reason=f"broken image header ({type(error).__name__})")
    if width * height > max_pixels:
        reason = f"{width:,} x {height:,} pixels are too many to decode, limit {max_pixels:,}"
        return Decoded(None, width, height, reason)
    if frames > 1:
        return Decoded(None, width, height, f"animation of {frames} frames, not one image")
    try:
        pixels = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error:
        pixels = None
    if pixels is None:
        return Decoded(None, width, height, "truncated or corrupt image data")
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return Decoded(pixels.astype(np.uint8, copy=False), pixels.shape[1], pixels.shape[0])


def thumbnail(pixels: NDArray[np.uint8], side: int = 128) -> bytes:
    """Shrink an image to at most `side` pixels a side, as JPEG bytes.

    Parameters
    ----------
    pixels : (H, W) or (H, W, 3) uint8, RGB
    """
    scale = side / max(pixels.shape[:2])
    if scale < 1:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 80])[1])
