"""Which lattices are of one family: decoders that leave nearly the same tile (docs/lattice.md).

One repository's generator is trained on from another's, or keeps its decoder, so that the
fingerprint of one flags images of the other, at any size. What a platform rescaled by one factor
is found as a set of its own; its images tell whose it is. In come rows of `fingerprints`, out come
groups of them, or trees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from noisescope_core.lattice.background import Background
from noisescope_core.lattice.detector import background_of_row, is_rival
from noisescope_core.lattice.rescaled import NEAREST
from noisescope_core.whitened.discovery.confidence import Bar

MOST_CLAIMED = 0.5
"""Share of a set's images above which they are another fingerprint's, rescaled. Measured: in sets
enlarged by 1.5 and 2 it was .56 to .95, among rescaled photographs 0 (docs/lattice.md)."""

MOST_RELATED = 300
"""Lattices of a run whose families are told, at most. Chosen: backgrounds of that many, each its
own, are 0.3 GB in memory, and their families take seconds."""


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
class Branch:
    """A fingerprint in the tree of its family.

    Scores and bars are on the scale of verdicts, a signed square.

    Attributes
    ----------
    fingerprint_id, images, maker, flagged : columns of `fingerprints`
    depth : steps from the first of the family
    above : id of the fingerprint that it hangs on; None for the first, and so are the next four
    score_there, bar_there : of a typical image of this fingerprint against `above`, and its bar
    score_here, bar_here : of a typical image of `above` against this fingerprint, and its bar
    origin, factor : as `Rescaled` has them, if its images are another's; else None
    """

    fingerprint_id: str
    images: int
    maker: str | None
    flagged: bool
    depth: int
    above: str | None = None
    score_there: float | None = None
    bar_there: float | None = None
    score_here: float | None = None
    bar_here: float | None = None
    origin: str | None = None
    factor: float | None = None


@dataclass(frozen=True)
class _Print:
    """A fingerprint: its mean unit, its mean tile before no background, its members' agreement."""

    fingerprint_id: str
    unit: NDArray[np.float64]
    background: Background
    bar: Bar
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
    if not rows:
        return []
    prints = _prints(rows)
    groups = _groups(_closeness(prints, _strengths(prints), rescaled or {}))
    return [[rows[number].fingerprint_id for number in group] for group in groups]


def trees(
    rows: Sequence[Any], rescaled: Mapping[str, Rescaled] | None = None
) -> list[list[Branch]]:
    """Draw families of two and more as trees, each fingerprint beside one that it is closest to.

    Those of devices and processing alone are left out.

    Parameters
    ----------
    rows, rescaled : as for `families`, the rows in any order

    Returns
    -------
    list of list of Branch
        Generators' before others and the largest first, below each what hangs on it.

    Examples
    --------
    >>> trees([])
    []
    """
    if not rows:
        return []
    rescaled = rescaled or {}
    ordered = sorted(rows, key=lambda row: (not row.flagged, -row.images, row.fingerprint_id))
    prints = _prints(ordered)
    strengths = _strengths(prints)
    closeness = _closeness(prints, strengths, rescaled)
    drawn = []
    for group in _groups(closeness):
        of_group, places = [ordered[number] for number in group], np.ix_(group, group)
        if len(group) > 1 and not all(map(is_rival, of_group)):
            drawn.append(_tree(of_group, strengths[places], closeness[places], rescaled))
    return drawn


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
    return float(_strengths(_prints([fingerprint, other]))[0, 1])


def _prints(rows: Sequence[Any]) -> list[_Print]:
    """Ready fingerprints; most of a run share one background."""
    backgrounds: dict[bytes, Background] = {}
    prints = []
    for row in rows:
        background = background_of_row(row, backgrounds)
        unit = np.frombuffer(row.whitened, np.float32)
        tile, cohesion = background.unpressed(unit[None])[0], max(row.cohesion or 0.0, 0.0)
        prints.append(
            _Print(
                row.fingerprint_id, unit.astype(np.float64), background, Bar.of_row(row), tile,
                cohesion,
            )
        )  # fmt: skip
    return prints


