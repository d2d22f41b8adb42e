"""Image detector: every image tested against the fingerprints found (paper, section 3.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisescope_core.confidence import Bar
from noisescope_core.correlation import Spectra, pce_between, spectra
from noisescope_core.whitening import Layout


@dataclass(frozen=True)
class Fingerprint:
    """A fingerprint of the whitened method, ready to be matched.

    Attributes
    ----------
    fingerprint_id : str
    mean : (3, V) float32
        Of the members' whitened planes.
    members : image ids
    weights, centre : (33,) float, of the bands
    bar : how scores are read
    """

    fingerprint_id: str
    mean: NDArray[np.float32]
    members: frozenset[str]
    weights: NDArray[np.float64]
    centre: NDArray[np.float64]
    bar: Bar


def score_images(
    residuals: ArrayLike, fingerprints: Spectra
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Score residuals against fingerprints of generators.

    Parameters
    ----------
    residuals : (n, H, W) float
    fingerprints : Spectra of k >= 1 fingerprints of the same size

    Returns
    -------
    scores : (n,) float64
        The largest PCE with any fingerprint.
    best : (n,) int64
        Row number of that fingerprint.
    """
    matrix = pce_between(spectra(residuals, fingerprints.pixels.dtype), fingerprints)
    return matrix.max(axis=1), matrix.argmax(axis=1)


def detection_threshold(reference_scores: ArrayLike, percentile: float = 99.5) -> float:
    """Set the bar above which an image is fake: a percentile of the reference images' scores."""
    return float(np.percentile(np.asarray(reference_scores), percentile))


def match(
    feature: NDArray[Any], image_id: str, fingerprints: Sequence[Fingerprint], bins: Layout
) -> tuple[float, float, float, str, bool]:
    """Test an image against the fingerprints of its size, a member without itself.

    Parameters
    ----------
    feature : (3 * V,) float, from `whitening.whitened_planes`
    image_id : str
        Tells a member.
    fingerprints : at least one
    bins : the layout of the size

    Returns
    -------
    score : signed square of the standardised score, on the scale of PCE: unrelated images have
        about a chi-square with one degree of freedom
    threshold : of the fingerprint, on the same scale
    confidence : probability, 0..1, that the image carries the fingerprint
    fingerprint_id : the one that fits best, of those above their threshold if there are any
    typical : whether the score is as its members' are, no more than one of their spreads below
    """
    image = np.asarray(feature, np.float32).reshape(len(fingerprints[0].mean), -1)
    own = _products(image, image, bins)
    graded = []
    for fingerprint in fingerprints:
        bar = fingerprint.bar
        bands = _bands(image, own, image_id, fingerprint, bins)
        z = bar.standardised(fingerprint.weights @ (bands - fingerprint.centre))
        graded.append(
            (
                float(bar.fit(z)),
                float(z * abs(z)),
                bar.threshold**2,
                float(bar.confidence(z)),
                fingerprint.fingerprint_id,
                bool(z >= bar.mean - bar.deviation),
            )
        )
    return max(graded)[1:]


def contributions(
    feature: NDArray[Any], image_id: str, fingerprint: Fingerprint, bins: Layout
) -> NDArray[np.float64]:
    """Say what each band adds to the standardised score of an image.

    Parameters
    ----------
    feature, image_id, bins : as for `match`

    Returns
    -------
    (33,) float64
        In the order of `whitening.BANDS`. Their sum less `bar.centre / bar.spread` is the
        standardised score, whose signed square `match` returns.
    """
    image = np.asarray(feature, np.float32).reshape(len(fingerprint.mean), -1)
    bands = _bands(image, _products(image, image, bins), image_id, fingerprint, bins)
    weighed = fingerprint.weights * (bands - fingerprint.centre) / fingerprint.bar.spread
    return np.asarray(weighed, np.float64)


def _bands(
    image: NDArray[np.float32],
    own: NDArray[np.float64],
    image_id: str,
    fingerprint: Fingerprint,
    bins: Layout,
) -> NDArray[np.float64]:
    """Correlate an image with the sum of the members, without itself, band by band."""
    count = len(fingerprint.members)
    products = count * _products(image, fingerprint.mean, bins)
    if image_id in fingerprint.members:
        count -= 1
        products = products - own
    return np.asarray(products / bins.values / np.sqrt(max(count, 1)), np.float64)


def _products(
    one: NDArray[np.float32], other: NDArray[np.float32], bins: Layout
) -> NDArray[np.float64]:
    return np.array([np.vdot(one[p, part], other[p, part]) for p, part in bins.slices()])
