"""Piles of any size: generators and photographs of all kinds, as found and saved again.

Images are those of ../shared. Each is extracted once a condition and kept, so that draws cost their
search alone. A draw is judged as `noisescope_core.in_memory` judges files.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.trials import SHARED
from noisescope_core import methods
from noisescope_core.config import Config, configured
from noisescope_core.extraction import lattice_image, residual_rows
from noisescope_core.images.compression import Compression
from noisescope_core.images.decode import decode
from noisescope_core.images.reference import Header, across_sizes
from noisescope_core.in_memory import Judged, detect_extracted
from noisescope_core.lattice.copies import without_copies
from noisescope_core.lattice.find import find
from noisescope_core.lattice.tiles import VALUES
from noisescope_core.method import LatticeFeature, LatticePile, distinct
from noisescope_core.tables.schemas import SCHEMAS, arrow_schema

Row = dict[str, Any]
Rows = Mapping[str, Sequence[Row]]
"""Rows of `residuals` by source."""

GENERATORS = {
    "CycleGAN": "cyclegan/fake",
    "faces": "faces/fake",
    "diffusion": "diffusion/fake",
    "SD v1": "modern/fake/sd_v1",
    "SD 1.5 WebP": "modern/fake/sd15_webp",
    "SDXL": "modern/fake/sdxl_cats",
    "DALL-E mini": "modern/fake/dalle_mini",
    "Midjourney JPEG": "modern/fake/midjourney_jpeg",
    "gpt-image-2 web": "modern/fake/gpt_image_2_web",
}
"""Sources of generated images, below the folder of data."""

PHOTOGRAPHS = {
    "CycleGAN's photographs": "cyclegan/real",
    "face crops": "faces/real",
    "iPhone": "modern/real/iphone_crops",
    "Panasonic": "modern/real/panasonic_crops",
    "Nikon": "modern/real/nikon_small",
    "WhatsApp": "modern/real/whatsapp",
    "Instagram": "modern/real/instagram",
}
"""Sources of photographs."""

CONDITIONS = ("as found", "saved again")

QUALITIES = (80, 95)
"""Lowest and highest quality of JPEG 4:2:0 by which images are saved again."""

MAKERS = ("generator", "device", "processing", "undetermined")
"""Makers of lattices."""

OF_EACH = (24, 40)
"""Images of each generator in a pile, least and most."""

IN_PILE, REFERENCE = 600, 1000
"""Photographs in a pile and, at most, in its reference."""


@dataclass(frozen=True)
class Draw:
    """A pile, its reference, and what was said of it.

    Attributes
    ----------
    sources : source of each tested file, by path
    judged : verdicts and fingerprints
    """

    sources: Mapping[str, str]
    judged: Judged


def extracted(condition: str, folder: Path, config: Config) -> Rows:
    """Extract all images under a condition, or read what was kept of it."""
    by_source: dict[str, list[Row]] = {}
    for row in pq.read_table(kept_rows(condition, folder, config)).to_pylist():
        if row["status"] == "scored":
            by_source.setdefault(row["source"], []).append(row)
    return by_source


def kept_rows(condition: str, folder: Path, config: Config) -> Path:
    """Extract all images under a condition, unless it was done before: the file of their rows."""
    kept = folder / f"{condition.replace(' ', '_')}.parquet"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        files = list(files_of(GENERATORS | PHOTOGRAPHS))
        with ProcessPoolExecutor() as pool:
            rows = pool.map(partial(_extract, condition, config), files, chunksize=16)
            schema = arrow_schema(f"source string, {SCHEMAS['residuals']}")
            pq.write_table(pa.Table.from_pylist(list(rows), schema), kept)
    return kept


def files_of(sources: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield source and path of every file of some sources, in order."""
    for source, below in sources.items():
        for file in sorted((SHARED / "data" / below).rglob("*")):
            if file.is_file():
                yield source, str(file)


def _extract(condition: str, config: Config, file: tuple[str, str]) -> Row:
    cv2.setNumThreads(1)
    source, path = file
    data = Path(path).read_bytes()
    if condition != "as found":
        data = again(data, path, config)
    (row,) = residual_rows(data, config, "image", {})
    row.pop("thumbnail", None)
    return {"source": source, "path": path, **row}


def again(data: bytes, path: str, config: Config, factor: float = 1.0) -> bytes:
    """Bring an image to another size and save it again as JPEG 4:2:0, as a platform does."""
    pixels = decode(data, config.decode.max_pixels, config.decode.max_bytes).pixels
    if pixels is None:
        return data
    colour = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, 2)
    if factor != 1:
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        colour = cv2.resize(colour, None, fx=factor, fy=factor, interpolation=how)
    return encoded(colour, np.random.default_rng(list(hashlib.sha256(path.encode()).digest())))


