"""The reference set made like the test set: saved again, and resized where it has no such size.

This is step 0 of docs/method.md. In come the headers of tested and reference images, out comes what
is done to each reference image; then in come pixels, and out come these `prepared`.

The reference says what noise looks like where nothing was generated. If it was compressed
otherwise than the tested images, or has none of their size, it says so of other images. Headers
tell whether it was. As few images are changed as make the two alike.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from noisescope_core.images import Size
from noisescope_core.images.compression import QUALITY_STEP, Compression, saved_again

DIFFER = 0.2
"""Share of the reference, 0..1, from which it is changed (docs/method.md, step 0). Chosen: fewer
differ by chance."""

SLACK = 1.25
"""An image is shrunk to at most so many times the size wanted, and cut from there. Chosen: drawn
factors leave no grid in common."""


RESIZED_OF_EACH = 10
"""Times as many reference images are resized to a size as it has tested images, at most. Chosen:
the time of a run grows with its images, not with their sizes, and the smallest size that is
searched, of 20 images, gets the 200 from which no run is warned."""


@dataclass(frozen=True)
class Header:
    """What is known of an image before it is decoded; its size is (width, height), pixels."""

    image_id: str
    size: Size
    compression: Compression

    @classmethod
    def of_row(cls, row: Any) -> Header:
        """Read it from a row of `headers` or `residuals`."""
        size = row["width"], row["height"]
        return cls(row["image_id"], size, Compression.of_row(row))


@dataclass(frozen=True)
class Preparation:
    """What is done to a reference image: brought to a size, saved again, or both.

    `compression` is None where it stays as it is.
    """

    size: Size
    compression: Compression | None = None


def preparations(
    tested: Mapping[tuple[Size, Compression], int],
    reference: Iterable[Header],
    least_images: int,
    least_reference: int,
    most: int,
    seed: int = 0,
) -> dict[str, list[Preparation]]:
    """Decide what is done to the reference images.

    A size that has enough of them has those of compressions that are too many saved again
    as those that are too few, unless they are fewer than `DIFFER` of all. A size that has not
    gets larger ones, resized and compressed as the tested images are.

    Parameters
    ----------
    tested : number of images by size and compression
    reference : distinct images
    least_images : sizes with fewer tested images are left alone
    least_reference : reference images that a size needs
    most : reference images that are resized to one size, of a size of few tested images fewer

    Returns
    -------
    dict
        By image id, in place of the image as it is if its own size is among the sizes. Images
        that stay as they are and nothing else are left out.
    """
    by_size: dict[Size, list[Header]] = {}
    for header in sorted(reference, key=lambda header: header.image_id):
        by_size.setdefault(header.size, []).append(header)
    by_image: dict[str, list[Preparation]] = {}
    for size, counts in enough(tested, least_images).items():
        rng = np.random.default_rng([seed, *size])
        own = by_size.get(size, [])
        if len(own) >= least_reference:
            made = _to_save_again(counts, own, rng)
            for header, compression in made if len(made) >= DIFFER * len(own) else ():
                by_image.setdefault(header.image_id, []).append(Preparation(size, compression))
            continue
        larger = [
            header
            for other in sorted(by_size)
            if other != size and other[0] >= size[0] and other[1] >= size[1]
            for header in by_size[other]
        ]
        wanted = min(most, max(least_reference, RESIZED_OF_EACH * counts.total()))
        drawn = rng.permutation(len(larger))[: wanted - len(own)]
        for k, compression in zip(drawn, _draw(counts, len(drawn), rng), strict=True):
            preparation = Preparation(size, compression if compression.tables else None)
            by_image.setdefault(larger[k].image_id, []).append(preparation)
    return by_image


def enough(
    tested: Mapping[tuple[Size, Compression], int], least_images: int
) -> dict[Size, Counter[Compression]]:
    """Count the images of each size by compression, of sizes that have so many at least."""
    sizes: dict[Size, Counter[Compression]] = {}
    for (size, compression), count in sorted(tested.items()):
        sizes.setdefault(size, Counter())[compression] += count
    return {size: counts for size, counts in sizes.items() if counts.total() >= least_images}


def across_sizes(
    tested: Mapping[Compression, int],
    reference: Iterable[Header],
    in_place: Mapping[str, list[Preparation]],
    sizes: Collection[Size],
    seed: int = 0,
) -> dict[str, list[Preparation]]:
    """Decide which reference images are saved again for what is compared across sizes.

    Images of all sizes together are made alike, as those of one size are by `preparations`. An
    image of a size that is searched by itself stays as it is there. None is saved finer than it
    was, because that gives nothing back: with a reference saved again as 4:2:0 and then as 4:4:4,
    more photographs were taken for undetermined makers' (docs/lattice.md).

    Parameters
    ----------
    tested : number of images of all sizes by compression
    reference : distinct images
    in_place : what is done to reference images size by size, from `preparations`
    sizes : searched by themselves

    Returns
    -------
    dict
        As `preparations` has it, with `in_place` among it. No image is resized for this.
    """
    stay: Counter[Compression] = Counter()
    free = []
    for header in sorted(reference, key=lambda header: header.image_id):
        if header.size not in sizes:
            free.append(header)
            continue
        own = [step for step in in_place.get(header.image_id, ()) if step.size == header.size]
        stay[(own[0].compression if own else None) or header.compression] += 1
    rng = np.random.default_rng(seed)
    made = [
        (header, compression)
        for header, compression in _to_save_again(Counter(tested), free, rng, stay)
        if compression.takes_from(header.compression)
    ]
    by_image = {image_id: list(steps) for image_id, steps in in_place.items()}
    for header, compression in made if len(made) >= DIFFER * (len(free) + stay.total()) else ():
        by_image.setdefault(header.image_id, []).append(Preparation(header.size, compression))
    return by_image


def unlike(tested: Mapping[Compression, int], reference: Mapping[Compression, int]) -> float:
    """Say which share of the reference is compressed otherwise than the tested images are.

    Parameters
    ----------
    tested, reference : number of images by compression

    Returns
    -------
    float, 0..1

    Examples
    --------
    >>> png, webp = Compression("PNG"), Compression("WEBP")
    >>> unlike({png: 10}, {png: 3, webp: 1})
    0.25
    """
    wanted, there = _kinds(tested), _kinds(reference)
    images, references = wanted.total(), there.total()
    return sum(max(0.0, there[kind] / references - wanted[kind] / images) for kind in there)


def prepared(
    pixels: NDArray[np.uint8], image_id: str, preparation: Preparation
) -> NDArray[np.uint8]:
    """Bring a reference image to a size and save it again.

    Parameters
    ----------
    pixels : (H, W) or (H, W, 3) uint8, RGB, no smaller than the size wanted
    image_id : draws where it is cut and how much it is shrunk
    """
    width, height = preparation.size
    tall, wide = pixels.shape[:2]
    if (wide, tall) != preparation.size:
        digest = hashlib.sha256(f"{image_id} {width} {height}".encode()).digest()
        rng = np.random.default_rng(list(digest))
        least = max(width / wide, height / tall)
        scale = rng.uniform(least, min(1.0, SLACK * least))
        shape = max(width, round(wide * scale)), max(height, round(tall * scale))
        pixels = np.asarray(cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA), np.uint8)
        left, top = rng.integers(0, shape[0] - width + 1), rng.integers(0, shape[1] - height + 1)
        pixels = np.ascontiguousarray(pixels[top : top + height, left : left + width])
    if preparation.compression is None:
        return pixels
    return saved_again(pixels, preparation.compression)


Kind = tuple[str, int | None]
"""Format, and quality by tens: what compressions are told apart by."""


def kind_of(compression: Compression) -> Kind:
    """Tell the kind of a compression."""
    quality = compression.quality
    return compression.format, None if quality is None else quality // QUALITY_STEP


def _kinds(counts: Mapping[Compression, int]) -> Counter[Kind]:
    """Count images by kind."""
    kinds: Counter[Kind] = Counter()
    for compression, count in counts.items():
        kinds[kind_of(compression)] += count
    return kinds


def _to_save_again(
    counts: Counter[Compression],
    own: Sequence[Header],
    rng: np.random.Generator,
    beside: Mapping[Compression, int] = MappingProxyType({}),
) -> list[tuple[Header, Compression]]:
    """Draw the reference images of kinds that are too many, and for each a kind that is lacking.

    Those `beside` are part of the reference, and stay as they are.
    """
    wanted = _kinds(counts)
    changeable = _kinds(Counter(header.compression for header in own))
    there = changeable + _kinds(beside)
    if not wanted:
        return []
    share = there.total() / wanted.total()
    lacking = {
        kind: share * count - there[kind]
        for kind, count in wanted.items()
        if kind[1] is not None and share * count > there[kind]
    }
    spare = []
    for kind, count in changeable.items():
        surplus = int(there[kind] - share * wanted[kind])
        if surplus > 0:
            images = [header for header in own if kind_of(header.compression) == kind]
            spare += [images[k] for k in rng.permutation(count)[:surplus]]
    spare = [spare[k] for k in rng.permutation(len(spare))][: int(sum(lacking.values()))]
    if not spare:
        return []
    missing: Counter[Compression] = Counter()
    for compression, count in counts.items():
        kind = kind_of(compression)
        if kind in lacking:
            missing[compression] = round(1000 * lacking[kind] * count / wanted[kind])
    return list(zip(spare, _draw(missing, len(spare), rng), strict=True))


def _draw(counts: Counter[Compression], size: int, rng: np.random.Generator) -> list[Compression]:
    """Draw compressions as often as they come."""
    kinds = sorted(counts)
    weights = np.array([counts[kind] for kind in kinds], float)
    return [kinds[k] for k in rng.choice(len(kinds), size, p=weights / weights.sum())]
