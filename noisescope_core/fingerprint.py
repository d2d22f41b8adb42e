"""Fingerprints, means of residuals (paper, section 3.3): which images are in them, their names."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisescope_core.tables.rows import FingerprintRow


def reference_blocks(
    images: int, size: int = 50, shuffles: int = 5, seed: int = 0
) -> NDArray[np.int64]:
    """Cut shuffles of the reference set into blocks, one reference fingerprint each (paper, 3.4).

    Parameters
    ----------
    images : int
        Images in the reference set.
    size : int
        Images in a block (key `texture.images`).
    shuffles : int
        Times that the set is shuffled and cut (key `texture.shuffles`).

    Returns
    -------
    (shuffles * (images // size), size) int64
        Row numbers.

    Examples
    --------
    >>> reference_blocks(120).shape
    (10, 50)
    """
    rng = np.random.default_rng(seed)
    whole = images // size
    blocks = [rng.permutation(images)[: whole * size].reshape(whole, size) for _ in range(shuffles)]
    return np.concatenate(blocks)


def sample_members(members: Sequence[str], size: int = 50, seed: int = 0) -> list[str]:
    """Draw the images whose mean is classified, the same whatever the order they come in.

    Parameters
    ----------
    members : image ids
    size : int
        All members are taken if there are no more than that.

    Examples
    --------
    >>> sample_members(["c", "a", "b"], size=2) == sample_members(["b", "c", "a"], size=2)
    True
    """

    def lot(image_id: str) -> bytes:
        return hashlib.sha256(f"{seed}:{image_id}".encode()).digest()

    return sorted(sorted(members, key=lot)[:size])


def member_of_pixels(fingerprints: Iterable[Any]) -> dict[str, str]:
    """Name the member that has given pixels: by `pixels_id`, its image id.

    An image is held against a fingerprint without itself. So is the same picture in another file,
    which has another image id.

    Parameters
    ----------
    fingerprints : rows of `fingerprints`
    """
    return {
        pixels: member
        for row in fingerprints
        for member, pixels in zip(row.members, row.member_pixels or (), strict=False)
        if pixels
    }


def with_member_pixels(
    fingerprints: Iterable[FingerprintRow], pixels_of: Mapping[str, str | None]
) -> list[FingerprintRow]:
    """Note the pixels of every member, by its image id, in rows of `fingerprints`."""
    return [
        replace(row, member_pixels=[pixels_of.get(member) for member in row.members])
        for row in fingerprints
    ]


def fingerprint_id(members: Iterable[str]) -> str:
    """Name a fingerprint after the images it is made of: 12 hexadecimal digits.

    Examples
    --------
    >>> fingerprint_id(["b", "a"]) == fingerprint_id(["a", "b"])
    True
    """
    return hashlib.sha256("\n".join(sorted(members)).encode()).hexdigest()[:12]


def most_common(values: Iterable[str | None]) -> tuple[str | None, float]:
    """Find what most members of a fingerprint have, and the share of all that has it.

    Parameters
    ----------
    values : of the members, None of those that have none

    Examples
    --------
    >>> most_common(["PNG", None, "JPEG", "PNG"])
    ('PNG', 0.5)
    """
    counts = Counter(values)
    total = counts.total()
    del counts[None]
    if not counts:
        return None, 0.0
    value = min(counts, key=lambda value: (-counts[value], str(value)))
    return value, counts[value] / total
