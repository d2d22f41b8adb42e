"""Real images, what is tested against what, and how an answer is judged: the same for every method.

Reads the development images (NOISESCOPE_SHARED, else ../shared beside the project). Every set is
measured on files as found and *saved again*: all images, photographs and reference too, as JPEG
4:2:0 at a quality drawn per image from 80, 85, 90, 95.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Row = dict[str, Any]
T = TypeVar("T")

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


@dataclass(frozen=True)
class Pictures:
    """All development images of one side, in the order of their rows.

    Attributes
    ----------
    side : pixels
    files : one per row
    qualities : to save them again with, None as found
    rows_of : source to rows
    """

    side: int
    files: list[Path]
    qualities: list[int | None]
    rows_of: dict[str, NDArray[np.intp]]

    def each(self, work: Callable[[NDArray[np.uint8]], T]) -> list[T]:
        """Decode every image, (side, side, 3) uint8, and work on it; results by row."""

        def one(job: tuple[Path, int | None]) -> T:
            return work(_pixels(job[0], self.side, job[1]))

        with ThreadPoolExecutor() as pool:
            return list(pool.map(one, zip(self.files, self.qualities, strict=True)))


def pictures(side: int, saved_again: bool) -> Pictures:
    """List the images of one side.

    Raises
    ------
    FileNotFoundError
        If the development images are absent.
    """
    if not (SHARED / "data").is_dir():
        raise FileNotFoundError(f"{SHARED}/data: no development images (NOISESCOPE_SHARED)")
    rng = np.random.default_rng(7)
    listed: list[Path] = []
    qualities: list[int | None] = []
    rows_of: dict[str, NDArray[np.intp]] = {}
    for source, folder in SOURCES.items():
        if side > 256 and folder.startswith("cyclegan"):
            continue
        files = sorted((SHARED / "data" / folder).iterdir())
        drawn = rng.choice(QUALITIES, len(files)).tolist()
        rows_of[source] = np.arange(len(listed), len(listed) + len(files))
        listed += files
        qualities += drawn if saved_again else [None] * len(files)
    return Pictures(side, listed, qualities, rows_of)


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


@dataclass(frozen=True)
class Drawn:
    """One draw of a trial.

    Attributes
    ----------
    rows : (t + r,) rows of the images tested, then of the reference
    labels : (t,) which of the trial's generators made an image; their number for photographs
    makers : number of generators
    """

    rows: NDArray[np.intp]
    labels: NDArray[np.intp]
    makers: int

    @property
    def tested(self) -> int:
        """Number of images tested."""
        return len(self.labels)


def draw(trial: Trial, number: int, rows_of: dict[str, NDArray[np.intp]]) -> Drawn:
    """Draw the images of a trial; the same `number` draws the same."""
    rng = np.random.default_rng(number)

    def shuffled(sources: tuple[str, ...]) -> NDArray[np.intp]:
        return rng.permutation(np.concatenate([rows_of[source] for source in sources]))

    photographs = shuffled(trial.photographs)
    fakes = [shuffled((source,))[:count] for source, count in trial.fakes.items()]
    tested = [*fakes, photographs[: trial.tested]]
    known = photographs[trial.tested :] if trial.reference is None else shuffled(trial.reference)
    labels = np.repeat(np.arange(len(tested)), [len(part) for part in tested])
    return Drawn(np.concatenate([*tested, known[: trial.known]]), labels, len(fakes))


@dataclass(frozen=True)
class Answer:
    """What a method says of the images tested in one draw.

    Attributes
    ----------
    sets : images flagged, by generator's fingerprint, as positions among the images tested
    other : shared patterns found that are not taken for a generator's
    undecided : whether the method could not be used at all
    confidence : (t,) of the images tested, with the fingerprint that each fits best, if known
    """

    sets: list[NDArray[np.intp]]
    other: int = 0
    undecided: bool = False
    confidence: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Result:
    """An answer against the truth."""

    drawn: Drawn
    answer: Answer

    @property
    def generated(self) -> NDArray[np.bool_]:
        """Whether an image tested is generated: (t,)."""
        return self.drawn.labels < self.drawn.makers

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Whether an image tested is flagged: (t,)."""
        flagged = np.zeros(self.drawn.tested, bool)
        for members in self.answer.sets:
            flagged[members] = True
        return flagged

    @property
    def false(self) -> int:
        """Photographs flagged."""
        return int((self.flagged & ~self.generated).sum())

    @property
    def f1(self) -> float:
        """F1 of the flags, generated images being the positive class."""
        hits = int((self.flagged & self.generated).sum())
        return 2 * hits / int(self.flagged.sum() + self.generated.sum())

    @property
    def right(self) -> float:
        """Share of the generated images flagged that whose set is mostly from their generator."""
        right = np.zeros(self.drawn.tested, bool)
        for members in self.answer.sets:
            labels = self.drawn.labels[members]
            made = labels < self.drawn.makers
            if made.any():
                right[members[labels == np.bincount(labels[made]).argmax()]] = True
        hits = int((self.flagged & self.generated).sum())
        return float(right.sum() / hits) if hits else 0.0


Method = Callable[[Drawn], Answer]
Load = Callable[[Pictures], Method]


def results(
    load: Load,
    draws: int = 5,
    without: int = 5,
    names: Sequence[str] = tuple(TRIALS),
    kinds: tuple[bool, ...] = (False, True),
) -> Iterator[tuple[str, bool, list[Result]]]:
    """Try a method on trials, on files as found and saved again.

    Parameters
    ----------
    load : callable
        Given the images of one side, returns what answers a draw.
    draws, without : draws of trials with generated images, and of those without
    names : trials
    kinds : of files, True for saved again

    Yields
    ------
    Name of the trial, whether files were saved again, and a result per draw.
    """
    for saved_again in kinds:
        for side in (512, 256):
            chosen = [name for name in names if TRIALS[name].side == side]
            if chosen:
                listed = pictures(side, saved_again)
                for name, found in tried(load(listed), listed, chosen, draws, without):
                    yield name, saved_again, found


def tried(
    method: Method, listed: Pictures, names: Sequence[str], draws: int, without: int
) -> Iterator[tuple[str, list[Result]]]:
    """Try a method that is ready on trials of one side; as `results`."""
    for name in names:
        trial = TRIALS[name]
        drawn = [
            draw(trial, number, listed.rows_of)
            for number in range(draws if trial.fakes else without)
        ]
        yield name, [Result(one, method(one)) for one in drawn]


def row(name: str, saved_again: bool, found: list[Result]) -> Row:
    """Sum the results of a trial up."""
    line: Row = {"set": name, "files": "saved again" if saved_again else "as found"}
    undecided = sum(result.answer.undecided for result in found)
    if undecided:
        line["undecided"] = f"{undecided} of {len(found)}"
    if not found[0].drawn.makers:
        runs = sum(result.false > 0 for result in found)
        return line | {"runs that flag": f"{runs} of {len(found)}"}
    f1 = [result.f1 for result in found]
    return line | {
        "F1": float(np.mean(f1)),
        "sd": float(np.std(f1)),
        "false positives": float(np.mean([result.false for result in found])),
        "fingerprints": float(np.mean([len(result.answer.sets) for result in found])),
        "given to the right one": float(np.mean([result.right for result in found])),
    }
