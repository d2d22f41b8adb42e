"""Formats told by the first bytes of a file, whether they are read here or not."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

READ = {
    "PNG": "PNG",
    "JPEG": "JPEG",
    "WebP": "WEBP",
    "GIF": "GIF",
    "BMP": "BMP",
    "TIFF": "TIFF",
    "JPEG 2000": "JPEG2000",
    "PNM": "PPM",
    "AVIF": "AVIF",
}
"""Formats that are read, and Pillow's names of them."""

PLUGINS = {"HEIC": "pillow_heif", "JPEG XL": "imagecodecs"}
"""Formats that are read where the extra `formats` is installed, and the packages that do it."""

_STARTS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0\x10\0\0\0CR": "Canon raw (CR2)",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    **{b"P%d%c" % (kind, space): "PNM" for kind in range(1, 7) for space in b" \t\r\n"},
    b"Pf\n": "PFM (floats)",
    b"PF\n": "PFM (floats)",
    b"P7\n": "PAM",
    b"\0\0\0\x0cJXL \r\n\x87\n": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"8BPS": "Photoshop (PSD)",
    b"DDS ": "DDS",
    b"qoif": "QOI",
    b"\x01\xda": "SGI",
    b"\x0a\x05\x01": "PCX",
    b"\0\0\1\0": "icon (ICO)",
    b"\x76\x2f\x31\x01": "OpenEXR (floats)",
    b"#?RADIANCE": "Radiance HDR (floats)",
    b"FUJIFILMCCD-RAW": "Fujifilm raw (RAF)",
    b"%!PS": "PostScript",
    b"%PDF": "PDF",
    b"\x89HDF\r\n\x1a\n": "HDF5",
    b"PK\3\4": "ZIP archive",
    b"\x1f\x8b": "gzip archive",
    b"PAR1": "Parquet",
    b"\0\0\1\xb3": "MPEG film",
    b"\0\0\1\xba": "MPEG film",
    b"\x1aE\xdf\xa3": "WebM or Matroska film",
    b"<svg": "SVG",
    b"<?xml": "SVG or other XML",
    b"<!doctype html": "HTML, a web page in the place of an image",
    b"<html": "HTML, a web page in the place of an image",
}
"""How files begin, and what they are then: the formats' own specifications."""

_BRANDS = {
    b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"heim": "HEIC",
    b"heis": "HEIC", b"hevc": "HEIC", b"hevx": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC",
    b"crx ": "Canon raw (CR3)",
}  # fmt: skip
"""Brands of files made of boxes (ISO/IEC 14496-12), the main one first; others are films."""

_TRUEVISION = b"TRUEVISION-XFILE.\0"
"""How a TGA of version 2 ends."""

DAMAGED = "truncated or corrupt image data: get the file again"

UNKNOWN = "not an image, or of a format that is not supported"

SEVERAL = "animation of several frames, not one image"


def format_of(data: bytes) -> str | None:
    """Name the format of a file, of which the first few hundred bytes are enough but for TGA.

    Examples
    --------
    >>> format_of(b"GIF89a"), format_of(b"qoif"), format_of(b"no image")
    ('GIF', 'QOI', None)
    """
    if data[:4] == b"RIFF":
        return "WebP" if data[8:12] == b"WEBP" else "RIFF (film or sound)"
    if data[4:8] == b"ftyp":
        return _by_brand(data)
    start = data[:16].lower()
    for begin, name in _STARTS.items():
        if data.startswith(begin) or (begin[:1] == b"<" and start.startswith(begin)):
            return name
    return "TGA" if data.endswith(_TRUEVISION) else None


def _by_brand(data: bytes) -> str:
    end = min(int.from_bytes(data[:4], "big"), 256)
    brands = [data[place : place + 4] for place in (8, *range(16, end, 4))]
    # These two say only that there are pictures in the boxes; another brand says of which codec.
    brands.sort(key=lambda brand: brand in (b"mif1", b"msf1"))
    return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), "MP4 or QuickTime film")


def not_supported(name: str) -> str:
    """Say that a format is known and not read.

    Examples
    --------
    >>> not_supported("QOI")
    'format not supported: QOI; convert it to PNG, at its own size'
    """
    return f"format not supported: {name}; convert it to PNG, at its own size"


@cache
def not_installed(name: str) -> str | None:
    """Say that a format is read by a package that is not there; None if it is, or none is needed.

    Examples
    --------
    >>> not_installed("PNG") is None
    True
    """
    if name not in PLUGINS or find_spec(PLUGINS[name]):
        return None
    return f"format not supported: {name}; pip install 'noisescope[formats]'"