def encoded(pixels: NDArray[np.uint8], rng: np.random.Generator) -> bytes:
    """Save pixels, (H, W, 3), RGB, as JPEG 4:2:0 at a quality that is drawn."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(QUALITIES[0], QUALITIES[1] + 1))]
    return bytes(cv2.imencode(".jpg", pixels[:, :, ::-1], settings)[1].tobytes())


def pile(rows: Rows, seed: int, config: Config) -> Draw:
    """Judge one pile: some images of each generator among photographs of all kinds."""
    return _judged(*_pile(rows, seed), config)


def _pile(rows: Rows, seed: int) -> tuple[list[Row], list[Row]]:
    """Draw tested images and the reference of one pile."""
    rng = np.random.default_rng(seed)
    tested: list[Row] = []
    for source in GENERATORS:
        count = int(rng.integers(OF_EACH[0], OF_EACH[1] + 1))
        tested += drawn(rows[source], count, rng)
    photographs = [row for source in PHOTOGRAPHS for row in rows[source]]
    photographs = drawn(photographs, len(photographs), rng)
    return tested + photographs[:IN_PILE], photographs[IN_PILE : IN_PILE + REFERENCE]


def unlike_pile(tested: Rows, reference: Rows, again: Rows, seed: int, config: Config) -> Draw:
    """Judge a pile as `pile` does, by a reference of another condition.

    Parameters
    ----------
    again : rows that stand for those reference images which are made alike; {} to make none
    """
    images, photographs = (_pile(rows, seed) for rows in (tested, reference))
    counts = Counter(Compression.of_row(row) for row in images[0])
    headers = [replace(Header.of_row(row), image_id=row["path"]) for row in photographs[1]]
    changed = across_sizes(counts, headers, {}, (), config.seed) if again else {}
    made = {row["path"]: row for rows in again.values() for row in rows if row["path"] in changed}
    return _judged(images[0], [made.get(row["path"], row) for row in photographs[1]], config)


def look_alike(rows: Rows, source: str, seed: int, config: Config) -> Draw:
    """Judge all images of one source of photographs among 300 of others, none in the reference."""
    rng = np.random.default_rng(seed)
    others = [row for name in PHOTOGRAPHS if name != source for row in rows[name]]
    others = drawn(others, len(others), rng)
    most = 60 if len(rows[source]) > 100 else len(rows[source])
    tested = drawn(rows[source], most, rng) + others[:300]
    return _judged(tested, others[300 : 300 + REFERENCE], config)


def drawn(rows: Sequence[Row], count: int, rng: np.random.Generator) -> list[Row]:
    """Draw rows, so many at most."""
    return [rows[place] for place in rng.permutation(len(rows))[:count]]


def _judged(tested: Sequence[Row], photographs: Sequence[Row], config: Config) -> Draw:
    sources = {row["path"]: row["source"] for row in tested}
    return Draw(sources, detect_extracted(tested, photographs, config))


def recalls(draw: Draw) -> dict[str, float]:
    """Share of each source's images that are flagged."""
    flagged, counts = Counter[str](), Counter(draw.sources.values())
    for verdict in draw.judged.verdicts:
        flagged[draw.sources[verdict.path]] += bool(verdict.is_fake)
    return {source: flagged[source] / counts[source] for source in counts}


def purities(draw: Draw) -> list[tuple[str, float, int]]:
    """Most common source of each fingerprint's images, its share of them, and how many they are."""
    by_fingerprint: dict[str, Counter[str]] = {}
    for verdict in draw.judged.verdicts:
        if verdict.is_fake and verdict.fingerprint_id:
            counts = by_fingerprint.setdefault(verdict.fingerprint_id, Counter())
            counts[draw.sources[verdict.path]] += 1
    shown = []
    for counts in by_fingerprint.values():
        source, most = counts.most_common(1)[0]
        shown.append((source, most / counts.total(), counts.total()))
    return shown


def in_place_alone() -> Any:
    """Take the lattice way out of the default method, as a context: what it was before."""
    whitened = replace(methods.METHODS["whitened"], lattice=None)
    return patch.dict(methods.METHODS, {"whitened": whitened})


def measure_piles(folder: Path, draws: int) -> Iterator[Row]:
    """Yield a row of means for every condition and method."""
    for condition in CONDITIONS:
        for name, method in (
            ("default", "whitened"),
            ("in place alone", "whitened"),
            ("paper", "paper"),
        ):
            config = configured({"method": method})
            rows = extracted(condition, folder / method, config)
            with in_place_alone() if name == "in place alone" else nullcontext():
                judged = [pile(rows, seed, config) for seed in range(draws)]
            yield {"condition": condition, "method": name, **summary(judged)}


