"""Growth of a candidate: its members' own pattern decides who else belongs (docs/method.md, 5).

In come correlations by band and sets of images to start from; out come the sets that growth ends
in. An image's score against a set is its correlation with the sum of the members but itself, band
by band, over the square root of their number: unrelated images keep one spread, whatever the size
of the set. Bands are weighed as a matched filter does, by the mean that the members show (each
against the others) over the variance that the reference shows. The bar comes from reference
images that served for nothing else. Members are chosen again until the set is stable.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from noisescope_core.whitened.robust import median_and_spread

GROWTH_ROUNDS = 25
"""Times that members are chosen again, at most. Chosen: what moves longer goes in a circle."""

FALSE_POSITIVES = 0.005
"""Share of reference images above the bar, 0..1: the paper's, section 3.5."""

HIGHEST_BAR = 4.0
"""Spreads of the reference above its centre beyond which no bar of growth lies. Chosen: a
generated image among the reference must not raise the bar."""

PRIOR_MEMBERS = 5.0
"""Members' worth of belief that a pattern is spread over the bands as noise is (docs/method.md, 5).
Chosen: it holds sets of few members to equal weights."""

LEAST_GROWN = 3
"""Members in the smallest set that grows. Chosen: it is the least of pair clusters too."""

NO_VARIANCE = 1e-18
"""Variance of the reference's scores up to which a band is empty. Chosen, far below that of any
noise."""


