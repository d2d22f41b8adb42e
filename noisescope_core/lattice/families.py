"""Which lattices are of one family: decoders that leave nearly the same tile (docs/lattice.md).

One repository's generator is trained on from another's, or keeps its decoder, so that the
fingerprint of one flags images of the other, at any size. In come rows of `fingerprints`, out come
groups of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisescope_core.lattice.background import Background
from noisescope_core.lattice.detector import LatticeFingerprint, fingerprint_of


@dataclass(frozen=True)
class _Print:
    """A fingerprint, its mean tile before no background, (1536,), and its members' agreement."""

    ready: LatticeFingerprint
    tile: NDArray[np.float32]
    cohesion: float


def families(rows: Sequence[Any]) -> list[list[str]]:
    """Group lattices into families.

    Two are of one family if a typical image of either would be flagged by the other. A family is
    whatever such pairs connect.

    Parameters
    ----------
    rows : of `fingerprints`, of the kind `lattice`, each id once

    Returns
    -------
    list of list of str
        Fingerprint ids: within a family in the order of the rows, families in the order of their
        first; each id once.

    Examples
    --------
    >>> families([])
    []
    """
    backgrounds: dict[bytes, Background] = {}
    prints = [_print_of(row, backgrounds) for row in rows]
    family = list(range(len(prints)))
    for later, one in enumerate(prints):
        for earlier, other in enumerate(prints[:later]):
            if family[later] != family[earlier] and _flags(one, other) and _flags(other, one):
                kept, joined = sorted((family[later], family[earlier]))
                family = [kept if number == joined else number for number in family]
    groups: dict[int, list[str]] = {}
    for number, one in zip(family, prints, strict=True):
        groups.setdefault(number, []).append(one.ready.fingerprint_id)
    return list(groups.values())


def typical_strength(fingerprint: Any, other: Any) -> float:
    """Say how a typical image of one lattice's maker scores against another lattice.

    Parameters
    ----------
    fingerprint, other : rows of `fingerprints`, of the kind `lattice`
        Whose bar the score is read by, and whose images are looked at.

    Returns
    -------
    float
        Standardised score, to be compared with the row's `threshold`. A member's cosine with the
        fingerprint is that of the two mean tiles, before the fingerprint's background, times the
        square root of the other's cohesion, which is its members' cosine with their own tile.
    """
    return _strength(_print_of(fingerprint, {}), _print_of(other, {}))


def _print_of(row: Any, backgrounds: dict[bytes, Background]) -> _Print:
    ready = fingerprint_of(row, backgrounds)
    mean = ready.total / max(len(ready.members), 1)
    return _Print(
        ready,
        ready.background.unpressed(mean.astype(np.float32)[None])[0],
        max(row.cohesion or 0.0, 0.0),
    )


def _strength(one: _Print, other: _Print) -> float:
    """Standardised score of a typical image of another fingerprint against one."""
    background, total = one.ready.background, one.ready.total
    seen = background.whitened(other.tile[None])[0].astype(np.float64)
    lengths = np.linalg.norm(seen) * np.linalg.norm(total)
    cosine = float(seen @ total / (lengths + 1e-12))
    return float(one.ready.bar.standardised(cosine * np.sqrt(other.cohesion)))


def _flags(one: _Print, other: _Print) -> bool:
    return _strength(one, other) > one.ready.bar.threshold
