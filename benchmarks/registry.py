"""One image against 1 to 10,000 fingerprints: what it takes, what is recalled, what is flagged.

Some fingerprints are found in simulated images, so that answers can be checked. All others are
drawn: tiles and mean planes of proper form, whose bars are set on simulated photographs, as low as
a search ever sets them.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import psutil
from numpy.typing import NDArray
from scipy.special import stdtrit
from threadpoolctl import threadpool_limits

from noisescope_core.config import Config, configured
from noisescope_core.extraction import placed_image, residual_rows
from noisescope_core.in_memory import Detector, detect_extracted
from noisescope_core.lattice.background import background_of
from noisescope_core.lattice.detector import packed_background
from noisescope_core.lattice.discovery import LET_THROUGH
from noisescope_core.lattice.frequencies import elsewhere
from noisescope_core.lattice.tiles import SHAPE, VALUES, stacked
from noisescope_core.method import Feature
from noisescope_core.simulate import AnySizeWorld, Kind, World, jpeg_file, simulated_image
from noisescope_core.tables.rows import FingerprintRow
from noisescope_core.whitened.discovery.confidence import STUDENT_FREEDOM, Bar
from noisescope_core.whitened.discovery.growth import FALSE_POSITIVES
from noisescope_core.whitened.planes.bands import BANDS, PLANES, compared
from noisescope_core.whitened.planes.whitening import unpacked
from noisescope_core.whitened.robust import median_and_spread

Row = dict[str, Any]

COUNTS = (1, 10, 100, 1000, 10_000)
"""Fingerprints of a registry."""

SIDES = (256, 128, 512)
"""Sides of images that fingerprints in place are of, in turn."""

LATTICES = 0.9
"""Share of fingerprints that are lattices. Chosen: they are found at any size."""

SHARING = 50
"""Lattices that come from one search, so that they share a background. Chosen: a guess."""

MEMBERS = 30
"""Images that a fingerprint is made of."""

PILE, PHOTOGRAPHS = 90, 400
"""Generated images and photographs, of which half are the reference, of a world."""

GENERATORS = 3
"""Generators of a world."""

CUT = 37
"""Rows and columns that crops lack."""

NOTE = (
    "Nine of ten fingerprints are lattices, fifty to a background, the others in place of 256, 128 "
    "and 512 pixels a side; their bars are as low as a search sets them. Seconds and milliseconds "
    "of one processor, of photographs, which carry nothing. `found`: generated images by the "
    "fingerprints that a search found, which are among all and were met last; `crops`: 37 rows and "
    "columns cut off. Photographs flagged are those in place and by lattices."
)

BARS_BY = 100
"""Photographs by which bars in place are set."""

CONFIG = Config()


@dataclass(frozen=True)
class Images:
    """Simulated images: rows of `extraction.residual_rows` with a path."""

    generated: Sequence[Row]
    photographs: Sequence[Row]
    reference: Sequence[Row]
    crops: Sequence[Row]

    def found(self) -> list[FingerprintRow]:
        """Find the generators' fingerprints."""
        tested = [*self.generated, *self.photographs]
        found = detect_extracted(tested, self.reference, CONFIG).fingerprints
        return [row for row in found if row.flagged]


def simulated(folder: Path, side: int | None) -> Images:
    """Make the images of one side, or of any size, or read those made before."""
    file = folder / f"{side}.pickle"
    if not file.exists():
        half = PHOTOGRAPHS // 2
        folder.mkdir(parents=True, exist_ok=True)
        kinds: dict[Kind, int] = {"generated": PILE, "photograph": half, "reference": half}
        made, photographs, reference = (_rows(side, *each) for each in kinds.items())
        crops = _rows(side, "generated", PILE, CUT)
        file.write_bytes(pickle.dumps(Images(made, photographs, reference, crops)))
    images: Images = pickle.loads(file.read_bytes())
    return images


