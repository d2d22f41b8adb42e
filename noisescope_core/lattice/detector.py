"""One image against the lattices found, itself left out of them (docs/lattice.md, step 7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisescope_core.config import Config
from noisescope_core.images import Size
from noisescope_core.lattice.background import Background
from noisescope_core.lattice.cropped import (
    SHIFTS_PRICE,
    ShiftedTile,
    shifted_tile,
    spectra_of_unit,
)
from noisescope_core.lattice.discovery import LEAST_ELSEWHERE, LET_THROUGH
from noisescope_core.lattice.frequencies import elsewhere
from noisescope_core.lattice.likely import KEPT, likely, stacked_lattices
from noisescope_core.lattice.rescaled import likely_factors, price
from noisescope_core.lattice.tiles import PERIOD, VALUES
from noisescope_core.method import LatticeTest, Score
from noisescope_core.whitened.detection.many import FEW, met_last, raised
from noisescope_core.whitened.discovery.confidence import Bar, best_fit


@dataclass(frozen=True)
class LatticeFingerprint:
    """The tile of a maker, ready to be matched.

    Attributes
    ----------
    fingerprint_id : str
    total : (1536,) float64, sum of the members' units
    members : image ids
    background : before which the members are units
    bar : how cosines are read
    elsewhere : as `SharedTile` has it
    """

    fingerprint_id: str
    total: NDArray[np.float64]
    members: frozenset[str]
    background: Background
    bar: Bar
    elsewhere: tuple[float, float]

    def standardised(self, image_id: str, unit: NDArray[np.float32]) -> float:
        """Cosine of an image's unit with the members, but for the image, in the bar's spreads."""
        total = self._others(image_id, unit)
        return float(self.bar.standardised(total @ unit / (np.linalg.norm(total) + 1e-12)))

    def agreed(self, image_id: str, unit: NDArray[np.float32]) -> float:
        """The same; of an image that shares one frequency alone, what it shares beside it."""
        score = self.standardised(image_id, unit)
        return self._with_elsewhere(score, unit, self._others(image_id, unit))

    def best_shift(
        self, tile: ShiftedTile, unit: NDArray[np.float32], spectra: NDArray[Any]
    ) -> tuple[float, int, int]:
        """Score of an image as `agreed` has it, at the shift (down, right) at which it is best."""
        scores = tile.scores(spectra) / self.bar.spread
        scores[0, 0] = -np.inf  # in place
        down, right = divmod(int(np.argmax(scores)), PERIOD)
        score = float(scores[down, right])
        return self._with_elsewhere(score, unit, tile.at(down, right)), down, right

    def _with_elsewhere(
        self, score: float, unit: NDArray[np.float32], total: NDArray[np.floating]
    ) -> float:
        if score <= LEAST_ELSEWHERE:
            return score
        centre, spread = self.elsewhere
        beside = (float(elsewhere(unit[None], total[None])[0]) - centre) / spread
        return score if beside >= LEAST_ELSEWHERE else beside

    def _others(self, image_id: str, unit: NDArray[np.float32]) -> NDArray[np.float64]:
        return self.total - unit if image_id in self.members else self.total


def packed_background(background: Background) -> bytes:
    """Store a background: gains and rest as float32, then the directions as float16."""
    gains = np.append(background.gains, np.float32(background.rest)).astype(np.float32)
    return gains.tobytes() + background.directions.astype(np.float16).tobytes()


def unpacked_background(cell: bytes) -> Background:
    """Read a stored background."""
    # One float32 for each direction and one more, and VALUES float16 for each.
    rank = (len(cell) - 4) // (4 + 2 * VALUES)
    gains = np.frombuffer(cell, np.float32, rank + 1)
    directions = np.frombuffer(cell, np.float16, offset=4 * (rank + 1)).reshape(rank, VALUES)
    return Background(directions.astype(np.float32), gains[:-1], float(gains[-1]))


def background_of_row(row: Any, backgrounds: dict[bytes, Background]) -> Background:
    """Read the background of a row of `fingerprints`, unless another had the same."""
    cell = bytes(row.background)
    if cell not in backgrounds:
        backgrounds[cell] = unpacked_background(cell)
    return backgrounds[cell]


def fingerprint_of(row: Any, backgrounds: dict[bytes, Background]) -> LatticeFingerprint:
    """Ready a row of `fingerprints` whose kind is `lattice`.

    Parameters
    ----------
    row : of the table
    backgrounds : those read so far, by cell; most fingerprints of a run share one
    """
    mean = np.frombuffer(row.whitened, np.float32).astype(np.float64)
    return LatticeFingerprint(
        row.fingerprint_id,
        mean * len(row.members),
        frozenset(row.members),
        background_of_row(row, backgrounds),
        Bar.of_row(row),
        (row.elsewhere_centre, row.elsewhere_spread),
    )


def is_rival(row: Any) -> bool:
    """Whether a lattice is known to be no generator's, so that its images are not taken for one's.

    Parameters
    ----------
    row : of `fingerprints`
    """
    return row.kind == "lattice" and not row.flagged and row.maker in ("device", "processing")


def lattice_test(rows: Sequence[Any], config: Config) -> LatticeTest:
    """Make the test of images of any size against lattices, given by their rows.

    Returns
    -------
    callable
        Takes an image's id, its size and its features as bytes, 1,536 float16 each: as it is, then
        at `likely_factors`, if these are tried. It answers as `confidence.best_fit` does. By how
        far an image exceeds the bar of a device's or processing's lattice, by so much more it must
        exceed a generator's. None if all are such rivals. What no fingerprint claims is tried at
        all shifts, if crops are looked for.
    """
    rivals, of_makers = ([row for row in rows if is_rival(row) is rival] for rival in (True, False))
    bars = raised([Bar.of_row(row) for row in of_makers], LET_THROUGH)
    cropped = _cropped_test(rivals, of_makers, bars) if config.lattice.cropped else None
    likely_rivals = _likely(rivals, [Bar.of_row(row) for row in rivals])
    likely_makers = _likely(of_makers, bars)

    def fitting(image_id: str, feature: NDArray[np.float32], dearer: float) -> Score:
        """Test one tile against whom it may carry, their bars raised by so many spreads."""
        near, tried = likely_rivals(feature), likely_makers(feature)
        backgrounds = {id(some.background): some.background for some in (*near, *tried)}
        units = {key: some.units(feature[None])[0] for key, some in backgrounds.items()}
        others = [
            rival.standardised(image_id, units[id(rival.background)]) - rival.bar.threshold
            for rival in near
        ]
        # An image of a known phone shares something with many a generator, but more with the phone.
        dearer += max([0.0, *others])
        return best_fit(
            (
                fingerprint.fingerprint_id,
                replace(fingerprint.bar, threshold=fingerprint.bar.threshold + dearer),
                fingerprint.agreed(image_id, units[id(fingerprint.background)]),
            )
            for fingerprint in tried
        )

    def test(image_id: str, size: Size, cell: Any) -> Score | None:
        if not of_makers:
            return None
        features = np.frombuffer(cell, np.float16).reshape(-1, VALUES).astype(np.float32)
        best = fitting(image_id, features[0], 0.0)
        if best.is_fake:
            return best
        factors = likely_factors(size) if len(features) > 1 else []
        dearer = price(LET_THROUGH, len(features))
        for factor, feature in zip(factors, features[1:], strict=True):
            score = fitting(image_id, feature, dearer)
            if score.is_fake and (not best.is_fake or score.score > best.score):
                best = replace(score, factor=factor)
        if cropped is None or best.is_fake:
            return best
        return cropped(image_id, features[0]) or best

    return test


def _likely(
    rows: Sequence[Any], bars: Sequence[Bar]
) -> Callable[[NDArray[np.float32]], list[LatticeFingerprint]]:
    """Make the function that chooses whom a tile, (1536,), is tried on: all of a few."""
    if len(rows) <= FEW:
        everything = _ready(rows, bars)
        return lambda _: everything
    cells = [bytes(row.background) for row in rows]
    unpacked = lru_cache(KEPT)(unpacked_background)

    def ready(k: int) -> LatticeFingerprint:
        return replace(fingerprint_of(rows[k], {cells[k]: unpacked(cells[k])}), bar=bars[k])

    totals = [np.frombuffer(row.whitened, np.float32) for row in rows]
    return likely(stacked_lattices(totals, cells, unpacked), bars, ready)


def _ready(rows: Iterable[Any], bars: Iterable[Bar]) -> list[LatticeFingerprint]:
    backgrounds: dict[bytes, Background] = {}
    return [
        replace(fingerprint_of(row, backgrounds), bar=bar)
        for row, bar in zip(rows, bars, strict=True)
    ]


def _met_last(rows: Sequence[Any], bars: Sequence[Bar]) -> list[LatticeFingerprint]:
    chosen = met_last(rows)
    return _ready([rows[k] for k in chosen], [bars[k] for k in chosen])


def _cropped_test(
    rivals: Sequence[Any], rows: Sequence[Any], bars: Sequence[Bar]
) -> Callable[[str, NDArray[np.float32]], Score | None]:
    """Make the test of a tile, (1536,), at all shifts; it answers None if none is above its bar."""
    of_rivals, of_others = (
        [(some, shifted_tile(some.background, some.total)) for some in _met_last(*both)]
        for both in ((rivals, [Bar.of_row(row) for row in rivals]), (rows, bars))
    )

    def test(image_id: str, feature: NDArray[np.float32]) -> Score | None:
        backgrounds = {id(some.background): some.background for some, _ in (*of_rivals, *of_others)}
        units = {key: some.units(feature[None])[0] for key, some in backgrounds.items()}
        spectra = {key: spectra_of_unit(some, units[key]) for key, some in backgrounds.items()}
        exceeded = [
            float(tile.scores(spectra[id(rival.background)]).max()) / rival.bar.spread
            - rival.bar.threshold
            for rival, tile in of_rivals
        ]
        dearer = SHIFTS_PRICE + max([0.0, *exceeded])
        found = []
        for some, tile in of_others:
            if image_id in some.members:  # it lies in place
                continue
            key = id(some.background)
            z, down, right = some.best_shift(tile, units[key], spectra[key])
            bar = replace(some.bar, threshold=some.bar.threshold + dearer)
            if z > bar.threshold:
                score = best_fit([(some.fingerprint_id, bar, z)])
                found.append((z / bar.threshold, replace(score, shift_x=right, shift_y=down)))
        return max(found, key=lambda each: each[0])[1] if found else None

    return test
