"""What each ingredient of the default method is worth: one removed at a time, on the same draws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks import trials
from benchmarks.trials import Row
from noisescope_core.config import Config
from noisescope_core.experiments.methods import Answer, Correlated, Method, correlated
from noisescope_core.experiments.pictures import Drawn, Pictures
from noisescope_core.whitened.discovery import acceptance, growth
from noisescope_core.whitened.discovery import correlations as search
from noisescope_core.whitened.discovery import patterns as discovery
from noisescope_core.whitened.discovery.confidence import Bar, fit_bar
from noisescope_core.whitened.find import describe
from noisescope_core.whitened.makers.overlay import tile_grid
from noisescope_core.whitened.planes import bands, whitening

NAMES = (
    "CycleGAN, 50 + 300",
    "CycleGAN, 20 + 300",
    "faces at 512, 50 + 200",
    "diffusion at 512, 50 + 200",
    "all three, 100 each + 500",
    "both sources mixed",
    "resized against crops",
    "crops against resized",
    "crops at 512",
)
"""Trials that are tried, of the development files."""

GREY = len(bands.BANDS) // len(bands.PLANES)
"""Bands of the first plane."""


@dataclass(frozen=True)
class Variant:
    """The default method less one ingredient.

    Attributes
    ----------
    changes : module, name and value of what stands in during extraction and search
    extracts : whether features are not the default method's
    bands : correlations used, the first so many
    repeats : with drawn signs
    """

    changes: tuple[tuple[ModuleType, str, Any], ...] = ()
    extracts: bool = False
    bands: int = len(bands.BANDS)
    repeats: int = 3


def _unflattened(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    return plane


def _equal_weights(
    scores: NDArray[np.float32], members: NDArray[np.bool_], shares: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    centre = np.median(scores[:, len(members) :], axis=1).astype(np.float64)
    return np.ones_like(centre), centre


def _quantile_bar(scores: ArrayLike, reference: ArrayLike, *others: Any) -> Bar:
    bar = fit_bar(scores, reference, *others)
    z = bar.standardised(reference)
    return replace(bar, threshold=float(growth.reference_bar(z[:, None])[0]))


def _nothing(*search: object) -> None:
    return None


def _wherever(name: str, value: object) -> tuple[tuple[ModuleType, str, object], ...]:
    """Let a value stand in for a name in every module of the search that has it."""
    modules = (search, growth, acceptance, discovery)
    return tuple((module, name, value) for module in modules if hasattr(module, name))


VARIANTS = {
    "nothing": Variant(),
    "colour planes": Variant(
        (
            *_wherever("PLANES", bands.PLANES[:1]),
            *_wherever("BANDS", bands.BANDS[:GREY]),
            *_wherever("OFF_GRID", bands.OFF_GRID[:GREY]),
        ),
        bands=GREY,
    ),
    "local normalisation": Variant(((whitening, "flattened", _unflattened),), extracts=True),
    "learned weights": Variant(_wherever("learned_weights", _equal_weights)),
    "search off the grid": Variant(
        (
            *_wherever("OFF_GRID", np.ones(len(bands.BANDS), bool)),
            (acceptance, "_search_on_grid", _nothing),
        )
    ),
    "search on the grid": Variant(((acceptance, "_search_on_grid", _nothing),)),
    "drawn signs": Variant(repeats=0),
    "bar in the gap": Variant(((discovery, "fit_bar", _quantile_bar),)),
}
"""By what is removed."""


def features(listed: Pictures, config: Config) -> Correlated:
    """Extract and correlate the features of all images; no watermark counts."""
    of_all = correlated(listed, config)
    return replace(of_all, features=[replace(one, watermark=None) for one in of_all.features])


def ready(variant: Variant, listed: Pictures, of_all: Correlated, config: Config) -> Method:
    """Ready a variant for the features of one side."""

    def answer(drawn: Drawn) -> Answer:
        assert listed.side is not None
        size = listed.side, listed.side
        _, pile = of_all.drawn(listed.rows(drawn), drawn.tested, size, config)
        nothing = np.zeros(tile_grid(pile.bins), bool)
        part = pile.correlations(nothing)
        shares = pile.bins.shares()[: variant.bands]
        with _changed(variant):
            arranged = search.arrange_distinct(
                part[: variant.bands], pile.sketches(), len(pile.ids), shares / shares.sum()
            )
            found = discovery.discover(arranged, acceptance.Acceptance(repeats=variant.repeats))
        shared = [_in_all_bands(pattern, part, len(pile.ids)) for pattern in found]
        patterns = describe(pile, shared, nothing)
        sets = [pattern.shared.members for pattern in patterns if pattern.row.flagged]
        return Answer(sets, other=len(patterns) - len(sets))

    return answer


def measure(draws: int = 3, without: int = 5) -> Iterator[Row]:
    """Yield a row per variant and trial, of files saved again.

    Parameters
    ----------
    draws, without : draws of trials with generated images, and of those without
    """
    for part in trials.ready(NAMES, draws, without, "saved again"):
        config = part.experiment.configs["whitened"]
        unchanged = features(part.images, config)
        for removed, variant in VARIANTS.items():
            own = unchanged
            if variant.extracts:
                with _changed(variant):
                    own = features(part.images, config)
            for results in part.results(ready(variant, part.images, own, config)):
                line: Row = {"removed": removed} | trials.row(part.condition, results)
                others = [result.answer.other for result in results]
                line["not a generator's"] = float(np.mean(others))
                yield line


@contextmanager
def _changed(variant: Variant) -> Iterator[None]:
    with ExitStack() as stack:
        for module, name, value in variant.changes:
            stack.enter_context(patch.object(module, name, value))
        stack.enter_context(patch.object(search, "VIEW_BANDS", search.view_bands()))
        yield


def _in_all_bands(
    pattern: discovery.SharedPattern, part: NDArray[np.float32], tested: int
) -> discovery.SharedPattern:
    """Work out a pattern's agreement and error over all bands, also those not searched."""
    members, count = pattern.members, len(pattern.members)
    within = part[:, members][:, :, members]
    diagonal = np.arange(count)
    within[:, diagonal, diagonal] = 0
    unrelated = part[:, tested:, :tested].std((1, 2), dtype=np.float64)
    weights = np.zeros(len(bands.BANDS))
    weights[: len(pattern.weights)] = pattern.weights
    return replace(
        pattern,
        agreement=within.sum((1, 2), dtype=np.float64) / (count * (count - 1)),
        error=unrelated / np.sqrt(count * (count - 1) / 2),
        weights=weights,
    )
