"""Crops against lattices at all shifts: what is recalled, and what it costs in photographs.

A fingerprint is made of native images; other images are cropped at random places and kept as they
are, or saved again as JPEG. Photographs that are no reference are cropped alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.any_size import CONDITIONS, GENERATORS, PHOTOGRAPHS, encoded, extracted, files_of
from noisescope_core.config import Config
from noisescope_core.extraction import residual_rows
from noisescope_core.images.decode import decode
from noisescope_core.lattice.background import views_of
from noisescope_core.lattice.cropped import SHIFTS_PRICE, shifted_tile, spectra_of_unit
from noisescope_core.lattice.detector import LatticeFingerprint
from noisescope_core.lattice.discovery import described
from noisescope_core.lattice.tiles import PERIOD, VALUES, stacked

Row = dict[str, Any]
Crop = tuple[NDArray[np.float16], int, int]
"""Tile of a crop, and its place in the image: rows, then columns, modulo 16."""

KEPT = (0.75, 0.9)
"""Shares of each side that are kept, in turn."""

MADE_OF, TESTED = 40, 60
"""Images that a fingerprint is made of, and that are cropped, at most; of fewer, half each."""

CUT, REFERENCE = 500, 1000
"""Photographs that are cropped, and that are the reference, at most."""

ALARMS = 0.005
"""Share of cropped photographs above the bar of the recalls that have no bar of their own."""


def crop(path: str, kept: float, again: bool, config: Config) -> Crop | None:
    """Crop an image at a random place and extract its tile; None if it is not scored."""
    rng = np.random.default_rng(list(hashlib.sha256(path.encode()).digest()))
    data = Path(path).read_bytes()
    pixels = decode(data, config.decode.max_pixels, config.decode.max_bytes).pixels
    if pixels is None:
        return None
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, 2)
    height, width = (int(side * kept) for side in pixels.shape[:2])
    top, left = (
        int(rng.integers(0, side - length + 1))
        for side, length in zip(pixels.shape[:2], (height, width), strict=True)
    )
    piece = np.ascontiguousarray(pixels[top : top + height, left : left + width])
    how = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    cut = encoded(piece, rng) if again else bytes(cv2.imencode(".png", piece[:, :, ::-1], how)[1])
    (row,) = residual_rows(cut, config, "image", {})
    if row["status"] != "scored":
        return None
    return np.frombuffer(row["tile"], np.float16, VALUES), top % PERIOD, left % PERIOD


def measure(folder: Path) -> Iterator[Row]:
    """Yield a row for each generator, native files, and what becomes of crops.

    Parameters
    ----------
    folder : where `any_size.extracted` keeps rows
    """
    config = Config()
    paths = [path for _, path in files_of(PHOTOGRAPHS)]
    drawn = [paths[place] for place in np.random.default_rng(0).permutation(len(paths))]
    cut = {again: crops(drawn[:CUT], again, config) for again in (False, True)}
    for condition in CONDITIONS:
        rows = extracted(condition, folder, config)
        photographs = {row["path"]: row for source in PHOTOGRAPHS for row in rows[source]}
        others = [photographs[path] for path in drawn[CUT:] if path in photographs]
        for source in GENERATORS:
            its = [rows[source][k] for k in np.random.default_rng(1).permutation(len(rows[source]))]
            made = min(MADE_OF, len(its) // 2)
            fingerprint = fingerprint_of_images(its[:made], others[:REFERENCE])
            tested = [row["path"] for row in its[made : made + TESTED]]
            for again in (False, True):
                found = scores(fingerprint, crops(tested, again, config))
                alarms = scores(fingerprint, cut[again])
                bar = fingerprint.bar.threshold + SHIFTS_PRICE
                yield {
                    "native files": condition,
                    "crops": "saved again" if again else "as cut",
                    "generator": source,
                    "images": len(tested),
                    **{
                        name: float((found[name] > np.quantile(alarms[name], 1 - ALARMS)).mean())
                        for name in ("in place", "known shift", "any shift")
                    },
                    "above the bar": float((found["any shift"] > bar).mean()),
                    "photographs": f"{int((alarms['any shift'] > bar).sum())} of {len(cut[again])}",
                }


def crops(paths: Sequence[str], again: bool, config: Config) -> list[Crop]:
    """Crop images, leaving out those that are not scored."""
    made = [crop(path, KEPT[k % 2], again, config) for k, path in enumerate(paths)]
    return [each for each in made if each is not None]


def fingerprint_of_images(images: Sequence[Row], photographs: Sequence[Row]) -> LatticeFingerprint:
    """Make a fingerprint of rows of `residuals`."""
    made, reference = (
        stacked([np.frombuffer(row["tile"], np.float16, VALUES) for row in rows])
        for rows in (images, photographs)
    )
    views = views_of(np.concatenate([made, reference[:1]]), reference)
    tile = described(views, np.arange(len(made)))
    total = views.tested[: len(made)].sum(0, dtype=np.float64)
    return LatticeFingerprint("", total, frozenset(), views.whole, tile.bar, tile.elsewhere)


def scores(fingerprint: LatticeFingerprint, tested: Sequence[Crop]) -> dict[str, NDArray[Any]]:
    """Standardised scores of crops: in place, at their shift, and at the best of all."""
    background = fingerprint.background
    tile = shifted_tile(background, fingerprint.total)
    rows = []
    units = background.units(stacked([each[0] for each in tested]))
    for unit, (_, down, right) in zip(units, tested, strict=True):
        spectra = spectra_of_unit(background, unit)
        known = tile.scores(spectra)[down, right] / fingerprint.bar.spread
        best, *_ = fingerprint.best_shift(tile, unit, spectra)
        rows.append((fingerprint.agreed("", unit), known, best))
    names = ("in place", "known shift", "any shift")
    return dict(zip(names, np.array(rows).T, strict=True))
