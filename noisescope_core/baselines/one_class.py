"""One-class SVM on features of photographs alone: what it has not seen is taken for generated.

The blind use of a rival's features, as in the paper's comparison (section 4). Features are taken
as they are, without scaling: the widths tried are meant for them so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from sklearn.svm import OneClassSVM

NU = 0.1
"""Share of the training photographs that may lie outside, about."""

FOLDS = 5
"""Parts of the photographs, each left out once to choose the width."""


def fit_one_class(features: ArrayLike, seed: int = 0) -> OneClassSVM:
    """Fit an SVM with radial basis functions around the features of photographs.

    gamma is the one of 1e-3, 1e-4, 1 / m, 0.01 and 0.1 with which, over 5 folds, most of the
    photographs left out are inliers; of equal ones the first in that order.

    Parameters
    ----------
    features : (n, m) float
    seed : int
        Shuffles the folds. The model depends on it and on the rows, not on their order.

    Raises
    ------
    ValueError
        If there are fewer than 5 rows, or a value is not finite.
    """
    # Only the driver fits a model; workers that make features start a second faster without.
    from sklearn.model_selection import KFold
    from sklearn.svm import OneClassSVM

    rows = np.asarray(features, np.float64)
    if len(rows) < FOLDS:
        raise ValueError(f"{len(rows)} photographs are too few for {FOLDS} folds")
    # Rows that come from many machines come in any order.
    rows = rows[np.lexsort(rows.T)]
    folds = list(KFold(FOLDS, shuffle=True, random_state=seed).split(rows))
    gammas = (1e-3, 1e-4, 1 / rows.shape[1], 0.01, 0.1)

    def model(gamma: float) -> OneClassSVM:
        return OneClassSVM(kernel="rbf", nu=NU, gamma=gamma)

    def inliers(gamma: float) -> int:
        return sum(
            int((~outliers(model(gamma).fit(rows[kept]), rows[left])).sum()) for kept, left in folds
        )

    return model(max(gammas, key=inliers)).fit(rows)


def outliers(model: OneClassSVM, features: ArrayLike) -> NDArray[np.bool_]:
    """Tell which images lie outside the photographs.

    Parameters
    ----------
    model : OneClassSVM, from `fit_one_class`
    features : (n, m) float

    Returns
    -------
    (n,) bool
        True is generated.
    """
    outside: NDArray[np.bool_] = model.predict(np.asarray(features, np.float64)) < 0
    return outside
