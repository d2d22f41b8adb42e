"""Image detector: every image tested against the fingerprints found (paper, section 3.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from noisescope_core.config import Config
from noisescope_core.images import Size
from noisescope_core.method import PlaceTest, Score
from noisescope_core.whitened.detection.alignment import Pattern, best_alignment, pattern_of
from noisescope_core.whitened.detection.likely import Stacked
from noisescope_core.whitened.detection.many import FEW, met_last, raised, side_by_side
from noisescope_core.whitened.discovery.confidence import Bar, best_fit
from noisescope_core.whitened.discovery.growth import FALSE_POSITIVES, without_absent
from noisescope_core.whitened.makers.overlay import tile_grid, uncovered
from noisescope_core.whitened.planes.bands import PLANES, Layout, compared
from noisescope_core.whitened.planes.whitening import unpacked

Mask = NDArray[np.bool_]


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


def match(
    feature: NDArray[Any], image_id: str, fingerprints: Sequence[Fingerprint], bins: Layout
) -> Score:
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
    Score
        As `confidence.best_fit` gives it.
    """
    image = np.asarray(feature, np.float32).reshape(len(fingerprints[0].mean), -1)
    own = _products(image, image, bins)
    tested = []
    for fingerprint in fingerprints:
        bands = _bands(image, own, image_id, fingerprint, bins)
        weights = without_absent(fingerprint.weights, own == 0, bins.shares())
        score = weights @ (bands - fingerprint.centre)
        z = float(fingerprint.bar.standardised(score))
        tested.append((fingerprint.fingerprint_id, fingerprint.bar, z))
    return best_fit(tested)


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
    own = _products(image, image, bins)
    bands = _bands(image, own, image_id, fingerprint, bins)
    weights = without_absent(fingerprint.weights, own == 0, bins.shares())
    weighed = weights * (bands - fingerprint.centre) / fingerprint.bar.spread
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


def match_test(
    by_size: Mapping[Size, Sequence[Any]], config: Config, everywhere: bool = False
) -> PlaceTest:
    """Make the test of images against fingerprints, given by their rows of `fingerprints`.

    Images are tested in place against the fingerprints of their own size, and, `everywhere`, where
    that finds nothing at all alignments against all fingerprints.
    """
    side = config.whitening.side
    in_place = {size: _beneath(rows, size, side) for size, rows in by_size.items()}
    patterns: list[Pattern] = []
    if everywhere:
        rows_of_all = [row for rows in by_size.values() for row in rows]
        patterns = [
            pattern_of(
                ready.fingerprint_id, (row.width, row.height), ready.mean, ready.weights, side
            )
            for row in (rows_of_all[k] for k in met_last(rows_of_all))
            for ready in [fingerprint_of(row, side)]
        ]

    def test(image_id: str, size: Size, cell: pa.Buffer) -> Score | None:
        if size not in in_place and not patterns:
            return None
        feature = unpacked(cell)
        matched = None
        if size in in_place:
            bins = compared(size[1], size[0], side)
            scores = [layer.match(feature, image_id, bins) for layer in in_place[size]]
            matched = max(scores, key=lambda score: (score.is_fake, score.confidence, score.score))
            if matched.is_fake or not patterns:
                return matched
        aligned = best_alignment(feature, size, patterns, side)
        if matched and aligned.pce <= aligned.threshold:
            return matched
        return Score(
            aligned.pce, aligned.fingerprint_id, aligned.threshold, aligned.confidence,
            *aligned.shift,
        )  # fmt: skip

    return test


@dataclass(frozen=True)
class _Layer:
    """Fingerprints found with the same tiles taken out of all images, None for none.

    Of many, `stacked` chooses those that an image is tried on.
    """

    covered: Mask | None
    fingerprints: list[Fingerprint]
    stacked: Stacked | None

    def match(self, feature: NDArray[Any], image_id: str, bins: Layout) -> Score:
        if self.covered is not None:
            feature = uncovered(feature, self.covered, bins)
        tried = self.fingerprints
        if self.stacked is not None:
            image = np.asarray(feature, np.float32).reshape(len(PLANES), -1)
            absent = _products(image, image, bins) == 0
            tried = [tried[k] for k in self.stacked.likely(image, absent, bins)]
        return match(feature, image_id, tried, bins)


def _beneath(rows: Sequence[Any], size: Size, side: int) -> list[_Layer]:
    """Part the fingerprints of a size by the tiles that they were found without."""
    bars = raised([Bar.of_row(row) for row in rows], FALSE_POSITIVES)
    layers: dict[tuple[bool, ...], list[Fingerprint]] = {}
    for row, bar in zip(rows, bars, strict=True):
        ready = replace(fingerprint_of(row, side), bar=bar)
        layers.setdefault(tuple(row.covered or ()), []).append(ready)
    tiles = tile_grid(compared(size[1], size[0], side))
    return [
        _layer(np.reshape(covered, tiles) if covered else None, fingerprints)
        for covered, fingerprints in layers.items()
    ]


def _layer(covered: Mask | None, fingerprints: list[Fingerprint]) -> _Layer:
    if len(fingerprints) <= FEW:
        return _Layer(covered, fingerprints, None)
    means = np.stack([ready.mean for ready in fingerprints])
    stacked = Stacked(
        means,
        np.stack([ready.weights for ready in fingerprints]),
        np.stack([ready.centre for ready in fingerprints]),
        np.array([float(len(ready.members)) for ready in fingerprints]),
        side_by_side([ready.bar for ready in fingerprints]),
    )
    # Means are large: they are kept once.
    own = [replace(ready, mean=mean) for ready, mean in zip(fingerprints, means, strict=True)]
    return _Layer(covered, own, stacked)


def fingerprint_of(row: Any, side: int) -> Fingerprint:
    """Ready a row of `fingerprints` of the default method, of images compared up to `side`."""
    bins = compared(row.height, row.width, side)
    return Fingerprint(
        row.fingerprint_id,
        np.frombuffer(row.whitened, np.float32).reshape(len(PLANES), bins.values),
        frozenset(row.members),
        np.array(row.weights),
        np.array(row.centres),
        Bar.of_row(row),
    )
