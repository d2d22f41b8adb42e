"""TIFF files: which page is the picture, and whether its samples are levels of grey (TIFF 6.0)."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL.TiffImagePlugin import ImageFileDirectory_v2

from noisescope_core.images.formats import not_supported

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES = 254, 256, 257, 258, 259, 262, 339
"""Numbers of tags."""

SUBFILES, DNG_VERSION = 330, 50706
"""Tags of what a raw file keeps its real image in (TIFF tech note 1; DNG 1.4)."""

UNSIGNED, FLOATS = 1, 3
"""Values of the tag SampleFormat."""

UNCOMPRESSED = 1
"""Value of the tag Compression."""

RAW_COLOURS = (32803, 34892)
"""Values of PhotometricInterpretation of raw files: a colour filter array, linear raw (DNG)."""

MOST_PAGES = 64
"""Pages that are looked at; chosen."""


@dataclass(frozen=True)
class Page:
    """The picture of a file: its tags, and the page on which it is."""

    tags: Mapping[int, Any]
    number: int = 0
    reason: str | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, 0 where the file does not say."""
        width, height = self.tags.get(WIDTH, 0), self.tags.get(HEIGHT, 0)
        return (width, height) if isinstance(width, int) and isinstance(height, int) else (0, 0)

    @property
    def compressed(self) -> bool:
        """Whether its samples are compressed."""
        return bool(self.tags.get(COMPRESSION, UNCOMPRESSED) != UNCOMPRESSED)


def main_page(data: bytes) -> Page:
    """Find the picture among pages of which others are thumbnails and masks of it.

    Raises
    ------
    Exception
        Whatever a broken file makes Pillow's reader of tags raise.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pages = _pages(data)
    # The lowest bits say: a smaller version of another page, and a mask for one.
    pictures = [k for k, tags in enumerate(pages) if not int(tags.get(SUBFILE, 0)) & 5]
    number = pictures[0] if pictures else 0
    tags = pages[number]
    return Page(tags, number, _refused(tags, len(pictures)))


def _pages(data: bytes) -> list[dict[int, Any]]:
    big = b"+" in data[2:4]  # BigTIFF
    directory = ImageFileDirectory_v2(data[: 16 if big else 8])
    pages: list[dict[int, Any]] = []
    seen, place = set(), directory.next
    while place and place not in seen and len(pages) < MOST_PAGES:
        seen.add(place)
        stream = io.BytesIO(data)
        stream.seek(place)
        directory.load(stream)
        pages.append(dict(directory))
        place = directory.next
    return pages


def _refused(tags: Mapping[int, Any], pictures: int) -> str | None:
    raw = tags.get(PHOTOMETRIC) in RAW_COLOURS or DNG_VERSION in tags
    if raw or (not pictures and SUBFILES in tags):
        return not_supported("camera raw")
    if pictures > 1:
        return f"{pictures} pages, not one image: save each as a file"
    bits = max(_all(tags.get(BITS, 1)))
    kinds = set(_all(tags.get(SAMPLES, UNSIGNED)))
    if FLOATS in kinds:
        return not_supported(f"TIFF of {bits}-bit floats")
    if kinds != {UNSIGNED} or bits > 16:
        return not_supported(f"TIFF of {bits}-bit integers")
    return None


def _all(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple) else (int(value),)
