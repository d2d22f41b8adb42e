"""Fingerprints: means of the residuals of the images that share them (paper, section 3.3)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def reference_blocks(
    images: int, size: int = 50, shuffles: int = 5, seed: int = 0
) -> NDArray[np.int64]:
    """Cut shuffles of the reference set into blocks, one reference fingerprint each.

    Returns
    -------
    (shuffles * (images // size), size) int64
        Row numbers.
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
    """

    def lot(image_id: str) -> bytes:
        return hashlib.sha256(f"{seed}:{image_id}".encode()).digest()

    return sorted(sorted(members, key=lot)[:size])


def fingerprint_id(members: Iterable[str]) -> str:
    """Name a fingerprint after the images it is made of: 12 hexadecimal digits."""
    return hashlib.sha256("\n".join(sorted(members)).encode()).hexdigest()[:12]
