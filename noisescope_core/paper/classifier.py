"""Fingerprint classifier: does a fingerprint's texture look like a camera's? (paper, section 3.4).

In come Haralick features (`texture.haralick_features`) of reference fingerprints, and of those to
be classified; out come margins, below 0 for a generator's.

The model is a local outlier factor over Haralick features of reference fingerprints. It is kept
as its training features and fitted where it is needed: nothing is ever unpickled from storage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from sklearn.neighbors import LocalOutlierFactor


def fit_texture(
    features: ArrayLike, neighbours: int = 30, contamination: float = 1e-4
) -> LocalOutlierFactor:
    """Fit the outlier model to the features of reference fingerprints.

    Parameters
    ----------
    features : (k, 13) float
    neighbours : int
        Of the local outlier factor; 30 is the paper's.
    contamination : float
        Share of reference fingerprints taken for outliers, 0 to 0.5.

    Raises
    ------
    ValueError
        If there are no more fingerprints than neighbours.
    """
    # Only the driver fits a model; workers that make features start a second faster without.
    from sklearn.neighbors import LocalOutlierFactor

    rows = np.asarray(features)
    if len(rows) <= neighbours:
        raise ValueError(
            f"{len(rows)} reference fingerprints are too few for {neighbours} neighbours"
        )
    model = LocalOutlierFactor(n_neighbors=neighbours, novelty=True, contamination=contamination)
    return model.fit(rows)


def texture_margins(model: LocalOutlierFactor, features: ArrayLike) -> NDArray[np.float64]:
    """Measure how far fingerprints lie inside the texture of reference fingerprints.

    Parameters
    ----------
    model : LocalOutlierFactor, from `fit_texture`
    features : (k, 13) float

    Returns
    -------
    (k,) float64
        LOF score minus offset; below 0 the fingerprint is a generator's.
    """
    margins: NDArray[np.float64] = model.decision_function(np.asarray(features))
    return margins
