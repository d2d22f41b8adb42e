"""How well the default method finds generators in real images, in memory, draw by draw.

Reads the development images (NOISESCOPE_SHARED, else ../shared beside the project). Every set is
measured on files as found and *saved again*: all images, photographs and reference too, as JPEG
4:2:0 at a quality drawn per image from 80, 85, 90, 95.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from noisescope_core.discovery import discover, prepare_counted
from noisescope_core.duplicates import sketch
from noisescope_core.evidence import gather
from noisescope_core.residual import channel_residuals
from noisescope_core.whitening import band_correlations, layout, whitened_planes

Row = dict[str, Any]

SHARED = Path(os.environ.get("NOISESCOPE_SHARED", Path(__file__).parents[2] / "shared"))

SOURCES = {
    "cyclegan": "cyclegan/fake",
    "resized": "cyclegan/real",
    "faces": "faces/fake",
    "crops": "faces/real",
    "diffusion": "diffusion/fake",
}
"""Generated images and photographs, by the name that the sets below use."""

QUALITIES = (80, 85, 90, 95)


@dataclass(frozen=True)
class Trial:
    """One line of the table: how many images of what are tested against what.

    Attributes
    ----------
    side : pixels; larger images are cropped at their centre
    fakes : source to images
    photographs, tested : sources of the photographs tested, and how many
    reference, known : sources of the reference (None: the same, other images), and how many
    """

    side: int
    fakes: dict[str, int]
    photographs: tuple[str, ...]
    tested: int
    reference: tuple[str, ...] | None
    known: int


BOTH = ("resized", "crops")

TRIALS = {
    **{
        f"cyclegan {k}+300": Trial(256, {"cyclegan": k}, ("resized",), 300, None, 800)
        for k in (300, 100, 50, 20)
    },
    "faces 256, 200+500": Trial(256, {"faces": 200}, BOTH, 500, None, 1000),
    **{
        f"faces 512, {k}+200": Trial(512, {"faces": k}, ("crops",), 200, None, 200)
        for k in (200, 50)
    },
    **{
        f"diffusion 512, {k}+200": Trial(512, {"diffusion": k}, ("crops",), 200, None, 200)
        for k in (120, 50)
    },
    "three at 256, 3x100+500": Trial(
        256, {"cyclegan": 100, "faces": 100, "diffusion": 100}, BOTH, 500, None, 1000
    ),
    "photographs, mixed": Trial(256, {}, BOTH, 500, None, 1000),
    "photographs, resized against crops": Trial(256, {}, ("resized",), 500, ("crops",), 400),
    "photographs, crops against resized": Trial(256, {}, ("crops",), 400, ("resized",), 1000),
    "photographs, crops at 512": Trial(512, {}, ("crops",), 200, None, 200),
}


def measure(draws: int = 5, without: int = 20) -> Iterator[Row]:
    """Yield a row per trial and kind of files.

    Parameters
    ----------
    draws, without : draws of trials with generated images, and of those without

    Raises
    ------
    FileNotFoundError
        If the development images are absent.
    """
    if not (SHARED / "data").is_dir():
        raise FileNotFoundError(f"{SHARED}/data: no development images (NOISESCOPE_SHARED)")
    for saved_again in (False, True):
        for side in (512, 256):
            images = _images(side, saved_again)
            for name, trial in TRIALS.items():
                if trial.side == side:
                    results = [
                        _run(trial, draw, images)
                        for draw in range(draws if trial.fakes else without)
                    ]
                    yield _row(name, saved_again, results)


def _row(name: str, saved_again: bool, results: list[Row]) -> Row:
    f1 = [result["f1"] for result in results]
    row: Row = {"set": name, "files": "saved again" if saved_again else "as found"}
    if f1[0] is None:
        runs = sum(result["false"] > 0 for result in results)
        return row | {"runs that flag": f"{runs} of {len(results)}"}
    return row | {
        "F1": float(np.mean(f1)),
        "sd": float(np.std(f1)),
        "false positives": float(np.mean([result["false"] for result in results])),
        "fingerprints": float(np.mean([result["found"] for result in results])),
        "given to the right one": float(np.mean([result["right"] for result in results])),
    }


@dataclass(frozen=True)
class _Images:
    features: NDArray[np.float16]
    correlations: NDArray[np.float32]
    sketches: NDArray[np.uint8]
    rows_of: dict[str, NDArray[np.intp]]


def _images(side: int, saved_again: bool) -> _Images:
    rng = np.random.default_rng(7)
    features, sketches = [], []
    rows_of: dict[str, NDArray[np.intp]] = {}
    start = 0
    for source, folder in SOURCES.items():
        files = sorted((SHARED / "data" / folder).iterdir())
        if side > 256 and folder.startswith("cyclegan"):
            continue
        qualities = rng.choice(QUALITIES, len(files))

        def one(job: tuple[Path, int]) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
            pixels = _pixels(job[0], side, job[1] if saved_again else None)
            return whitened_planes(channel_residuals(pixels)), sketch(pixels)

        with ThreadPoolExecutor() as pool:
            made = list(pool.map(one, zip(files, qualities.tolist(), strict=True)))
        features += [feature for feature, _ in made]
        sketches += [small for _, small in made]
        rows_of[source] = np.arange(start, start + len(files))
        start += len(files)
    stack = np.stack(features)
    correlations = band_correlations(stack, stack, layout(side, side))
    return _Images(stack, correlations, np.stack(sketches), rows_of)


def _pixels(file: Path, side: int, quality: int | None) -> NDArray[np.uint8]:
    pixels = cv2.imread(str(file), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    assert pixels is not None
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    pixels = pixels[top : top + side, left : left + side]
    if quality is not None:
        settings = [
            cv2.IMWRITE_JPEG_QUALITY, quality,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
        ]  # fmt: skip
        pixels = cv2.imdecode(cv2.imencode(".jpg", pixels, settings)[1], cv2.IMREAD_COLOR)
        assert pixels is not None
    return np.ascontiguousarray(pixels[:, :, ::-1], np.uint8)


def _run(trial: Trial, draw: int, images: _Images) -> Row:
    rng = np.random.default_rng(draw)

    def shuffled(sources: tuple[str, ...]) -> NDArray[np.intp]:
        return rng.permutation(np.concatenate([images.rows_of[source] for source in sources]))

    photographs = shuffled(trial.photographs)
    fakes = [shuffled((source,))[:count] for source, count in trial.fakes.items()]
    tested = np.concatenate([*fakes, photographs[: trial.tested]])
    known = photographs[trial.tested :] if trial.reference is None else shuffled(trial.reference)
    labels = np.repeat(
        np.arange(len(fakes) + 1), [*map(len, fakes), len(photographs[: trial.tested])]
    )
    rows = np.concatenate([tested, known[: trial.known]])
    part = np.ascontiguousarray(images.correlations[:, rows][:, :, rows])
    bins = layout(trial.side, trial.side)
    found = discover(prepare_counted(part, images.sketches[rows], len(tested), bins.shares()))
    patterns = [
        pattern
        for pattern in found
        for mean in [images.features[rows[pattern.members]].mean(0, dtype=np.float32)]
        if gather(pattern.agreement, pattern.error, mean, len(pattern.members), bins).maker
        == "generator"
    ]
    photograph = len(fakes)
    flagged = np.zeros(len(tested), bool)
    right = 0
    for pattern in patterns:
        flagged[pattern.members] = True
        by_maker = np.bincount(labels[pattern.members], minlength=photograph + 1)
        right += int(by_maker[:photograph].max(initial=0))
    fake = labels < photograph
    hits = int((flagged & fake).sum())
    return {
        "f1": 2 * hits / int(flagged.sum() + fake.sum()) if fakes else None,
        "false": int((flagged & ~fake).sum()),
        "found": len(patterns),
        "right": right / hits if hits else 0.0,
    }