def band_scores(products: NDArray[np.float32], members: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Score every image against sets of tested images, each image without itself.

    Parameters
    ----------
    products : (b, t + r, t) float32
        Correlations by band; rows are tested images, then reference images, columns tested
        images; 0 where an image meets itself.
    members : (t, k) bool
        One set a column.

    Returns
    -------
    (b, t + r, k) float32
        Correlation with the sum of the members but the image itself, over the root of their number.
    """
    tested = products.shape[2]
    others = np.repeat(members.sum(0, keepdims=True), products.shape[1], axis=0)
    others[:tested] -= members
    share = (1 / np.sqrt(np.maximum(others, 1))).astype(np.float32)
    columns = members.astype(np.float32)
    scores = np.empty((len(products), *share.shape), np.float32)
    for band, matrix in enumerate(products):
        np.matmul(matrix, columns, out=scores[band])
        scores[band] *= share
    return scores


def learned_weights(
    scores: NDArray[np.float32], members: NDArray[np.bool_], shares: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weigh the bands by what the members share in them.

    Parameters
    ----------
    scores : (b, t + r, k), from `band_scores`
    members : (t, k) bool
    shares : (b,) float
        Share of all values in a band: where few members have little to say, a pattern is taken
        to be spread over the bands as noise is.

    Returns
    -------
    weights, centre : (b, k) float64
        A score is sum_b weights_b (score_b - centre_b).
    """
    tested = len(members)
    reference = scores[:, tested:]
    centre = _medians(reference)
    variance = reference.var(axis=1, dtype=np.float64)
    count = np.maximum(members.sum(0), 1)
    mean = np.stack([(part[:tested] * members).sum(0) / count for part in scores]) - centre
    even = shares[:, None] / shares.sum() * np.maximum(mean.sum(0), 0)
    mean = (count * mean + PRIOR_MEMBERS * even) / (count + PRIOR_MEMBERS)
    # A band that the reference lacks (colour, where it is grey) has no measure.
    carried = variance > NO_VARIANCE
    return np.where(carried, np.maximum(mean, 0) / np.where(carried, variance, 1), 0), centre


def _medians(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Medians along the middle axis, by sorting: that is vectorised, choosing one value is not."""
    ranked = np.ascontiguousarray(values.transpose(0, 2, 1))
    ranked.sort(axis=-1)
    middle = values.shape[1] // 2
    centre = ranked[..., middle - 1 + values.shape[1] % 2 : middle + 1]
    return np.asarray(centre.mean(-1, dtype=np.float64))


def combined(
    scores: NDArray[np.float32], weights: NDArray[np.float64], centre: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weigh and sum the bands.

    Parameters
    ----------
    scores : (b, n, k), from `band_scores`
    weights, centre : (b, k) float, from `learned_weights`

    Returns
    -------
    (n, k) float64
    """
    total = np.zeros(scores.shape[1:])
    for part, weight in zip(scores, weights, strict=True):
        total += part * weight
    total -= (weights * centre).sum(0)
    return total


def without_absent(
    weights: NDArray[np.float64], absent: NDArray[np.bool_], shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weigh the bands of images that lack some, so that their scores have one spread with others'.

    A grey image has nothing in the differences of colours: a score of fewer bands would be held
    against a bar that stands on all.

    Parameters
    ----------
    weights : (b,) float
    absent : (b, ...) bool, where an image lacks the plane of a band
    shares : (b,) float
        Share of all values in a band, which is how its variance goes in white noise.

    Returns
    -------
    Array of the shape of `absent`
        0 where a band is lacking; as it was for an image that has all.

    Examples
    --------
    >>> without_absent(np.ones(4), np.array([False, False, True, True]), np.ones(4)).round(3)
    array([1.414, 1.414, 0.   , 0.   ])
    """
    part = np.square(weights) * shares
    kept = part @ ~absent / max(part.sum(), NO_VARIANCE)
    own = np.where(absent, 0, weights.reshape(-1, *[1] * (absent.ndim - 1)))
    return np.asarray(own / np.sqrt(np.where(kept > 0, kept, 1)), np.float64)


def reference_bar(reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Set the bar of every set from the reference images' scores.

    It is the 99.5th percentile, held between that of a normal law and four spreads: so few images
    say little of so high a quantile, and a generated image among them must not raise it.

    Parameters
    ----------
    reference : (r, k) float
        Scores of the held-out reference images against each set.

    Returns
    -------
    (k,) float64

    Examples
    --------
    >>> scores = np.random.default_rng(0).normal(size=(10_000, 1))
    >>> reference_bar(scores).round(1)
    array([2.6])
    """
    centre, spread = median_and_spread(reference)
    measured = np.quantile(reference, 1 - FALSE_POSITIVES, axis=0)
    low = centre - ndtri(FALSE_POSITIVES) * spread
    return np.asarray(np.clip(measured, low, centre + HIGHEST_BAR * spread), np.float64)


def grow(
    products: NDArray[np.float32],
    seeds: NDArray[np.bool_],
    shares: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Grow sets of images until each is stable.

    Parameters
    ----------
    products : (b, t + r, t) float32, as for `band_scores`
    seeds : (t, k) bool
        Sets to start from, one a column.
    shares : (b,) float, as for `learned_weights`

    Returns
    -------
    (t, j) bool
        The different sets that were reached, of three images or more; j <= k.
    """
    # A set is a row here.
    sets = np.ascontiguousarray(_distinct(seeds).T)
    moving = list(range(len(sets)))
    # Many sets end in a circle, or on another's way: a step is taken once, by the sets' bytes.
    steps: dict[bytes, NDArray[np.bool_]] = {}
    for _ in range(GROWTH_ROUNDS):
        if not moving:
            break
        names = {number: sets[number].tobytes() for number in moving}
        new = [number for number, name in names.items() if name not in steps]
        if new:
            taken = _step(products, sets[new].T, shares)
            steps.update(zip([names[n] for n in new], np.ascontiguousarray(taken.T), strict=True))
        # Seeds that have become one need growing once.
        reached: dict[bytes, int] = {}
        for number, name in names.items():
            sets[number] = steps[name]
            after = sets[number].tobytes()
            if after != name and after in reached:
                sets[number] = False
            elif after != name and sets[number].any():
                reached[after] = number
        moving = list(reached.values())
    return _distinct(sets.T)


def _step(
    products: NDArray[np.float32],
    members: NDArray[np.bool_],
    shares: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Choose the members of every set once more, by the pattern of those it has."""
    tested = len(members)
    scores = band_scores(products, members)
    total = combined(scores, *learned_weights(scores, members, shares))
    chosen = total[:tested] > reference_bar(total[tested:])
    chosen[:, chosen.sum(0) < LEAST_GROWN] = False
    return chosen


def _distinct(members: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep one of equal sets, and none below the least size."""
    kept = members[:, members.sum(0) >= LEAST_GROWN]
    return np.unique(kept, axis=1) if kept.shape[1] else kept