def _strengths(prints: Sequence[_Print]) -> NDArray[np.float64]:
    """Standardised scores of typical images: (n, n), in a row all against one fingerprint."""
    tiles = np.stack([one.tile for one in prints])
    cohesions = np.sqrt([one.cohesion for one in prints])
    alike: dict[int, list[int]] = {}
    for number, one in enumerate(prints):
        alike.setdefault(id(one.background), []).append(number)
    strengths = np.empty((len(prints), len(prints)))
    for numbers in alike.values():
        seen = prints[numbers[0]].background.whitened(tiles).astype(np.float64)
        units = np.stack([prints[number].unit for number in numbers])
        lengths = np.outer(np.linalg.norm(units, axis=1), np.linalg.norm(seen, axis=1))
        cosines = units @ seen.T / (lengths + 1e-12) * cohesions
        for number, row in zip(numbers, cosines, strict=True):
            strengths[number] = prints[number].bar.standardised(row)
    return strengths


def _closeness(
    prints: Sequence[_Print], strengths: NDArray[np.float64], rescaled: Mapping[str, Rescaled]
) -> NDArray[np.float64]:
    """How far typical images of either exceed the other's bar at least, in spreads: (n, n).

    It is 0 for what rescaling alone joins, minus infinity for what is not related.
    """
    above = strengths - np.array([[one.bar.threshold] for one in prints])
    both = np.minimum(above, above.T)
    closeness = np.where(both > 0, both, -np.inf)
    places = {one.fingerprint_id: number for number, one in enumerate(prints)}
    for name, found in rescaled.items():
        if name in places and found.origin in places:
            one, other = places[name], places[found.origin]
            closeness[[one, other], [other, one]] = max(closeness[one, other], 0.0)
    return closeness


def _groups(closeness: NDArray[np.float64]) -> list[list[int]]:
    """Numbers of those that are connected, in order."""
    _, labels = connected_components(closeness >= 0, directed=False)
    groups: dict[int, list[int]] = {}
    for number, label in enumerate(labels.tolist()):
        groups.setdefault(label, []).append(number)
    return list(groups.values())


def _tree(
    rows: Sequence[Any],
    strengths: NDArray[np.float64],
    closeness: NDArray[np.float64],
    rescaled: Mapping[str, Rescaled],
) -> list[Branch]:
    """Draw one family, the first row at the root."""
    branches = []
    for number, above, depth in _depth_first(_joined(closeness)):
        row = rows[number]
        its = rescaled.get(row.fingerprint_id)
        branch = Branch(
            row.fingerprint_id, row.images, row.maker, row.flagged, depth,
            origin=its.origin if its else None, factor=its.factor if its else None,
        )  # fmt: skip
        if above is not None:
            there, here = strengths[above, number], strengths[number, above]
            branch = replace(
                branch,
                above=rows[above].fingerprint_id,
                score_there=float(there * abs(there)),
                bar_there=rows[above].threshold ** 2,
                score_here=float(here * abs(here)),
                bar_here=row.threshold**2,
            )
        branches.append(branch)
    return branches


def _joined(closeness: NDArray[np.float64]) -> dict[int, list[int]]:
    """Join all of a family to the first, always the closest pair next: whom each has below it."""
    inside, outside = [0], list(range(1, len(closeness)))
    below: dict[int, list[int]] = {}
    while outside:
        part = closeness[np.ix_(inside, outside)]
        above, number = divmod(int(np.argmax(part)), len(outside))
        below.setdefault(inside[above], []).append(outside[number])
        inside.append(outside.pop(number))
    return below


def _depth_first(
    below: Mapping[int, Sequence[int]], number: int = 0, above: int | None = None, depth: int = 0
) -> Iterator[tuple[int, int | None, int]]:
    """Walk a tree: number, above it, and steps from the root."""
    yield number, above, depth
    for each in sorted(below.get(number, ())):
        yield from _depth_first(below, each, number, depth + 1)
