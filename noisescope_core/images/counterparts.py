"""Tested images from devices and apps that the reference lacks, by what their headers say.

A device or app has quantisation tables of its own, or a format. Others write those of the common
encoders, and are told apart by format and quality. In come numbers of images by compression, out
come those of tested images without a counterpart.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from functools import cache

from PIL import Image

from noisescope_core.images.compression import QUALITY_STEP, Compression, compression_of
from noisescope_core.images.reference import Kind, kind_of

HARDLY = 0.1
"""Part of its share of the tested images that a kind has in the reference, at least, if it has a
counterpart there. Chosen: below, it hardly counts among what photographs have in common."""

SHARE, LEAST = 0.05, 10
"""Share and number of tested images without a counterpart, beyond those that chance gives, from
which a run is warned. Measured: of seven sources of photographs, each is told of where 23 to 40 of
its images are among 300 others and none in the reference; random parts of all are not, but 4 of 20
with 60 reference images."""

NAMED = 5
"""Kinds that a warning names, at most. Chosen: one line."""


def without_counterpart(
    tested: Mapping[Compression, int],
    reference: Mapping[Compression, int],
    saved_again: Mapping[Kind, int],
) -> Counter[Kind]:
    """Count the tested images that have no counterpart in the reference, by kind.

    Parameters
    ----------
    tested : number of images by compression
    reference : of the images that serve as they are
    saved_again : of those saved again, by the kind that they were made. No device's or app's own:
        tables alone do not make a photograph like theirs.

    Examples
    --------
    >>> own, png = Compression("JPEG 4:2:0", bytes(range(1, 129))), Compression("PNG")
    >>> without_counterpart({own: 8, png: 12}, {png: 50}, {})
    Counter({('JPEG 4:2:0', 7): 8})
    """
    wanted, there = _by_source(tested), _by_source(reference)
    there.update(saved_again)
    share = HARDLY * there.total() / max(1, wanted.total())
    lacking: Counter[Kind] = Counter()
    for source, count in wanted.items():
        if there[source] < share * count or not there[source]:
            kind = kind_of(source) if isinstance(source, Compression) else source
            lacking[kind] += count
    return lacking


def lacking_in_words(
    tested: Mapping[Compression, int],
    reference: Mapping[Compression, int],
    saved_again: Mapping[Kind, int],
) -> list[str]:
    """Warn of tested images without a counterpart, if they are many.

    Parameters
    ----------
    tested, reference, saved_again : as `without_counterpart` has them
    """
    lacking, images = without_counterpart(tested, reference, saved_again), sum(tested.values())
    count = lacking.total()
    # As many are new among images of the same sources as are there once (Good and Turing).
    once = list(_by_source(reference).values()).count(1)
    by_chance = images * once / max(1, sum(reference.values()) + sum(saved_again.values()))
    if count - by_chance < max(LEAST, SHARE * images):
        return []
    most = sorted(lacking.items(), key=lambda item: (-item[1], _name(item[0])))
    named = [f"{_name(kind)}: {some:,}" for kind, some in most[:NAMED]]
    if rest := sum(some for _, some in most[NAMED:]):
        named.append(f"others: {rest:,}")
    return [
        "Tested images in a format or with quantisation tables that hardly any reference image "
        f"has: {count:,} of {images:,} ({', '.join(named)}). What their devices or apps leave may "
        "pass for a pattern; add photographs from the same devices and apps to the reference."
    ]


def greys_in_words(tested: Mapping[bool, int], reference: Mapping[bool, int]) -> list[str]:
    """Warn of tested images in colour, or in grey, that hardly any reference image is.

    Parameters
    ----------
    tested, reference : number of images by whether they are grey

    Examples
    --------
    >>> greys_in_words({False: 40}, {False: 90, True: 10})
    []
    """
    images, photographs = sum(tested.values()), sum(reference.values())
    warnings = []
    for grey, name in ((False, "in colour"), (True, "in grey")):
        count, there = tested.get(grey, 0), reference.get(grey, 0)
        if count >= max(LEAST, SHARE * images) and there * images < HARDLY * count * photographs:
            warnings.append(
                f"Tested images {name}, as hardly any reference image is: {count:,} of {images:,}; "
                f"of the reference {there:,} of {photographs:,}. They are held against few of "
                f"their kind; add photographs {name} to the reference."
            )
    return warnings


def _by_source(counts: Mapping[Compression, int]) -> Counter[Kind | Compression]:
    """Count by tables where they are a device's or app's own, else by kind."""
    sources: Counter[Kind | Compression] = Counter()
    for compression, count in counts.items():
        own = compression.tables and compression.tables not in _common()
        sources[compression if own else kind_of(compression)] += count
    return sources


@cache
def _common() -> frozenset[bytes]:
    """Tables of the common encoders, colour and grey."""
    tables = set()
    for mode in ("RGB", "L"):
        for quality in range(1, 101):
            stream = io.BytesIO()
            Image.new(mode, (8, 8)).save(stream, "JPEG", quality=quality)
            tables.add(compression_of(Image.open(stream)).tables)
    return frozenset(tables)


def _name(kind: Kind) -> str:
    """Name a kind, such as `JPEG 4:2:0 quality 80 to 89`."""
    name, tens = kind
    if tens is None:
        return name
    return f"{name} quality {tens * QUALITY_STEP} to {tens * QUALITY_STEP + QUALITY_STEP - 1}"
