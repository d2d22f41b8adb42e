"""The search of a pile for shared tiles, all sizes at once (docs/lattice.md, steps 3 to 6).

In come `Views`, out come sets of images with the bar of each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from noisescope_core.lattice.background import Views
from noisescope_core.lattice.frequencies import elsewhere
from noisescope_core.lattice.growth import CHANCE, LEAST, chance_of, grown, seeds, standardised
from noisescope_core.lattice.splitting import parts_of
from noisescope_core.method import Note
from noisescope_core.whitened.discovery.confidence import Bar, fit_bar
from noisescope_core.whitened.planes.duplicates import first_of_group
from noisescope_core.whitened.robust import median_and_spread

TRIED = 12
"""Seeds grown before the best set is taken. Chosen: most of the first lead to one set."""

FRUITLESS = 36
"""Seeds that lead nowhere, after which the rest are not tried. Chosen: seeds come in the order in
which they promise."""


CUTS = 2
"""Times that sets are cut and grown anew. Chosen: what joins a part may be cut from it again."""

LET_THROUGH = 0.0005
"""Share of the reference images that a bar lets through at most. Chosen: a pile holds ten makers,
and photographs have their own lattices, so that scores have tails of their own."""


LEAST_ELSEWHERE = 2.0
"""Spreads by which an image must agree with a tile beside the frequency at which it agrees most.
Measured: members of nine generators' sets had more, but for one in ten of the weakest; photographs
that are loud at one frequency, and 12 to 21 spreads strong with it, had 0."""


@dataclass(frozen=True)
class SharedTile:
    """A set of images that share a tile.

    Attributes
    ----------
    members : rows of the tested images, ascending
    cohesion : mean cosine of two members
    bar : how cosines with it are read
    elsewhere : centre and spread of what reference images have in common with it beside the
        frequency at which each agrees most
    """

    members: NDArray[np.intp]
    cohesion: float
    bar: Bar
    elsewhere: tuple[float, float]


def shared_tiles(
    views: Views, sketches: NDArray[np.uint8], seed: int, note: Note
) -> list[SharedTile]:
    """Find the sets of images that share a tile, the least probable first.

    Parameters
    ----------
    views : of the pile
    sketches : (n, 1024) uint8, of its tested images
    seed : of all draws
    note : takes a sentence on what is going on
    """
    sets = _sets(views, sketches, note)
    rng = np.random.default_rng(seed)
    for _ in range(CUTS):
        sets = _regrown(views, [part for members in sets for part in _parts(views, members, rng)])
    return [described(views, _agreeing_elsewhere(views, members)) for members in sets]


def _parts(
    views: Views, members: NDArray[np.intp], rng: np.random.Generator
) -> list[NDArray[np.intp]]:
    return [members[part] for part in parts_of(views.tested[members], rng)]


def _regrown(views: Views, parts: list[NDArray[np.intp]]) -> list[NDArray[np.intp]]:
    """Let the parts of sets grow once more, none into another, and give each image to the best."""
    free = np.ones(len(views.tested), bool)
    for part in parts:
        free[part] = False
    sets = []
    for part in parts:
        own = free.copy()
        own[part] = True
        (again,) = grown(views, [part], own)
        members = again if len(again) >= LEAST else part
        free[part], free[members] = True, False
        sets.append(members)
    return _apart(views, sets)


def _sets(views: Views, sketches: NDArray[np.uint8], note: Note) -> list[NDArray[np.intp]]:
    """Find sets one after the other, each among the images that those before left."""
    free = np.ones(len(views.tested), bool)
    sets: list[NDArray[np.intp]] = []
    before, near = -1, None
    # Once sets are taken out, others have other neighbours.
    while before < len(sets):
        before = len(sets)
        proposed, near = seeds(views, free, near)
        while proposed:
            best = _best(views, proposed[:TRIED], free)
            if best is None:
                proposed = proposed[TRIED:FRUITLESS]
                continue
            members = best
            distinct = _distinct(views, sketches, members)
            if len(distinct) == len(members) or _is_more_than_chance(views, distinct, free):
                sets.append(distinct)
            free[members] = False
            note(f"lattices: {len(sets)} found, {int(free.sum()):,} images left")
            proposed = [seed for seed in proposed if free[seed].all()]
    return sets


def _best(
    views: Views, proposed: list[NDArray[np.intp]], free: NDArray[np.bool_]
) -> NDArray[np.intp] | None:
    """Grow seeds and take the least probable set; None if chance explains them all."""
    sets = {members.tobytes(): members for members in grown(views, proposed, free)}
    large = [members for members in sets.values() if len(members) >= LEAST]
    if not large:
        return None
    chances = _chances(views, large, free)
    best = int(np.argmin(chances))
    return large[best] if chances[best] <= np.log(CHANCE) else None


def _chances(views: Views, sets: list[NDArray[np.intp]], free: NDArray[np.bool_]) -> list[float]:
    """Logarithm of the probability of each set among the free images."""
    strengths, images = standardised(views, sets), int(free.sum())
    return [chance_of(strengths[members, k], images) for k, members in enumerate(sets)]


def _distinct(
    views: Views, sketches: NDArray[np.uint8], members: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Keep one image of every picture: copies share more than a maker's tile."""
    units = views.tested[members]
    return members[np.unique(first_of_group(sketches[members], units @ units.T))]


def _is_more_than_chance(views: Views, members: NDArray[np.intp], free: NDArray[np.bool_]) -> bool:
    if len(members) < LEAST:
        return False
    (chance,) = _chances(views, [members], free)
    return chance < float(np.log(CHANCE))


def _apart(views: Views, sets: list[NDArray[np.intp]]) -> list[NDArray[np.intp]]:
    """Give every member to the set that it agrees with most, and drop what falls apart."""
    if not sets:
        return []
    chosen = np.argmax(standardised(views, sets), axis=1)
    own = [members[chosen[members] == k] for k, members in enumerate(sets)]
    moved = [
        np.sort(np.concatenate([own[k]] + [
            members[chosen[members] == k] for j, members in enumerate(sets) if j != k
        ]))
        for k in range(len(sets))
    ]  # fmt: skip
    return [members for members in moved if len(members) >= LEAST]


def _agreeing_elsewhere(views: Views, members: NDArray[np.intp]) -> NDArray[np.intp]:
    """Leave out who shares one frequency alone with the others, if enough are left."""
    units = views.tested[members].astype(np.float64)
    centre, spread = median_and_spread(views.reference_elsewhere(members))
    standing = (elsewhere(units, units.sum(0) - units) - centre) / spread
    kept = members[standing >= LEAST_ELSEWHERE]
    return kept if len(kept) >= LEAST else members


def described(views: Views, members: NDArray[np.intp]) -> SharedTile:
    """Set the bar of a set, given by the rows of its members."""
    is_member = np.zeros(len(views.tested), bool)
    is_member[members] = True
    cosines = views.cosines([members])[:, 0]
    total = views.tested[members].sum(0, dtype=np.float64)
    count = len(members)
    cohesion = float((total @ total - count) / (count * (count - 1)))
    reference = views.reference_cosines([members])[:, 0]
    bar = fit_bar(cosines, reference, is_member)
    reached = float(np.quantile(bar.standardised(reference), 1 - LET_THROUGH))
    bar = replace(bar, threshold=max(bar.threshold, reached))
    centre, spread = median_and_spread(views.reference_elsewhere(members))
    return SharedTile(members, cohesion, bar, (float(centre), float(spread)))
