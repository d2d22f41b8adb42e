"""Images of an experiment: listed, drawn, and made as their condition says."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar
from zlib import crc32

import cv2
import numpy as np
from numpy.typing import NDArray

from noisescope_core.attacks import ATTACKS, attack
from noisescope_core.attacks.patterns import camera_pattern, estimated_fingerprint
from noisescope_core.errors import NoiseScopeError, UsageError
from noisescope_core.experiments.definition import Condition, Experiment, SetDefinition, Trial
from noisescope_core.images.decode import decode, read_header
from noisescope_core.simulate import Kind, World, jpeg_file, simulated_image

T = TypeVar("T")
Pixels = NDArray[np.uint8]
SetFiles = Mapping[str, Sequence[Path]]
"""Set to its files, none where it is simulated."""

QUALITIES = (80, 85, 90, 95)
"""JPEG qualities of images that are saved again; chosen: usual ones."""

HEADER_BYTES = 65_536
"""Of a file, in which its size in pixels stands; chosen: metadata before it can be long."""

MAX_PIXELS, MAX_BYTES = 100_000_000, 200_000_000
"""Largest image and file that is taken; chosen: sets are one's own, so above a scan's limits."""

LEAST_SIDE = 64
"""Shorter side of images at native sizes, pixels: smaller ones are not scored."""

MOST = 500
"""Images that an attacker estimates a fingerprint from; chosen."""

CAMERAS = 4
"""That took the simulated photographs, as in `simulate`."""

KEPT = 50_000
"""Simulated images kept for the next batch, as files in memory; chosen."""

KEPT_ATTACKED, KEPT_SIDE = 1_000, 512
"""Attacked images kept for the next method and defence, non-local means being slow, and their
largest side in pixels; chosen: less than a gigabyte."""

_SIMULATING = Lock()
"""Held while an image is simulated, which bounds the threads of the whole process."""

_ATTACK, _QUALITY, _CAMERA = range(3)
"""Streams of random numbers."""

ImageName = tuple[str, int]
"""Set and number of an image."""


def find_files(experiment: Experiment, data: Path) -> SetFiles:
    """Find the files of the folders that an experiment's trials use.

    Parameters
    ----------
    data : folder that holds those of the sets

    Returns
    -------
    dict
        Set to files, in the order of their names, of images large enough for all trials; sets
        that are simulated have none.

    Raises
    ------
    UsageError
        Naming every folder that is absent and every set that has too few images for a trial.
    """
    mistakes: list[str] = []
    files: dict[str, list[Path]] = {}
    for name, definition in experiment.sets.items():
        folder = data / (definition.folder or "")
        if definition.folder is None:
            files[name] = []
        elif not folder.is_dir():
            mistakes.append(f"sets.{name}: {folder} is not a folder, see --data")
        else:
            side = _least_side(experiment, name)
            files[name] = [f for f in sorted(folder.iterdir()) if _smaller_side(f) >= side]
    mistakes += _too_few(experiment, files, data)
    if mistakes:
        raise UsageError("\n  ".join(["experiment:", *mistakes] if mistakes[1:] else mistakes))
    return files


def _too_few(experiment: Experiment, files: SetFiles, data: Path) -> Iterator[str]:
    """Name every set of files that has too few images for a trial."""
    for trial_name, trial in experiment.trials.items():
        for name, needed in _needed(trial).items():
            folder = experiment.sets[name].folder
            if folder is not None and name in files and len(files[name]) < needed:
                side = _least_side(experiment, name)
                yield (
                    f"trials.{trial_name}: needs {needed} images of {name}, "
                    f"of {side} x {side} at least; {data / folder} has {len(files[name])}"
                )


def _least_side(experiment: Experiment, name: str) -> int:
    """Pixels that images of a set must have on their shorter side for all trials."""
    sides = [experiment.side_of(t) for t in experiment.trials.values() if name in _needed(t)]
    return max((side or LEAST_SIDE for side in sides), default=1)


def _needed(trial: Trial) -> dict[str, int]:
    parts = (trial.generated, trial.photographs, trial.reference)
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: sum(part.get(name, 0) for part in parts) for name in names}


def _smaller_side(file: Path) -> int:
    with file.open("rb") as stream:
        start = stream.read(HEADER_BYTES)
        header = read_header(start, MAX_PIXELS, MAX_BYTES)
        if header.reason:  # WebP is not read in part.
            header = read_header(start + stream.read(), MAX_PIXELS, MAX_BYTES)
    return 0 if header.reason else min(header.width, header.height)


@dataclass(frozen=True)
class Drawn:
    """One draw of a trial.

    Attributes
    ----------
    names : (t + r) set and number of each image tested, then of the reference
    labels : (t,) which of the trial's generators made an image; their number for photographs
    generators : their number
    """

    names: list[ImageName]
    labels: NDArray[np.intp]
    generators: int

    @property
    def tested(self) -> int:
        """Number of images tested."""
        return len(self.labels)

    @property
    def generated(self) -> NDArray[np.bool_]:
        """Which of the images tested are generated: (t,)."""
        return self.labels < self.generators


def draw(trial: Trial, number: int, seed: int, sizes: Mapping[str, int]) -> Drawn:
    """Draw the images of a trial; the same number draws the same, from a set in the same order.

    Parameters
    ----------
    sizes : images of each set, 0 where there are as many as are asked for
    """
    orders = {}
    for name, needed in _needed(trial).items():
        # A stream a set: trials with the same photographs share most of the work.
        rng = np.random.default_rng([seed, number, crc32(name.encode())])
        order = rng.permutation(sizes[name]) if sizes[name] else number * needed + np.arange(needed)
        orders[name] = iter(order.tolist())

    def taken(counts: Mapping[str, int]) -> list[list[ImageName]]:
        return [
            [(name, next(orders[name])) for _ in range(count)] for name, count in counts.items()
        ]

    generated = taken(trial.generated)
    photographs = list(chain(*taken(trial.photographs)))
    reference = list(chain(*taken(trial.reference)))
    of_makers = [*generated, photographs]
    labels = np.repeat(np.arange(len(of_makers)), [len(images) for images in of_makers])
    return Drawn([*chain(*of_makers), *reference], labels, len(generated))


@dataclass(frozen=True)
class ImageMaker:
    """Makes the images of an experiment under one condition.

    Attributes
    ----------
    sets : of the experiment
    files : from `find_files`
    condition : that images go through
    seed : of noise and qualities
    patterns : that the attack needs, by set
    """

    sets: Mapping[str, SetDefinition]
    files: SetFiles
    condition: Condition
    seed: int
    patterns: Mapping[str, NDArray[np.float32]]

    def pixels(self, name: str, number: int, processed: bool) -> Pixels:
        """Make one image: (side, side, 3) uint8, RGB, or as large as it is.

        Parameters
        ----------
        processed : whether it goes through the attack
        """
        pixels = self.attacked(name, number) if processed else self.original(name, number)
        if self.condition.files == "saved again":
            rng = self.draws(_QUALITY, name, number)
            pixels = attack("jpeg", int(rng.choice(QUALITIES)), pixels, rng)
        return pixels

    def attacked(self, name: str, number: int) -> Pixels:
        """Put one image through the attack, where there is one: (side, side, 3) uint8, RGB."""
        condition = self.condition
        if condition.attack is None or condition.strength is None:
            return self.original(name, number)
        if condition.side is None or condition.side > KEPT_SIDE:
            return self.attacked_anew(name, number)
        origin = str(self.files[name][number]) if self.files[name] else self.sets[name]
        key = condition.attack, condition.strength, condition.side, self.seed, origin
        return _kept_attacked(_AttackedImage(key, name, number, self))

    def attacked_anew(self, name: str, number: int) -> Pixels:
        """Put one image through the attack that there is: (side, side, 3) uint8, RGB."""
        assert self.condition.attack is not None and self.condition.strength is not None
        return attack(
            self.condition.attack,
            self.condition.strength,
            self.original(name, number),
            self.draws(_ATTACK, name, number),
            self.patterns.get(name),
        )

    def original(self, name: str, number: int) -> Pixels:
        """Read or simulate one image, cut to the side: (side, side, 3) uint8, RGB."""
        if self.sets[name].simulate is not None:
            return self._simulated(self.sets[name], number)
        side = self.condition.side
        file = self.files[name][number]
        pixels = decode(file.read_bytes(), MAX_PIXELS, MAX_BYTES).pixels
        if pixels is None:
            raise NoiseScopeError(f"{file}: cannot be decoded, take it out of the set")
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[:, :, None], 3, 2)
        if side is None:
            return pixels
        top, left = ((length - side) // 2 for length in pixels.shape[:2])
        return np.ascontiguousarray(pixels[top : top + side, left : left + side])

    def _simulated(self, definition: SetDefinition, number: int) -> Pixels:
        side = self.condition.side
        assert side is not None
        world = World(
            definition.seed, CAMERAS, 1, side, side, definition.upsampling, definition.fixed_noise
        )
        kind: Kind = "generated" if definition.simulate == "generated" else "photograph"
        stored = np.frombuffer(_kept_simulated(world, kind, number), np.uint8)
        return np.asarray(cv2.imdecode(stored, cv2.IMREAD_COLOR_RGB), np.uint8)

    def draws(self, stream: int, name: str, number: int) -> np.random.Generator:
        """Draw for one image independently of all others, and of other streams."""
        return np.random.default_rng([self.seed, stream, crc32(name.encode()), number])


def image_maker(experiment: Experiment, files: SetFiles, condition: Condition) -> ImageMaker:
    """Ready the images of an experiment under one condition.

    The generator's fingerprint that an attacker takes off is estimated from the set's own images,
    tested ones too: the worst case.
    """
    plain = ImageMaker(experiment.sets, files, condition, experiment.seed, {})
    kind = ATTACKS[condition.attack].pattern if condition.attack else None
    patterns = {}
    for name in {name for trial in experiment.trials.values() for name in trial.generated}:
        if kind == "camera":
            assert condition.side is not None
            rng = plain.draws(_CAMERA, "", 0)
            patterns[name] = camera_pattern(rng, condition.side, condition.side)
        elif kind == "generator":
            count = min(len(files[name]) or MOST, MOST)
            images = (plain.original(name, number) for number in range(count))
            patterns[name] = estimated_fingerprint(images)
    return replace(plain, patterns=patterns)


@dataclass(frozen=True)
class _AttackedImage:
    """An attacked image by what it depends on, and who can make it."""

    key: tuple[Any, ...]
    name: str
    number: int
    maker: ImageMaker = field(compare=False)


@lru_cache(maxsize=KEPT_ATTACKED)
def _kept_attacked(image: _AttackedImage) -> Pixels:
    return image.maker.attacked_anew(image.name, image.number)


@lru_cache(maxsize=KEPT)
def _kept_simulated(world: World, kind: Kind, number: int) -> bytes:
    with _SIMULATING:
        return jpeg_file(*simulated_image(world, kind, number))


@dataclass(frozen=True)
class Pictures:
    """All images that some draws need, each made once, whatever the number of draws it is in.

    Attributes
    ----------
    maker : of the images
    threads : at work on them
    wanted : set, number, and whether it goes through the attack, in the order of their rows
    """

    maker: ImageMaker
    threads: int
    wanted: list[tuple[str, int, bool]]

    @property
    def side(self) -> int | None:
        """Pixels; None for native sizes."""
        return self.maker.condition.side

    def each(self, work: Callable[[Pixels], T]) -> list[T]:
        """Make every image, (side, side, 3) uint8, and work on it; results by row."""
        return self.of(range(len(self.wanted)), work)

    def of(self, rows: Iterable[int], work: Callable[[Pixels], T]) -> list[T]:
        """Make some images and work on them."""
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            with ThreadPoolExecutor(self.threads) as pool:
                return list(pool.map(partial(self._worked, work), rows))
        finally:
            cv2.setNumThreads(before)

    def _worked(self, work: Callable[[Pixels], T], row: int) -> T:
        return work(self.maker.pixels(*self.wanted[row]))

    @cached_property
    def _row_of(self) -> dict[tuple[str, int, bool], int]:
        return {image: row for row, image in enumerate(self.wanted)}

    def rows(self, drawn: Drawn) -> NDArray[np.intp]:
        """Find the rows of a draw's images, those of the reference last: (t + r,)."""
        images = _processed(drawn, self.maker.condition)
        return np.array([self._row_of[image] for image in images])


def pictures(maker: ImageMaker, draws: Iterable[Drawn], threads: int | None = None) -> Pictures:
    """List all images that some draws need under one condition."""
    wanted = {image for drawn in draws for image in _processed(drawn, maker.condition)}
    return Pictures(maker, threads or os.cpu_count() or 1, sorted(wanted))


def _processed(drawn: Drawn, condition: Condition) -> list[tuple[str, int, bool]]:
    """Say of each image of a draw whether it goes through the attack."""
    attacked = condition.attack is not None
    through = np.zeros(len(drawn.names), bool)
    through[: drawn.tested] = attacked & drawn.generated
    through[drawn.tested :] = attacked and condition.defence == "reference"
    return [(*name, bool(goes)) for name, goes in zip(drawn.names, through, strict=True)]
