"""Photographs of one source, cut to one size and processed: whose pattern they share.

Images are those of ../shared. None of the source is in the reference, so that what its sensor or
its processing leaves is found in place. Generators beside photographs, processed alike, say what
the same bounds cost.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.any_size import (
    GENERATORS,
    PHOTOGRAPHS,
    drawn,
    encoded,
    files_of,
    in_place_alone,
)
from noisescope_core.config import Config
from noisescope_core.extraction import residual_rows
from noisescope_core.images.decode import decode
from noisescope_core.in_memory import detect_extracted

Row = dict[str, Any]
Pixels = NDArray[np.uint8]

TESTED = (60, 20)
"""Images of the source in a pile, at most; fewer are found by weaker patterns."""

OF_EACH = (12, 40)
"""Images of each generator in a pile."""

LEAST = 60
"""Photographs that the pile and the reference need beside the source's."""

EVERY = {"CycleGAN": 3, "faces": 3, "CycleGAN's photographs": 6, "face crops": 2}
"""Of sources with many images every so manieth is taken."""

MEASURES = ("colour", "hue", "peak", "clear", "strength", "grid", "lattice", "uneven")


def _resized(pixels: Pixels, factor: float) -> Pixels:
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=how), np.uint8)


def _compressed(pixels: Pixels, quality: int) -> Pixels:
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def _sharpened(pixels: Pixels) -> Pixels:
    soft = cv2.GaussianBlur(pixels, (0, 0), 1.0)
    return np.asarray(cv2.addWeighted(pixels, 2.0, soft, -1.0, 0), np.uint8)


PROCESSING: Mapping[str, tuple[float, Callable[[Pixels], Any], str]] = {
    "as they are": (1, lambda pixels: pixels, "png"),
    "saved again": (1, lambda pixels: pixels, "jpg"),
    "halved": (0.5, lambda pixels: _resized(pixels, 0.5), "png"),
    "x 0.75, saved again": (0.75, lambda pixels: _resized(pixels, 0.75), "jpg"),
    "at 65, x 0.75": (0.75, lambda pixels: _resized(_compressed(pixels, 65), 0.75), "png"),
    "x 1.3": (1.3, lambda pixels: _resized(pixels, 1.3), "png"),
    "x 1.5, saved again": (1.5, lambda pixels: _resized(pixels, 1.5), "jpg"),
    "blurred, saved again": (1, lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 1.0), "jpg"),
    "median of 3": (1, lambda pixels: cv2.medianBlur(pixels, 3), "png"),
    "sharpened, saved again": (1, _sharpened, "jpg"),
    "bilateral": (1, lambda pixels: cv2.bilateralFilter(pixels, 5, 20, 20), "png"),
    "WebP": (1, lambda pixels: pixels, "webp"),
    "at 60": (1, lambda pixels: _compressed(pixels, 60), "png"),
}
"""Factor, what is done to pixels (BGR), and how they are saved."""


def measure(side: int, draws: int, sources: Sequence[str] = tuple(PHOTOGRAPHS)) -> Iterator[Row]:
    """Yield a row for every processing: makers of what was found, and photographs flagged."""
    config = Config()
    for name in PROCESSING:
        makers: dict[str, Counter[str]] = {"photographs": Counter(), "generators": Counter()}
        flagged = 0
        for seed in range(draws):
            for found in _judged(name, side, seed, sources, config):
                makers[found["of"]][found["maker"]] += 1
                flagged += found["flagged"]
        yield {
            "processing": name,
            "photographs flagged": flagged,
            **{
                f"{of}: {maker}": makers[of][maker]
                for of in makers
                for maker in ("generator", "device", "processing", "overlay")
            },
        }


def _judged(
    name: str, side: int, seed: int, sources: Sequence[str], config: Config
) -> Iterator[Row]:
    """Search one pile a source, and two with generators: a row for every pattern found."""
    photographs = _extracted(PHOTOGRAPHS, name, side, seed, config)
    generators = _extracted(GENERATORS, name, side, seed, config)
    rng = np.random.default_rng(seed)
    everything = [row for rows in photographs.values() for row in rows]
    for count in OF_EACH:
        tested = [row for rows in generators.values() for row in drawn(rows, count, rng)]
        yield from _patterns(tested, everything, rng, config)
    for source in sources:
        own = photographs.get(source, [])
        others = [row for row in everything if row["source"] != source]
        for count in TESTED if len(own) >= min(TESTED) else ():
            yield from _patterns(drawn(own, count, rng), others, rng, config)


def _patterns(
    tested: Sequence[Row], photographs: Sequence[Row], rng: np.random.Generator, config: Config
) -> Iterator[Row]:
    """Search some images among half of the photographs; the other half is the reference."""
    photographs = drawn(photographs, len(photographs), rng)
    half = len(photographs) // 2
    if half < LEAST:
        return
    pile = [*tested, *photographs[:half]]
    with in_place_alone():
        judged = detect_extracted(pile, photographs[half:], config)
    source = {row["image_id"]: row["source"] for row in pile}
    for found in judged.fingerprints:
        mostly = Counter(source[member] for member in found.members).most_common(1)[0][0]
        flagged = [one for one in judged.verdicts if one.fingerprint_id == found.fingerprint_id]
        yield {
            "of": "generators" if mostly in GENERATORS else "photographs",
            "source": mostly,
            "images": found.images,
            "maker": found.maker,
            "flagged": sum(bool(one.is_fake) and one.path in PHOTOGRAPHS for one in flagged),
            **{measure: getattr(found, measure) for measure in MEASURES},
        }


def _extracted(
    sources: Mapping[str, str], name: str, side: int, seed: int, config: Config
) -> dict[str, list[Row]]:
    """Cut, process, save and extract images, as far as they are large enough."""
    by_source: dict[str, list[Row]] = {}
    for place, (source, path) in enumerate(files_of(sources)):
        data = None if place % EVERY.get(source, 1) else _made(path, name, side, seed, config)
        if data is not None:
            (row,) = residual_rows(data, config, "image", {})
            if row["status"] == "scored":
                # Its source stands for its path, by which flagged photographs are counted.
                by_source.setdefault(source, []).append({**row, "source": source, "path": source})
    return by_source


def _made(path: str, name: str, side: int, seed: int, config: Config) -> bytes | None:
    factor, process, saved = PROCESSING[name]
    limits = config.decode
    pixels = decode(Path(path).read_bytes(), limits.max_pixels, limits.max_bytes).pixels
    if pixels is None:
        return None
    colour = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, 2)
    # A margin, cut away again, keeps what is done at borders out.
    before = _cut(np.ascontiguousarray(colour[:, :, ::-1]), int(side / factor) + 32, seed)
    if before is None:
        return None
    cut = _cut(np.asarray(process(before), np.uint8), side, seed)
    if cut is None:
        return None
    rng = np.random.default_rng([seed, *hashlib.sha256(path.encode()).digest()])
    if saved == "jpg":
        return encoded(cut[:, :, ::-1], rng)
    quality = [cv2.IMWRITE_WEBP_QUALITY, int(rng.integers(70, 96))] if saved == "webp" else []
    return bytes(cv2.imencode(f".{saved}", cut, quality)[1].tobytes())


def _cut(pixels: Pixels, side: int, seed: int) -> Pixels | None:
    """Cut a square out of an image, at the same place, relative to its size, in all of a draw."""
    height, width = pixels.shape[:2]
    if min(height, width) < side:
        return None
    down, across = np.random.default_rng(seed).random(2)
    top, left = int(down * (height - side)), int(across * (width - side))
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])
