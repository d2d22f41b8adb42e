"""What photographs' tiles have in common, and how it is pressed down (docs/lattice.md, step 2).

JPEG's grid, chroma subsampling and mosaics repeat every 16 pixels, too. But photographs show them
as well: the second moment of reference tiles, no mean removed, has a few strong directions, and
along these a tile says little of its maker. In come features, out come directions on a sphere, on
which tiles of unrelated images have small cosines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from noisescope_core.lattice.frequencies import elsewhere
from noisescope_core.lattice.tiles import PERIOD, VALUES

RANK = 128
"""Directions of photographs that are pressed down one by one. Measured: more find no more
(docs/lattice.md, step 2), and a fingerprint carries them."""

SHRINKAGE = 1.0
"""Added to the second moment, in units of white noise's. Measured on nine generators, 0.1 to 4:
with some hundred reference images, less follows their chance, more leaves their lattices in."""

BLOCK = 1000
"""Images that are whitened at once. Chosen: some 10 MB."""


@dataclass(frozen=True)
class Background:
    """The second moment of reference tiles, as far as it stands out.

    Attributes
    ----------
    directions : (r, 1536) float32, orthonormal
    gains : (r,) float32, what is left of a tile along each
    rest : what is left of it along all others
    """

    directions: NDArray[np.float32]
    gains: NDArray[np.float32]
    rest: float

    def whitened(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Press the common directions of features, (n, 1536), down."""
        along = features @ self.directions.T
        pressed = self.rest * features + (along * (self.gains - self.rest)) @ self.directions
        return np.asarray(pressed, np.float32)

    def unpressed(self, whitened: NDArray[np.float32]) -> NDArray[np.float32]:
        """Undo `whitened`, (n, 1536)."""
        along = whitened @ self.directions.T
        back = (along * (1 / self.gains - 1 / self.rest)) @ self.directions
        return np.asarray(whitened / self.rest + back, np.float32)

    def units(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Whiten features, (n, 1536), and bring them to length 1; an empty one stays 0."""
        return directions_of(self.whitened(features))


def background_of(features: NDArray[np.float32]) -> Background:
    """Measure what reference tiles have in common.

    Parameters
    ----------
    features : (n, 1536) float32, at least 1

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> common = rng.normal(size=1536)
    >>> tiles = rng.normal(size=(200, 1536)) + 3 * rng.normal(size=(200, 1)) * common
    >>> some = background_of(tiles.astype(np.float32)).units(tiles[:2].astype(np.float32))
    >>> bool(abs(some[0] @ some[1]) < 0.2)
    True
    """
    # A photograph's mirror images are photographs: four times the images to measure with. Over all
    # four, what is alike on both sides of an axis has nothing to do with what is opposite.
    parts = _by_symmetry(features.astype(np.float64))
    solved = [linalg.eigh(part.T @ part / len(features)) for part in parts]
    values = np.concatenate([each for each, _ in solved])
    rank = min(RANK, len(features))
    strongest = np.argsort(-values, kind="stable")[:rank]
    directions = np.zeros((len(parts), rank, parts.shape[2]))
    for place, one in enumerate(strongest.tolist()):
        part, column = divmod(one, parts.shape[2])
        directions[part, place] = solved[part][1][:, column]
    rest = max(float(values.sum() - values[strongest].sum()), 0.0) / (VALUES - rank)
    return Background(
        np.ascontiguousarray(_from_symmetry(directions), np.float32),
        np.asarray(1 / np.sqrt(values[strongest] + SHRINKAGE), np.float32),
        float(1 / np.sqrt(rest + SHRINKAGE)),
    )


def _by_symmetry(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Part tiles, (n, 1536), into what is alike and opposite about both axes: (4, n, 384)."""
    half = PERIOD // 2
    parts = [features.reshape(len(features), -1, PERIOD, PERIOD)]
    for axis in (2, 3):
        halves = [(np.split(part, 2, axis=axis), axis) for part in parts]
        parts = [
            (first + sign * np.flip(second, axis=at)) / np.sqrt(2)
            for (first, second), at in halves
            for sign in (1, -1)
        ]
    return np.stack([part.reshape(len(features), -1) for part in parts]).reshape(
        4, len(features), VALUES // PERIOD**2 * half**2
    )


def _from_symmetry(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Put parts, (4, n, 384), together again: (n, 1536)."""
    half = PERIOD // 2
    tiles = list(parts.reshape(4, parts.shape[1], -1, half, half))
    for axis in (3, 2):
        tiles = [
            np.concatenate([alike + opposite, np.flip(alike - opposite, axis=axis)], axis=axis)
            / np.sqrt(2)
            for alike, opposite in zip(tiles[::2], tiles[1::2], strict=True)
        ]
    return np.asarray(tiles[0].reshape(parts.shape[1], -1))


@dataclass(frozen=True)
class Half:
    """One half of the reference before the background of the other half.

    Attributes
    ----------
    background : of the other half
    reference : (m, 1536) float32, units
    lengths : (n,) float32, what tested units of `Views` have as lengths before this background
    """

    background: Background
    reference: NDArray[np.float32]
    lengths: NDArray[np.float32]


@dataclass(frozen=True)
class Views:
    """Images before three backgrounds: of all reference images, and of either half of them.

    A reference image is scored before the background of the half that it is not in; tested images
    before the same, so that cosines of both kinds compare. Of tested images one array is kept:
    whitening is linear, so a sum of them is brought before another background as a whole.

    Attributes
    ----------
    whole : background of all reference images
    tested : (n, 1536) float32, units before it
    halves : of the reference
    """

    whole: Background
    tested: NDArray[np.float32]
    halves: tuple[Half, Half]

    def directions(self, half: Half, totals: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring sums of tested units, (k, 1536), each over its length, before one half."""
        return directions_of(half.background.whitened(self.whole.unpressed(totals)))

    def reference_cosines(self, sets: Sequence[NDArray[np.intp]]) -> NDArray[np.float64]:
        """Cosines of all reference images with the sums of sets of tested ones: (m, sets)."""
        cosines = [half.reference @ self._directions_of(half, sets).T for half in self.halves]
        return np.concatenate(cosines).astype(np.float64)

    def reference_elsewhere(self, members: NDArray[np.intp]) -> NDArray[np.float64]:
        """Cosines of all reference images with one set, without each one's best frequency."""
        return np.concatenate(
            [
                elsewhere(half.reference, self._directions_of(half, [members]))
                for half in self.halves
            ]
        )

    def _directions_of(self, half: Half, sets: Sequence[NDArray[np.intp]]) -> NDArray[np.float32]:
        """Directions of the sums of sets of tested images before one half: (sets, 1536)."""
        totals = [(1 / half.lengths[members]) @ self.tested[members] for members in sets]
        return self.directions(half, np.stack(totals))

    def cosines(self, sets: Sequence[NDArray[np.intp]]) -> NDArray[np.float64]:
        """Cosines of all tested images with the sums of sets, without themselves: (n, sets)."""
        totals = np.stack([self.tested[members].sum(0, dtype=np.float64) for members in sets])
        lengths = (totals**2).sum(1)
        # In their own precision: another would copy all of them first.
        products = (self.tested @ totals.astype(np.float32).T).astype(np.float64)
        cosines = products / np.sqrt(lengths + 1e-12)
        for k, members in enumerate(sets):
            # Units: without itself, a member has one less of its own length.
            own = products[members, k]
            left = np.sqrt(np.maximum(lengths[k] - 2 * own + 1, 1e-12))
            cosines[members, k] = (own - 1) / left
        return np.asarray(cosines)


def directions_of(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring rows to length 1; an empty one stays 0."""
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.maximum(lengths, 1e-6), np.float32)


def views_of(tested: NDArray[np.floating[Any]], reference: NDArray[np.float32]) -> Views:
    """Look at tested images before their reference.

    Parameters
    ----------
    tested : (n, 1536) float
    reference : (m, 1536) float32, m at least 2
        In an order that says nothing of them: halves are every second one.
    """
    whole = background_of(reference)
    first, second = (background_of(reference[half::2]) for half in (0, 1))
    units = np.empty(tested.shape, np.float32)
    lengths = np.empty((2, len(tested)), np.float32)
    for block in blocks(len(tested), BLOCK):
        units[block] = whole.units(tested[block].astype(np.float32))
        plain = whole.unpressed(units[block])
        for side, own in zip((first, second), lengths, strict=True):
            own[block] = np.maximum(np.linalg.norm(side.whitened(plain), axis=1), 1e-6)
    halves = (
        Half(first, first.units(reference[1::2]), lengths[0]),
        Half(second, second.units(reference[0::2]), lengths[1]),
    )
    return Views(whole, units, halves)


def blocks(rows: int, length: int) -> list[slice]:
    """Cut rows into blocks."""
    return [slice(first, min(first + length, rows)) for first in range(0, rows, length)]
