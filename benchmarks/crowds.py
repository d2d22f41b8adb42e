"""Few generated images in a crowd of photographs: what the search among all sizes still finds.

Photographs beyond those of ../shared are cut out of them at random and saved again as JPEG. Scenes
of the pile are none of the reference.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.any_size import (
    CONDITIONS,
    GENERATORS,
    OF_EACH,
    PHOTOGRAPHS,
    encoded,
    files_of,
    kept_rows,
)
from benchmarks.trials import SHARED
from noisescope_core.config import Config
from noisescope_core.images.decode import decode
from noisescope_core.images.sketch import sketch
from noisescope_core.lattice.find import find
from noisescope_core.lattice.tiles import lattice_feature
from noisescope_core.method import LatticeFeature, LatticePile
from noisescope_core.residual import channel_residuals
from noisescope_core.tables.rows import FingerprintRow

Row = dict[str, Any]

CROPS = 22
"""Parts cut out of each photograph of the pile."""

REFERENCE = 800
"""Photographs that are the reference; the others are the pile's."""

SIDES = (0.6, 512)
"""Sides of a part: this share of the photograph's at least, so many pixels at most."""


def split() -> tuple[list[str], list[str]]:
    """Paths of the photographs of the pile, and of those of the reference."""
    paths = [path for _, path in files_of(PHOTOGRAPHS)]
    drawn = [paths[place] for place in np.random.default_rng(0).permutation(len(paths))]
    return drawn[REFERENCE:], drawn[:REFERENCE]


def crops(folder: Path, config: Config) -> list[LatticeFeature]:
    """Cut parts out of the pile's photographs and extract them, or read what was kept of them."""
    kept = folder / "crops.parquet"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        rows = [row for path in split()[0] for row in _crops(path, config)]
        pq.write_table(pa.Table.from_pylist(rows), kept)
    return [
        _feature(f"{row['path']}#{row['number']}", row) for row in pq.read_table(kept).to_pylist()
    ]


def _crops(path: str, config: Config) -> Iterator[Row]:
    limits, how = config.decode, config.residual
    pixels = decode(Path(path).read_bytes(), limits.max_pixels, limits.max_bytes).pixels
    if pixels is None:
        return
    colour = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, 2)
    for number in range(CROPS):
        rng = np.random.default_rng([number, *hashlib.sha256(path.encode()).digest()])
        part = decode(encoded(_part(colour, rng), rng), limits.max_pixels, limits.max_bytes).pixels
        assert part is not None
        channels = channel_residuals(part, how.sigma, how.levels, denoiser=how.denoiser)
        tile = lattice_feature(part, channels, (0, 0))
        cells = {"tile": tile.tobytes(), "sketch": sketch(part).tobytes()}
        yield {"path": path, "number": number, **cells}


def _part(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    sides = [
        int(rng.integers(int(SIDES[0] * min(side, SIDES[1])), min(side, SIDES[1]) + 1))
        for side in pixels.shape[:2]
    ]
    top, left = (
        int(rng.integers(0, whole - side + 1))
        for whole, side in zip(pixels.shape[:2], sides, strict=True)
    )
    return pixels[top : top + sides[0], left : left + sides[1]]


def originals(condition: str, folder: Path, config: Config) -> dict[str, LatticeFeature]:
    """Tiles of the images of ../shared under a condition, by path."""
    kept = kept_rows(condition, folder, config)
    rows = pq.read_table(kept, columns=["path", "status", "image_id", "tile", "sketch"]).to_pylist()
    return {row["path"]: _feature(row["path"], row) for row in rows if row["status"] == "scored"}


def _feature(name: str, row: Row) -> LatticeFeature:
    tile, sketched = np.frombuffer(row["tile"], np.float16), np.frombuffer(row["sketch"], np.uint8)
    return LatticeFeature(name, tile, sketched)


def source_of(path: str) -> str:
    """Say which source an image is of; a part of a photograph is of the photograph's."""
    below = str(Path(path.split("#")[0]).relative_to(SHARED / "data"))
    return next(
        source
        for source, folder in (GENERATORS | PHOTOGRAPHS).items()
        if below.startswith(folder + "/")
    )


def crowd(
    images: Mapping[str, LatticeFeature], parts: Sequence[LatticeFeature], seed: int, count: int
) -> LatticePile:
    """Draw some images of each generator, and put them among so many photographs.

    Draws of one seed have the same generated images, and a larger crowd holds a smaller one.
    """
    rng = np.random.default_rng(seed)
    tested: list[LatticeFeature] = []
    for source in GENERATORS:
        own = [image for path, image in images.items() if source_of(path) == source]
        drawn = rng.permutation(len(own))[: int(rng.integers(OF_EACH[0], OF_EACH[1] + 1))]
        tested += [own[place] for place in drawn]
    scenes, others = split()
    photographs = [images[path] for path in scenes if path in images]
    photographs = [photographs[place] for place in rng.permutation(len(photographs))]
    photographs += [parts[place] for place in rng.permutation(len(parts))]
    reference = [images[path] for path in others if path in images]
    return LatticePile(tested + photographs[:count], reference)


def outcome(pile: LatticePile, found: Sequence[FingerprintRow]) -> Row:
    """Say what became of each generator in a pile.

    Returns
    -------
    dict
        `found`: generators of which a set holds mostly images, with a purity of .9 and more;
        `given`: share of the images in sets mostly of their own maker, among generated images in
        any set; recall of each generator by such sets; `photographs` in generators' sets.
    """
    counts = Counter(source_of(image.image_id) for image in pile.tested)
    pure, own, any_set = set[str](), Counter[str](), 0
    photographs, purities = 0, list[float]()
    for row in found:
        sources = Counter(source_of(name) for name in row.members)
        generated = sum(number for source, number in sources.items() if source in GENERATORS)
        any_set += generated
        source, most = sources.most_common(1)[0]
        if source in GENERATORS:
            purities.append(most / row.images)
            own[source] += most
            photographs += row.images - generated
            if most >= 0.9 * row.images:
                pure.add(source)
    return {
        "sets": len(found),
        "generators' sets": len(purities),
        "found": len(pure),
        "given": sum(own.values()) / max(any_set, 1),
        "purity": float(np.mean(purities)) if purities else 0.0,
        "photographs in generators' sets": photographs,
        **{source: own[source] / counts[source] for source in GENERATORS},
    }


def measure(folder: Path, draws: int, counts: Sequence[int] = (600, 2000, 20_000)) -> Iterator[Row]:
    """Yield a row of means for every condition and number of photographs, lattices alone."""
    config = Config()
    parts = crops(folder, config)
    for condition in CONDITIONS:
        images = originals(condition, folder / "whitened", config)
        for count in counts:
            rows = []
            for seed in range(draws):
                pile = crowd(images, parts, seed, count)
                started = time.perf_counter()
                found = find(pile, [], config)
                seconds = time.perf_counter() - started
                rows.append({"search, s": seconds} | outcome(pile, found))
            means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
            yield {"condition": condition, "photographs": count, **means}
