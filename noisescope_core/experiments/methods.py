"""The methods that experiments compare: the default one, the paper's, and their rivals.

Each readies all images of a condition at once and then answers draw by draw, in memory: the tool's
two by its own search and test (`in_memory.search`), in the order in which images were drawn.
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
from noisescope_core.in_memory import PileOf, search
from noisescope_core.method import Feature, say_nothing
from noisescope_core.methods import extracted, method_of, over_its_bar, shortage
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
    strengths : (t,) of the images tested, scores over their bars, -inf where none is scored; None
        by methods without
    unscored : images tested of which nothing is said, flagged by none
    """

    sets: list[NDArray[np.intp]]
    other: int = 0
    undecided: bool = False
    confidence: NDArray[np.float64] | None = None
    strengths: NDArray[np.float64] | None = None
    unscored: int = 0


Method = Callable[[Drawn], Answer]
Load = Callable[[Pictures, Config], Method]


@dataclass(frozen=True)
class Sized:
    """An image as it is compared, and its size."""

    size: Size
    feature: Feature


@dataclass(frozen=True)
class Correlated:
    """What the default method compares, of all images of a condition that have one size.

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
        named = [_named(self.features[row], k) for k, row in enumerate(rows)]
        pile = array_pile(named[:tested], named[tested:], size, config)
        kept = rows[[*range(len(pile.tested)), *(tested + np.arange(len(pile.reference)))]]
        known = np.ascontiguousarray(self.correlations[:, kept][:, :, kept])
        return named, replace(pile, known=known)


def correlated(listed: Pictures, config: Config) -> Correlated:
    """Extract and correlate the features of all images, which have one size."""
    assert listed.side is not None
    return _correlated([image.feature for image in _extracted(listed, config)], listed.side, config)


def _correlated(features: Sequence[Feature], side: int, config: Config) -> Correlated:
    bins = compared(side, side, config.whitening.side)
    flat = [feature.stored.reshape(-1) for feature in features]
    return Correlated(features, pair_correlations(flat, bins, config.spark.block_bytes))


def _extracted(listed: Pictures, config: Config) -> list[Sized]:
    """Extract what the default method compares, of all images."""

    def image_of(pixels: Pixels) -> Sized:
        noise = extracted(pixels, config)
        feature = Feature(
            "", noise.stored, sketch(pixels), watermark=watermark_of(pixels), tile=_flat(noise.tile)
        )
        return Sized((pixels.shape[1], pixels.shape[0]), feature)

    return listed.each(image_of)


def _flat(tile: NDArray[np.float16] | None) -> NDArray[np.float16] | None:
    return None if tile is None else tile.ravel()


def whitened(listed: Pictures, config: Config) -> Method:
    """Ready the default method: features of all images, and their correlations, once.

    Images of native sizes are correlated draw by draw, size by size.
    """
    images = _extracted(listed, config)
    of_all = None
    if listed.side is not None:
        of_all = _correlated([image.feature for image in images], listed.side, config)

    def answer(drawn: Drawn) -> Answer:
        rows, tested = listed.rows(drawn), drawn.tested
        # As in a run, images that carry a generator's watermark are no reference.
        reference = [row for row in rows[tested:] if images[row].feature.watermark is None]
        rows = np.array([*rows[:tested], *reference])

        def pile_of(
            some: Sequence[Feature], others: Sequence[Feature], size: Size, config: Config
        ) -> ArrayPile:
            if of_all is None:
                return array_pile(some, others, size, config)
            return of_all.drawn(rows, tested, size, config)[1]

        return _answer([images[row] for row in rows], tested, listed, config, pile_of)

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
    nothing = np.zeros(0, np.uint8)

    def image_of(pixels: Pixels) -> Sized:
        residual = cleaned(method.extract(pixels, config).residual)
        return Sized((pixels.shape[1], pixels.shape[0]), Feature("", residual, nothing))

    images: list[Sized] = []

    def answer(drawn: Drawn) -> Answer:
        size, reference = listed.side, len(drawn.names) - drawn.tested
        if size is not None and shortage(config, (size, size), drawn.tested, reference):
            return Answer([], undecided=True)
        if not images:  # Not before a draw can be decided.
            images.extend(listed.each(image_of))
        return _answer([images[row] for row in listed.rows(drawn)], drawn.tested, listed, config)

    return answer


def _named(feature: Feature, place: int) -> Feature:
    """Name an image of a draw so that names sort as images were drawn, by chance."""
    return replace(feature, image_id=f"{place:05}")


def _answer(
    images: Sequence[Sized],
    tested: int,
    listed: Pictures,
    config: Config,
    pile_of: PileOf | None = None,
) -> Answer:
    """Search the images of a draw, those of the reference last, and test them, as a run does."""
    parts: tuple[dict[Size, list[Feature]], dict[Size, list[Feature]]] = {}, {}
    for k, image in enumerate(images):
        parts[k >= tested].setdefault(image.size, []).append(_named(image.feature, k))
    searched = search(*parts, config, say_nothing, pile_of, listed.threads)
    reasons = [searched.unscored[image.size] for image in images[:tested]]
    scores = [searched.scores[f"{k:05}"] for k in range(tested)]
    generators = [row.fingerprint_id for row in searched.fingerprints if row.flagged]
    carried = [score.fingerprint_id if score and score.is_fake else "" for score in scores]
    sets = [np.flatnonzero(np.array(carried) == name) for name in generators]
    confidence = None
    if all(score and score.confidence is not None for score in scores):
        confidence = np.array([score.confidence for score in scores if score], np.float64)
    return Answer(
        [members for members in sets if len(members)],
        other=sum(row.maker is not None and not row.flagged for row in searched.fingerprints),
        undecided=all(reasons),
        confidence=confidence,
        strengths=np.array([over_its_bar(score) if score else -np.inf for score in scores]),
        unscored=sum(
            reason is not None and not name for reason, name in zip(reasons, carried, strict=True)
        ),
    )


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
