"""Sets of two makers, cut in two (docs/lattice.md, step 5).

Two parts of a set are two makers' if they differ where the cut was not looked for: the cut is
chosen on one half of a tile's numbers, and measured on the other. Differences in strength do not
count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST_PART = 5
"""Images in the smaller part, at least."""

DRAWS = 6
"""Halvings of the numbers that are tried; the median decides."""

DIFFERS = 5.0
"""Standard errors by which the parts must differ. Measured: homogeneous sets reach 4
(docs/lattice.md, step 5)."""

OF_COHESION = 0.7
"""Squared distance of the parts, in units of the members' mean cosine, from which they are two
makers'. Measured: two generators had 0.77 and more, single ones mostly 0.5 and less."""


def parts_of(units: NDArray[np.float32], rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Cut a set for as long as its parts are two makers'.

    Parameters
    ----------
    units : (m, 1536) float32, rows of length 1
    rng : draws the halves of the numbers

    Returns
    -------
    list of rows, ascending; one that holds all if nothing is to be cut
    """
    todo, done = [np.arange(len(units))], []
    while todo:
        rows = todo.pop()
        cut = _cut(units[rows], rng)
        if cut is None:
            done.append(rows)
        else:
            todo += [rows[cut], rows[~cut]]
    return sorted(done, key=lambda rows: int(rows[0]))


def _cut(units: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.bool_] | None:
    if len(units) < 2 * LEAST_PART:
        return None
    count = len(units)
    total = units.sum(0, dtype=np.float64)
    cohesion = (total @ total - count) / (count * (count - 1))
    distances = []
    for _ in range(DRAWS):
        order = rng.permutation(units.shape[1])
        halves = np.array_split(order, 2)
        for seen, unseen in (halves, halves[::-1]):
            distances.append(_distance(units[:, unseen], _two(units[:, seen])))
    errors, distance = np.median(distances, axis=0)
    # Half of the numbers hold half of a length of 1.
    if errors < DIFFERS or 2 * distance < OF_COHESION * cohesion:
        return None
    cut = _two(units)
    return cut if min(cut.sum(), (~cut).sum()) >= LEAST_PART else None


def _across(units: NDArray[np.float32]) -> NDArray[np.float64]:
    """Take the common direction out: what is left tells kinds, not strengths."""
    mean = units.mean(0, dtype=np.float64)
    mean /= np.linalg.norm(mean) + 1e-12
    return np.asarray(units - np.outer(units @ mean, mean), np.float64)


def _two(units: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Part rows in two along what varies most, each row told by the others."""
    values = _across(units)
    products = values @ values.T
    np.fill_diagonal(products, 0)
    part = np.linalg.eigh(products)[1][:, -1] > 0
    for _ in range(20):
        weights = np.stack([~part, part], axis=1).astype(np.float64)
        agreed = products @ weights / np.sqrt(np.maximum(weights.sum(0), 1))
        chosen = agreed[:, 1] > agreed[:, 0]
        if np.array_equal(chosen, part) or chosen.all() or not chosen.any():
            break
        part = chosen
    return np.asarray(part, np.bool_)


def _distance(units: NDArray[np.float32], part: NDArray[np.bool_]) -> tuple[float, float]:
    """Squared distance of two parts' means, free of noise, in standard errors and as it is."""
    sizes = part.sum(), (~part).sum()
    if min(sizes) < 2:
        return 0.0, 0.0
    values = _across(units)
    products = values @ values.T
    spread = np.std(products[np.triu_indices(len(products), 1)])
    within = [
        (products[np.ix_(rows, rows)].sum() - np.trace(products[np.ix_(rows, rows)]))
        / (rows.sum() * (rows.sum() - 1))
        for rows in (part, ~part)
    ]
    between = products[np.ix_(part, ~part)].mean()
    distance = sum(within) - 2 * between
    error = spread * np.sqrt(sum(2 / (n * (n - 1)) for n in sizes) + 4 / (sizes[0] * sizes[1]))
    return float(distance / (error + 1e-12)), float(distance)
