"""What photographs' tiles have in common, and how it is pressed down (docs/lattice.md, step 2).

JPEG's grid, chroma subsampling and mosaics repeat every 16 pixels, too. But photographs show them
as well: the second moment of reference tiles, no mean removed, has a few strong directions, and
along these a tile says little of its maker. In come features, out come directions on a sphere, on
which tiles of unrelated images have small cosines.
"""

from __future__ import annotations

from dataclasses import dataclass

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

    def units(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Whiten features, (n, 1536), and bring them to length 1; an empty one stays 0."""
        values = self.whitened(features)
        lengths = np.linalg.norm(values, axis=1, keepdims=True)
        return np.asarray(values / np.maximum(lengths, 1e-6), np.float32)


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
class Views:
    """Images before three backgrounds: of all reference images, and of either half of them.

    A reference image is scored before the background of the half that it is not in; tested images
    before the same, so that cosines of both kinds compare.

    Attributes
    ----------
    tested : (n, 1536) float32, units before the background of all
    halves : two of (n, 1536), tested images before the background of either half
    reference : two of (m, 1536), the reference images of the other half
    """

    tested: NDArray[np.float32]
    halves: tuple[NDArray[np.float32], NDArray[np.float32]]
    reference: tuple[NDArray[np.float32], NDArray[np.float32]]

    def reference_cosines(self, members: NDArray[np.intp]) -> NDArray[np.float64]:
        """Cosines of all reference images with the sum of some tested ones."""
        cosines = []
        for tested, reference in zip(self.halves, self.reference, strict=True):
            total = tested[members].sum(0, dtype=np.float64)
            direction = total / (np.linalg.norm(total) + 1e-12)
            cosines.append(reference @ direction.astype(np.float32))
        return np.concatenate(cosines).astype(np.float64)

    def reference_elsewhere(self, members: NDArray[np.intp]) -> NDArray[np.float64]:
        """The same without the frequency at which each agrees most."""
        return np.concatenate(
            [
                elsewhere(reference, tested[members].sum(0, keepdims=True, dtype=np.float64))
                for tested, reference in zip(self.halves, self.reference, strict=True)
            ]
        )

    def cosines(self, members: NDArray[np.intp]) -> NDArray[np.float64]:
        """Cosines of all tested images with the sum of some of them, a member without itself."""
        total = self.tested[members].sum(0, dtype=np.float64)
        length = total @ total
        # In their own precision: another would copy all of them first.
        products = (self.tested @ total.astype(np.float32)).astype(np.float64)
        cosines = products / np.sqrt(length + 1e-12)
        # Units: without itself, a member has one less of its own length.
        own = products[members] - 1
        cosines[members] = own / np.sqrt(np.maximum(length - 2 * products[members] + 1, 1e-12))
        return np.asarray(cosines)


def views_of(
    tested: NDArray[np.float32], reference: NDArray[np.float32]
) -> tuple[Background, Views]:
    """Look at tested images before their reference.

    Parameters
    ----------
    tested, reference : (n, 1536), (m, 1536) float32, m at least 2
        Reference images in an order that says nothing of them: halves are every second one.
    """
    whole = background_of(reference)
    sides = [background_of(reference[half::2]) for half in (0, 1)]
    first, second = (side.units(tested) for side in sides)
    others = sides[0].units(reference[1::2]), sides[1].units(reference[0::2])
    return whole, Views(whole.units(tested), (first, second), others)
