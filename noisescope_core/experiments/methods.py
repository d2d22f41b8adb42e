"""The methods that experiments compare: the default one, the paper's, and their rivals.

Each readies all images of a condition at once and then answers draw by draw, in memory: the tool's
two by its own `find` and test (`noisescope_core.methods`), in the order in which images were drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from noisescope_core.baselines.azimuthal import azimuthal_features
from noisescope_core.baselines.csd import csd_features
from noisescope_core.baselines.one_class import fit_one_class, outliers
from noisescope_core.baselines.prnu import camera_residual
from noisescope_core.config import Config
from noisescope_core.experiments.definition import MethodName
from noisescope_core.experiments.pictures import Drawn, Pictures, Pixels
from noisescope_core.images import Size
from noisescope_core.images.sketch import sketch
from noisescope_core.images.watermark import watermark_of
from noisescope_core.in_memory import Detector
from noisescope_core.method import Feature, Found, say_nothing
from noisescope_core.methods import method_of, shortage
from noisescope_core.whitened.find import ArrayPile, array_pile
from noisescope_core.whitened.planes.bands import compared
from noisescope_core.whitened.planes.pair_correlations import pair_correlations


@dataclass(frozen=True)
class Answer:
    """What a method says of the images tested in one draw.

    Attributes
    ----------
    sets : images flagged, by generator's fingerprint, as positions among the images tested
    other : shared patterns found that are not taken for a generator's
    undecided : whether there are too few images for the method
    confidence : (t,) of the images tested, with the fingerprint that each fits best, if known
    """

    sets: list[NDArray[np.intp]]
    other: int = 0
    undecided: bool = False
    confidence: NDArray[np.float64] | None = None


Method = Callable[[Drawn], Answer]
Load = Callable[[Pictures, Config], Method]


@dataclass(frozen=True)
class Correlated:
    """What the default method compares, of all images of a condition.

    Attributes
    ----------
    features : by row of `Pictures`
    correlations : (33, n, n) float32
    """

    features: Sequence[Feature]
    correlations: NDArray[np.float32]

    def drawn(
        self, rows: NDArray[np.intp], tested: int, size: Size, config: Config
    ) -> tuple[list[Feature], ArrayPile]:
        """Take the images of a draw: features named as they were drawn, and the pile of them.

        Parameters
        ----------
        rows : of the images, those of the reference last
        tested : how many are no reference
        """
        named = _named([self.features[row] for row in rows])
        pile = array_pile(named[:tested], named[tested:], size, config)
        kept = rows[[*range(len(pile.tested)), *(tested + np.arange(len(pile.reference)))]]
        known = np.ascontiguousarray(self.correlations[:, kept][:, :, kept])
        return named, replace(pile, known=known)


def correlated(listed: Pictures, config: Config) -> Correlated:
    """Extract and correlate the features of all images."""
    extract = method_of(config).extract

    def feature_of(pixels: Pixels) -> Feature:
        stored = extract(pixels, config).stored
        return Feature("", stored, sketch(pixels), watermark=watermark_of(pixels))

    features = listed.each(feature_of)
    bins = compared(listed.side, listed.side, config.whitening.side)
    flat = [feature.stored.reshape(-1) for feature in features]
    return Correlated(features, pair_correlations(flat, bins, config.spark.block_bytes))


def whitened(listed: Pictures, config: Config) -> Method:
    """Ready the default method: features of all images, and their correlations, once."""
    of_all = correlated(listed, config)
    size = listed.side, listed.side

    def answer(drawn: Drawn) -> Answer:
        rows, tested = listed.rows(drawn), drawn.tested
        # As in a run, images that carry a generator's watermark are no reference.
        reference = [row for row in rows[tested:] if of_all.features[row].watermark is None]
        if shortage(config, size, tested, len(reference)):
            return Answer([], undecided=True)
        rows = np.array([*rows[:tested], *reference])
        named, pile = of_all.drawn(rows, tested, size, config)
        found = method_of(config).find(pile, config, say_nothing)
        return _answer(found, named[:tested], named[tested:], listed, config)

    return answer


def paper(listed: Pictures, config: Config) -> Method:
    """Ready the paper's method."""
    return _by_residuals(listed, config, lambda residual: residual)


def prnu(listed: Pictures, config: Config) -> Method:
    """Ready plain PRNU clustering: the paper's steps on residuals cleaned as for cameras."""
    return _by_residuals(listed, config, camera_residual)


def _by_residuals(
    listed: Pictures,
    config: Config,
    cleaned: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> Method:
    method = method_of(config)
    size = listed.side, listed.side
    nothing = np.zeros(0, np.uint8)

    def feature_of(pixels: Pixels) -> Feature:
        return Feature("", cleaned(method.extract(pixels, config).residual), nothing)

    features: list[Feature] = []

    def answer(drawn: Drawn) -> Answer:
        if shortage(config, size, drawn.tested, len(drawn.names) - drawn.tested):
            return Answer([], undecided=True)
        if not features:  # Not before a draw can be decided.
            features.extend(listed.each(feature_of))
        named = _named([features[row] for row in listed.rows(drawn)])
        tested, reference = named[: drawn.tested], named[drawn.tested :]
        found = method.find(method.pile(tested, reference, size, config), config, say_nothing)
        return _answer(found, tested, reference, listed, config)

    return answer


def _named(features: Sequence[Feature]) -> list[Feature]:
    """Name the images of a draw so that their names sort as they were drawn, by chance."""
    return [replace(feature, image_id=f"{k:05}") for k, feature in enumerate(features)]


def _answer(
    found: Found,
    tested: Sequence[Feature],
    reference: Sequence[Feature],
    listed: Pictures,
    config: Config,
) -> Answer:
    """Test the images of a draw against what was found among them, as a run does."""
    generators = [row.fingerprint_id for row in found.fingerprints if row.flagged]
    other = sum(row.maker is not None and not row.flagged for row in found.fingerprints)
    if not generators:
        return Answer([], other=other)
    size = listed.side, listed.side
    scores = Detector(found.fingerprints, config).scores(tested, reference, size, listed.threads)
    carried = [score.fingerprint_id if score and score.is_fake else "" for score in scores]
    sets = [np.flatnonzero(np.array(carried) == name) for name in generators]
    confidence = None
    if all(score and score.confidence is not None for score in scores):
        confidence = np.array([score.confidence for score in scores if score], np.float64)
    return Answer([members for members in sets if len(members)], other, confidence=confidence)


def csd(listed: Pictures, config: Config) -> Method:
    """Ready CSD-SVM: colour statistics, and a one-class SVM trained on the reference."""
    return _by_outliers(listed, config, csd_features)


def azimuthal(listed: Pictures, config: Config) -> Method:
    """Ready the azimuthal average of the spectrum, and the same classifier."""
    return _by_outliers(listed, config, azimuthal_features)


def _by_outliers(
    listed: Pictures, config: Config, feature: Callable[[Pixels], NDArray[np.float64]]
) -> Method:
    known = np.stack(listed.each(feature))

    def answer(drawn: Drawn) -> Answer:
        mine = known[listed.rows(drawn)]
        model = fit_one_class(mine[drawn.tested :], config.seed)
        rows = np.flatnonzero(outliers(model, mine[: drawn.tested]))
        return Answer([rows] if len(rows) else [])

    return answer


METHODS: Mapping[MethodName, Load] = {
    "whitened": whitened,
    "paper": paper,
    "csd": csd,
    "azimuthal": azimuthal,
    "prnu": prnu,
}

FINGERPRINTS = ("whitened", "paper", "prnu")
"""Methods whose sets share a fingerprint; the others tell images one by one."""