def summary(draws: Sequence[Draw]) -> Row:
    """Mean recall of each generator, photographs flagged, and purity of the fingerprints."""
    of_draws = [recalls(draw) for draw in draws]
    photographs = [
        sum(
            bool(verdict.is_fake)
            for verdict in draw.judged.verdicts
            if draw.sources[verdict.path] in PHOTOGRAPHS
        )
        for draw in draws
    ]
    pure = [share for draw in draws for _, share, _ in purities(draw)]
    unscored = [sum(v.status != "scored" for v in draw.judged.verdicts) for draw in draws]
    return {
        **{source: float(np.mean([some[source] for some in of_draws])) for source in GENERATORS},
        "photographs flagged": float(np.mean(photographs)),
        "purity": float(np.mean(pure)) if pure else "-",
        "unscored": float(np.mean(unscored)),
    }


def measure_unlike(folder: Path, draws: int) -> Iterator[Row]:
    """Yield a row of means for images saved again and a reference as found, made alike or not.

    Lattices alone are searched, as if no two images shared a size. A reference image made alike is
    the same image saved again at another quality drawn.
    """
    found, again = (extracted(condition, folder / "whitened", Config()) for condition in CONDITIONS)
    for undetermined in ("report", "flag"):
        config = configured(
            {"discovery.least_images": 1_000_000, "lattice.undetermined": undetermined}
        )
        for name, made in (("as found", {}), ("made alike", again)):
            judged = [unlike_pile(again, found, made, seed, config) for seed in range(draws)]
            yield {"undetermined": undetermined, "reference": name, **summary(judged)}


def measure_copies(folder: Path, draws: int) -> Iterator[Row]:
    """Yield a row for every source: share of reference images that are left out as copies.

    Tested images are as found. Copies are the same saved again, among the reference; others are the
    reference images of the pile.
    """
    found, again = (extracted(condition, folder / "whitened", Config()) for condition in CONDITIONS)
    copy_of = {row["path"]: row for rows in again.values() for row in rows}
    counts: dict[str, Counter[tuple[str, bool]]] = {"copies": Counter(), "others": Counter()}
    for seed in range(draws):
        tested, others = _pile(found, seed)
        copies = [copy_of[row["path"]] for row in tested if row["path"] in copy_of]
        images = [distinct(list(map(lattice_image, rows))) for rows in (others + copies, tested)]
        kept = {image.image_id for image in without_copies(*images)}
        for name, rows in (("copies", copies), ("others", others)):
            counts[name].update((row["source"], row["image_id"] in kept) for row in rows)
    for source in GENERATORS | PHOTOGRAPHS:
        yield {"source": source} | {
            name: some[source, False] / total
            for name, some in counts.items()
            if (total := some[source, False] + some[source, True])
        }


def measure_look_alikes(folder: Path, draws: int) -> Iterator[Row]:
    """Yield a row for every source of photographs and condition: what its images were taken for.

    Lattices alone are searched; no pattern in place is.
    """
    config = configured({"discovery.least_images": 1_000_000})
    for condition in CONDITIONS:
        rows = extracted(condition, folder / "whitened", config)
        for source in PHOTOGRAPHS:
            own = {row["image_id"] for row in rows[source]}
            makers: Counter[str] = Counter()
            flagged = 0
            for seed in range(draws):
                judged = look_alike(rows, source, seed, config).judged
                flagged += sum(bool(verdict.is_fake) for verdict in judged.verdicts)
                makers.update(
                    str(row.maker)
                    for row in judged.fingerprints
                    if 2 * len(own.intersection(row.members)) > row.images
                )
            yield {
                "condition": condition,
                "source": source,
                "draws": draws,
                "photographs flagged": flagged,
                **{maker: makers[maker] for maker in MAKERS},
            }


def measure_growth(counts: Sequence[int]) -> Iterator[Row]:
    """Yield a row for every number of images: seconds of the search among all sizes.

    Tiles are drawn: a hundredth of the images shares one, 1,000 are the reference.
    """
    rng = np.random.default_rng(0)
    shared = rng.normal(size=VALUES)
    reference = _drawn_images("reference", rng.normal(size=(1000, VALUES)), rng)
    for count in counts:
        tiles = rng.normal(size=(count, VALUES))
        tiles[: max(20, count // 100)] += 0.55 * shared
        pile = LatticePile(_drawn_images("image", tiles, rng), reference)
        start = time.perf_counter()
        (row,) = find(pile, [], Config())
        yield {"images": count, "search, s": time.perf_counter() - start, "found": row.images}


def _drawn_images(
    name: str, tiles: NDArray[np.float64], rng: np.random.Generator
) -> list[LatticeFeature]:
    return [
        LatticeFeature(
            f"{name}{k:06}", tile.astype(np.float16), rng.integers(0, 255, 1024, dtype=np.uint8)
        )
        for k, tile in enumerate(tiles)
    ]
