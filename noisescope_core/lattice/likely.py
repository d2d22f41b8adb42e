"""Which of many lattices an image may carry, by one product with all (docs/scheduled.md).

The cosine of a tile with a lattice is a product of the tile with the lattice, pressed down once
more, over the tile's length before the lattice's background. Products with all lattices are one
matrix product. Lengths before backgrounds that were measured on other photographs of a kind are
nearly alike, so one is computed in full and tells the others. In come rows of `fingerprints`, out
come those lattices that the image fits best, ready for the full test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisescope_core.lattice.background import Background
from noisescope_core.whitened.detection.many import FEW, best_fitting, side_by_side
from noisescope_core.whitened.discovery.confidence import Bar

KEPT = 4 * FEW
"""Lattices and backgrounds that are kept ready. Chosen: with a background each, 100 MB."""


@dataclass(frozen=True)
class Stacked:
    """Lattices held against a tile at once.

    Attributes
    ----------
    directions : (n, 1536) float32, of length 1 before they are pressed down once more
    of_background : (n,) int, number of each one's background
    energies : (b, 1536) float32
        What is left of the energy of each value before a background, those beside it left out.
    first : background 0
    """

    directions: NDArray[np.float32]
    of_background: NDArray[np.intp]
    energies: NDArray[np.float32]
    first: Background

    def cosines(self, feature: NDArray[np.float32]) -> NDArray[np.float32]:
        """Estimate the cosines of a tile, (1536,), with all lattices: (n,)."""
        energies = self.energies @ np.square(feature)
        length = np.linalg.norm(self.first.whitened(feature[None]))
        lengths = length * np.sqrt(energies / (energies[0] + 1e-12))
        return np.asarray(self.directions @ feature / (lengths[self.of_background] + 1e-6))


def stacked_lattices(
    totals: Sequence[NDArray[np.floating]],
    cells: Sequence[bytes],
    unpacked: Callable[[bytes], Background],
) -> Stacked:
    """Put lattices together.

    Parameters
    ----------
    totals : (1536,) each, before their backgrounds, of any length
    cells : backgrounds as they are stored
    unpacked : reads one
    """
    numbers = {cell: number for number, cell in enumerate(dict.fromkeys(cells))}
    of_background = np.array([numbers[cell] for cell in cells])
    directions = np.stack([np.asarray(total, np.float32) for total in totals])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True) + np.float32(1e-12)
    energies = np.empty((len(numbers), directions.shape[1]), np.float32)
    for cell, number in numbers.items():
        background = unpacked(cell)
        its = of_background == number
        directions[its] = background.whitened(directions[its])
        left = np.square(background.gains) - background.rest**2
        energies[number] = background.rest**2 + left @ np.square(background.directions)
    return Stacked(directions, of_background, energies, unpacked(cells[0]))


def likely(
    lattices: Stacked, bars: Sequence[Bar], ready: Callable[[int], Any]
) -> Callable[[NDArray[np.float32]], list[Any]]:
    """Make the function that chooses the `FEW` lattices that a tile, (1536,), fits best.

    Parameters
    ----------
    bars : one of each
    ready : makes the lattice of a number ready for the full test
    """
    together, kept = side_by_side(bars), lru_cache(KEPT)(ready)

    def choose(feature: NDArray[np.float32]) -> list[Any]:
        return [kept(int(k)) for k in best_fitting(together, lattices.cosines(feature))]

    return choose
