"""Values as people read them on a page: numbers, shares, durations, names, addresses."""

from __future__ import annotations

import math
import unicodedata
from urllib.parse import quote

from markupsafe import Markup

LINKED = {"abfs", "abfss", "dbfs", "file", "gs", "hdfs", "http", "https", "s3", "s3a", "wasbs"}
"""Schemes of addresses that are links; any other could be a program."""


def address(path: str) -> str | None:
    """Address of a file for a link: percent-encoded, of a scheme that starts no program.

    Parameters
    ----------
    path : str
        Absolute path or URI, as the tables have it. A URI is left as it is but for characters
        that no URI may hold.

    Returns
    -------
    str or None
        None where there is nothing to link to.
    """
    scheme, colon, rest = path.partition("://")
    try:
        if path.startswith("/") and not path.startswith("//"):
            return f"file://{quote(path, errors='surrogateescape')}"
        if colon and scheme.lower() in LINKED:
            kept = "/:?#[]@!$&'()*+,;=%"
            return f"{scheme}://{quote(rest, safe=kept, errors='surrogateescape')}"
    except UnicodeEncodeError:
        return None
    return None


def percent(share: float | None, digits: int = 1) -> str:
    """Share as a percentage that is 100 or 0 only if it is all or nothing."""
    if share is None or not math.isfinite(share):
        return "\u2013"
    least = 0.1**digits
    value = 100 * share
    if 0 < share < 1:
        if value > 100 - least:
            return f"> {100 - least:.{digits}f} %"
        if value < least:
            return f"< {least:.{digits}f} %"
    return f"{value:.{digits}f} %"


def visible(value: object) -> object:
    """Text with every character that cannot be seen, or that moves others, spelt out.

    Control and format characters, line separators, unpaired surrogates (a file name that is not
    UTF-8) and unassigned code points become ``\u27e8U+202E\u27e9``. Markup and other types pass
    unchanged.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    if value.isascii() and value.isprintable():
        return value
    return "".join(
        f"\u27e8U+{ord(character):04X}\u27e9"
        if unicodedata.category(character) in {"Cc", "Cf", "Cn", "Cs", "Zl", "Zp"}
        else character
        for character in value
    )


def number(value: float | None, digits: int = 0) -> str:
    """Number with thousands separated, a true minus, and a dash for a missing one."""
    if value is None or not math.isfinite(value):
        return "\u2013"
    return f"{value:,.{digits}f}".replace("-", "\u2212")


def duration(seconds: float) -> str:
    """Seconds as people say them: ``41.2 s``, ``7 min 5 s``, ``3 h 12 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {rest} s"


def plural(count: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
