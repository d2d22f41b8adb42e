"""How a file was compressed: read from its header, named, and done again to other pixels."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

SUBSAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}
"""Names of chroma subsamplings, by Pillow's numbers."""

QUALITY_STEP = 10
"""JPEG qualities that count as one kind. Chosen (docs/method.md, step 0)."""

LUMA_SUM = 3688
"""Sum of the luma table that JPEG gives as an example (ITU-T T.81, table K.1), quality 50."""


@dataclass(frozen=True, order=True)
class Compression:
    """Format of a file, and the tables by which a JPEG was quantised.

    Attributes
    ----------
    format : such as `PNG`, `JPEG 4:2:0`, `JPEG grey`
    tables : 64 or 128 bytes, the quantisation tables of luma and chroma; empty if no JPEG
    """

    format: str
    tables: bytes = b""

    @classmethod
    def of_row(cls, row: Any) -> Compression:
        """Read it from a row with `format` and `quantization`, such as one of `residuals`."""
        return cls(row["format"], bytes(row["quantization"]))

    @property
    def quality(self) -> int | None:
        """Quality by the scale of the common encoders, 1..100, None if no JPEG.

        Examples
        --------
        >>> Compression("PNG").quality is None
        True
        >>> Compression("JPEG grey", bytes([1] * 64)).quality
        99
        """
        if not self.tables:
            return None
        scale = 100 * sum(self.tables[:64]) / LUMA_SUM
        return max(1, min(100, round((200 - scale) / 2 if scale <= 100 else 5000 / scale)))

    def takes_from(self, before: Compression) -> bool:
        """Whether it is as coarse as the one before, so that pixels saved again are like its own.

        Examples
        --------
        >>> fine, coarse = (bytes([value] * 128) for value in (2, 20))
        >>> Compression("JPEG 4:2:0", coarse).takes_from(Compression("JPEG 4:4:4", fine))
        True
        >>> Compression("JPEG 4:4:4", coarse).takes_from(Compression("JPEG 4:2:0", fine))
        False
        """
        if self.quality is None or before.quality is None:
            return True
        coarse = self.quality // QUALITY_STEP <= before.quality // QUALITY_STEP
        return coarse and _shared_chroma(self.format) >= _shared_chroma(before.format)

    def __str__(self) -> str:
        return f"{self.format} quality {self.quality}" if self.tables else self.format


def _shared_chroma(name: str) -> int:
    """Pixels that share a value of chroma, as far as the name of a format says so."""
    return {"4:2:2": 2, "4:2:0": 4}.get(name.removeprefix("JPEG "), 1)


def compression_of(header: Image.Image) -> Compression:
    """Read the compression from an image opened by Pillow; no pixel is decoded."""
    if not isinstance(header, JpegImageFile):
        return Compression(header.format or "unknown")
    tables = [header.quantization[key] for key in sorted(header.quantization)][:2]
    values = np.clip(np.array(tables, np.int64), 1, 255).astype(np.uint8).tobytes()
    sampling = "grey" if header.mode == "L" else SUBSAMPLINGS.get(get_sampling(header), "other")
    return Compression(f"JPEG {sampling}", values)


def saved_again(pixels: NDArray[np.uint8], compression: Compression) -> NDArray[np.uint8]:
    """Compress pixels as a JPEG was, and decode them.

    Parameters
    ----------
    pixels : (H, W) or (H, W, 3) uint8, RGB
    compression : of a JPEG; others leave the pixels as they are

    Returns
    -------
    Array of the same shape, uint8
    """
    if not compression.tables:
        return pixels
    tables = np.frombuffer(compression.tables, np.uint8).reshape(-1, 64).tolist()
    subsampling = compression.format.removeprefix("JPEG ")
    if subsampling not in SUBSAMPLINGS.values():
        subsampling = "4:4:4"
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", qtables=tables, subsampling=subsampling)
    flags = cv2.IMREAD_GRAYSCALE if pixels.ndim == 2 else cv2.IMREAD_COLOR_RGB
    decoded = cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), flags)
    assert decoded is not None
    return np.asarray(decoded, np.uint8)
