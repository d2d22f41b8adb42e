"""Which images of a large pile the search looks at: those along its leading directions.

The second moment of a pile's tiles is a sum over its images, exact at any number of them, and as
large as one tile squared. Where it exceeds the reference's, images share something. In come units,
out comes how far each image stands out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noisescope_core.lattice.background import Views

DIRECTIONS = 64
"""Directions looked along. Chosen: some ten makers in a pile, with several kinds of image each."""


def moment_of(units: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sum the second moment of images, (n, 1536) units: (1536, 1536) float64."""
    return np.asarray(units.T @ units, np.float64)


def leading_directions(
    moment: NDArray[np.float64], images: int, views: Views
) -> NDArray[np.float32]:
    """Find the directions along which a pile exceeds its reference most.

    Parameters
    ----------
    moment : (1536, 1536) float64, from `moment_of`, over all images
    images : how many they are
    views : of the reference; reference images are units before the half that they are not in

    Returns
    -------
    (1536, 64) float32, each divided by the spread of reference images along it
    """
    reference = np.concatenate([half.reference for half in views.halves])
    excess = moment / max(images, 1) - reference.T.astype(np.float64) @ reference / len(reference)
    directions = np.linalg.eigh(excess)[1][:, -DIRECTIONS:]
    spreads = np.sqrt(np.mean((reference @ directions) ** 2, axis=0)) + 1e-12
    return np.asarray(directions / spreads, np.float32)


def standing_out(
    units: NDArray[np.float32], directions: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Say how far images, (n, 1536) units, stand out along any direction, in spreads: (n,)."""
    return np.asarray(np.abs(units @ directions).max(axis=1), np.float32)