def _rows(side: int | None, kind: Kind, count: int, cut: int = 0) -> list[Row]:
    """Make images, so many rows and columns cut off at the top and on the left."""
    rows = []
    for index in range(count):
        if side is None:
            pixels, quality = AnySizeWorld(7, 8, GENERATORS).image(kind, index)
        else:
            pixels, quality = simulated_image(World(7, 8, GENERATORS, side, side), kind, index)
        role = "reference" if kind == "reference" else "image"
        (row,) = residual_rows(
            jpeg_file(np.ascontiguousarray(pixels[cut:, cut:]), quality), CONFIG, role, {}
        )
        rows.append({"path": f"{kind}-{index}", **row})
    return rows


def drawn_lattices(count: int, reference: Sequence[Feature]) -> Iterator[FingerprintRow]:
    """Draw lattices: every second is white, the others have the harmonics of 8 pixels alone."""
    tiles = stacked([image.tile[:VALUES] for image in reference if image.tile is not None])
    for start in range(0, count, SHARING):
        rng = np.random.default_rng([0, start])
        # A search sees another part of the reference.
        background = background_of(tiles[rng.choice(len(tiles), len(tiles) // 2, replace=False)])
        units, cell = background.units(tiles), packed_background(background)
        for k in range(start, min(start + SHARING, count)):
            tile = rng.normal(size=SHAPE)
            if k % 2:
                spectrum = np.fft.fft2(tile)
                spectrum[..., 1::2, :] = spectrum[..., 1::2] = 0
                tile = np.fft.ifft2(spectrum).real
            total = background.units(np.asarray(tile.reshape(1, VALUES), np.float32))
            bar = lowest_bar(units @ total[0], LET_THROUGH)
            centre, spread = median_and_spread(elsewhere(units[:BARS_BY], total))
            yield FingerprintRow(
                fingerprint_id=f"lattice-{k:06}", kind="lattice", width=256, height=256,
                images=MEMBERS, flagged=True, maker="generator", **bar.columns(),
                elsewhere_centre=float(centre), elsewhere_spread=float(spread),
                members=_members(k), whitened=total[0].tobytes(), background=cell,
            )  # fmt: skip


def drawn_in_place(count: int, side: int, reference: Sequence[Feature]) -> Iterator[FingerprintRow]:
    """Draw fingerprints in place of images of one side."""
    bins = compared(side, side, CONFIG.whitening.side)
    values = np.stack([unpacked(image.stored).ravel() for image in reference])
    for k in range(count):
        rng = np.random.default_rng([1, side, k])
        mean = rng.standard_normal((len(PLANES), bins.values), np.float32)
        # As long as a mean of images with nothing in common.
        mean *= np.float32(np.sqrt(np.square(values[0]).mean() / MEMBERS))
        scores = values @ mean.ravel() * (np.sqrt(MEMBERS) / bins.values)
        bar = lowest_bar(scores, FALSE_POSITIVES)
        yield FingerprintRow(
            fingerprint_id=f"place-{side}-{k:06}", width=side, height=side, images=MEMBERS,
            flagged=True, maker="generator", **bar.columns(), members=_members(k),
            weights=[1.0] * len(BANDS), centres=[0.0] * len(BANDS), whitened=mean.tobytes(),
        )  # fmt: skip


def lowest_bar(reference: NDArray[np.floating], let_through: float) -> Bar:
    """Set the lowest bar that a search sets, given scores of photographs."""
    centre, spread = (float(value) for value in median_and_spread(reference))
    reached = float(np.quantile((reference - centre) / spread, 1 - let_through))
    promised = float(stdtrit(STUDENT_FREEDOM, 1 - FALSE_POSITIVES))
    return Bar(centre, spread, max(promised, reached), 20.0, 3.0, -3.0)


def _members(k: int) -> list[str]:
    return [f"{k:06}-{member:02}" for member in range(MEMBERS)]


def drawn(count: int, folder: Path) -> Iterator[FingerprintRow]:
    """Draw fingerprints, lattices and in place of all sides."""
    lattices = round(LATTICES * count)
    yield from drawn_lattices(lattices, features(simulated(folder, None).reference))
    for number, side in enumerate(SIDES):
        share = (count - lattices + len(SIDES) - 1 - number) // len(SIDES)
        if share:
            yield from drawn_in_place(share, side, features(_rows(side, "reference", BARS_BY)))


def features(rows: Sequence[Row]) -> list[Feature]:
    """Take what is compared of rows."""
    return [placed_image(row, CONFIG) for row in rows if row["status"] == "scored"]


def measure(folder: Path, counts: Sequence[int] = COUNTS, timed: int = 10) -> Iterator[Row]:
    """Yield a row for each number of fingerprints, on one thread.

    Parameters
    ----------
    folder : where simulated images are kept
    counts : of drawn fingerprints
    timed : photographs by which time is measured
    """
    worlds = {side: simulated(folder, side) for side in (SIDES[0], None)}
    # Images met them last, so that crops are searched for them.
    known = [
        SimpleNamespace(**vars(row), last_scan=1) for w in worlds.values() for row in w.found()
    ]
    everything = list(drawn(max(counts), folder))
    kinds: dict[Any, list[FingerprintRow]] = {}
    for row in everything:
        kinds.setdefault((row.kind, row.width), []).append(row)
    in_place = configured({"detection.alignments": "own"})
    with threadpool_limits(1):
        for count in counts:
            share = count / max(counts)
            some = [row for rows in kinds.values() for row in rows[: round(share * len(rows))]]
            rows: list[Any] = [*known, *(some or everything[:1])]
            before, start = _memory(), time.process_time()
            test = Detector(rows, in_place)
            ready = time.process_time() - start
            memory = _memory() - before
            searching = Detector(rows, CONFIG)
            yield {
                "fingerprints": len(rows),
                "ready, s": ready,
                "memory, MB": memory / 1e6,
                "in place and lattices, ms": _milliseconds(test, worlds, timed),
                "at all shifts, too, ms": _milliseconds(searching, worlds, timed),
                "found": _found(test, known, [r for w in worlds.values() for r in w.generated]),
                "crops found": _found(searching, known, worlds[SIDES[0]].crops[::3]),
                "photographs flagged": _flagged(test, worlds),
                "without raised bars": _flagged(_as_low_as_ever(rows, in_place), worlds),
            }


def _milliseconds(test: Detector, worlds: dict[Any, Images], timed: int) -> float:
    """Time of one photograph, of those of one side and of any size."""
    images = [row for world in worlds.values() for row in world.photographs[: timed // 2 + 1]]
    answers = [(placed_image(row, CONFIG), (row["width"], row["height"])) for row in images]
    test.score(*answers[0])
    start = time.process_time()
    for answer in answers:
        test.score(*answer)
    return 1000 * (time.process_time() - start) / len(answers)


def _found(test: Detector, known: Sequence[Any], rows: Sequence[Row]) -> str:
    """Count images in which one of the fingerprints is found that were found in their world."""
    names = {row.fingerprint_id for row in known}
    scores = [test.score(placed_image(row, CONFIG), (row["width"], row["height"])) for row in rows]
    found = [score for score in scores if score and score.is_fake and score.fingerprint_id in names]
    return f"{len(found)} of {len(rows)}"


def _flagged(test: Detector, worlds: dict[Any, Images]) -> str:
    rows = [row for world in worlds.values() for row in world.photographs]
    scores = [test.score(placed_image(row, CONFIG), (row["width"], row["height"])) for row in rows]
    return f"{sum(bool(score and score.is_fake) for score in scores)} of {len(rows)}"


def _as_low_as_ever(rows: Sequence[Any], config: Config) -> Detector:
    """Make the test with the bars that the searches set."""
    with ExitStack() as stack:
        for module in ("noisescope_core.lattice", "noisescope_core.whitened.detection"):
            name = f"{module}.detector.raised"
            stack.enter_context(patch(name, lambda bars, _: list(bars)))
        return Detector(rows, config)


def _memory() -> int:
    return int(psutil.Process().memory_info().rss)
