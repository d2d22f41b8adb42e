"""Which lattices are of one family: decoders that leave nearly the same tile (docs/lattice.md).

One repository's generator is trained on from another's, or keeps its decoder, so that the
fingerprint of one flags images of the other, at any size. What a platform rescaled by one factor
is found as a set of its own; its images tell whose it is. In come rows of `fingerprints`, out come
groups of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisescope_core.lattice.background import Background
from noisescope_core.lattice.detector import LatticeFingerprint, fingerprint_of
from noisescope_core.lattice.rescaled import NEAREST

MOST_CLAIMED = 0.5
"""Share of a set's images above which they are another fingerprint's, rescaled. Measured: in sets
enlarged by 1.5 and 2 it was .56 to .95, among rescaled photographs 0 (docs/lattice.md)."""


@dataclass(frozen=True)
class Rescaled:
    """Whose images a set holds, and by what they were rescaled.

    Attributes
    ----------
    origin : id of the fingerprint that claims most of them
    factor : median of theirs
    """

    origin: str
    factor: float


@dataclass(frozen=True)
class _Print:
    """A fingerprint, its mean tile before no background, (1536,), and its members' agreement."""

    ready: LatticeFingerprint
    tile: NDArray[np.float32]
    cohesion: float


def rescaled_sets(
    rows: Iterable[Any], verdicts: Iterable[Mapping[str, Any]]
) -> dict[str, Rescaled]:
    """Say which sets hold images that others claim, rescaled by one factor.

    Parameters
    ----------
    rows : of `fingerprints`, of the kind `lattice`
    verdicts : `image_id`, `fingerprint_id` and `factor` of images that were found at a factor

    Examples
    --------
    >>> rescaled_sets([], [])
    {}
    """
    claims = {verdict["image_id"]: verdict for verdict in verdicts}
    found = {}
    for row in rows:
        its = [claims[image] for image in row.members if image in claims]
        its = [claim for claim in its if claim["fingerprint_id"] != row.fingerprint_id]
        factor = float(np.median([claim["factor"] for claim in its])) if its else 1.0
        # Sides are rounded to pixels.
        alike = [claim for claim in its if abs(claim["factor"] / factor - 1) < NEAREST]
        if len(alike) > MOST_CLAIMED * len(row.members):
            counts = Counter(claim["fingerprint_id"] for claim in sorted(alike, key=_name))
            found[row.fingerprint_id] = Rescaled(counts.most_common(1)[0][0], factor)
    return found


def _name(claim: Mapping[str, Any]) -> str:
    return str(claim["fingerprint_id"])


def families(
    rows: Sequence[Any], rescaled: Mapping[str, Rescaled] | None = None
) -> list[list[str]]:
    """Group lattices into families.

    Two are of one family if a typical image of either would be flagged by the other, or one holds
    the other's images, rescaled. A family is whatever such pairs connect.

    Parameters
    ----------
    rows : of `fingerprints`, of the kind `lattice`, each id once
    rescaled : from `rescaled_sets`, None for none

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
            if family[later] != family[earlier] and _are_related(one, other, rescaled or {}):
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


def _are_related(one: _Print, other: _Print, rescaled: Mapping[str, Rescaled]) -> bool:
    names = one.ready.fingerprint_id, other.ready.fingerprint_id
    for name, origin in (names, names[::-1]):
        if name in rescaled and rescaled[name].origin == origin:
            return True
    return _flags(one, other) and _flags(other, one)


def _flags(one: _Print, other: _Print) -> bool:
    return _strength(one, other) > one.ready.bar.threshold
