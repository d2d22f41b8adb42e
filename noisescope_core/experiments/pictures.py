"""Images of an experiment: listed, drawn, and made as their condition says."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
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
from noisescope_core.experiments.definition import Condition, Experiment, ImageSet, Trial
from noisescope_core.images.decode import decode, read_header
from noisescope_core.simulate import Kind, World, jpeg_file, simulated_image

T = TypeVar("T")
Pixels = NDArray[np.uint8]
Files = Mapping[str, Sequence[Path]]
"""Set to its files, none where it is simulated."""

QUALITIES = (80, 85, 90, 95)
HEADER_BYTES = 65_536
MAX_PIXELS, MAX_BYTES = 100_000_000, 200_000_000
MOST = 500
"""Images that an attacker estimates a fingerprint from."""

CAMERAS = 4
"""That took the simulated photographs."""

KEPT = 50_000
"""Simulated images kept for the next batch, as files."""

KEPT_ATTACKED, KEPT_SIDE = 1_000, 512
"""Attacked images kept for the next method and defence, non-local means being slow, and their
largest side in pixels."""

_SIMULATING = Lock()
_ATTACK, _QUALITY, _CAMERA = range(3)
"""Streams of random numbers."""


def listed(experiment: Experiment, data: Path) -> Files:
    """List the folders that an experiment's trials use.

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
    wrong: list[str] = []
    files: dict[str, list[Path]] = {}
    for name, one in experiment.sets.items():
        folder = data / (one.folder or "")
        if one.folder is None:
            files[name] = []
        elif not folder.is_dir():
            wrong.append(f"sets.{name}: {folder} is not a folder, see --data")
        else:
            side = max(_sides(experiment, name), default=0)
            files[name] = [f for f in sorted(folder.iterdir()) if _smaller_side(f) >= max(side, 1)]
    for name, trial in experiment.trials.items():
        for of, needed in _needed(trial).items():
            one, there = experiment.sets[of], len(files.get(of, []))
            if one.folder is not None and of in files and there < needed:
                side = max(_sides(experiment, of))
                wrong.append(
                    f"trials.{name}: needs {needed} images of {of}, of {side} x {side} at least; "
                    f"{data / one.folder} has {there}"
                )
    if wrong:
        raise UsageError("\n  ".join(["experiment:", *wrong] if wrong[1:] else wrong))
    return files


def _sides(experiment: Experiment, name: str) -> list[int]:
    return [t.side or experiment.side for t in experiment.trials.values() if name in _needed(t)]


def _needed(trial: Trial) -> dict[str, int]:
    parts = (trial.generated, trial.photographs, trial.reference)
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: sum(part.get(name, 0) for part in parts) for name in names}


def _smaller_side(file: Path) -> int:
    with file.open("rb") as stream:
        header, _ = read_header(stream.read(HEADER_BYTES), MAX_PIXELS, MAX_BYTES)
    return 0 if header.reason else min(header.width, header.height)


@dataclass(frozen=True)
class Drawn:
    """One draw of a trial.

    Attributes
    ----------
    names : (t + r) set and number of each image tested, then of the reference
    labels : (t,) which of the trial's generators made an image; their number for photographs
    makers : number of generators
    """

    names: list[tuple[str, int]]
    labels: NDArray[np.intp]
    makers: int

    @property
    def tested(self) -> int:
        """Number of images tested."""
        return len(self.labels)


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

    def taken(part: Mapping[str, int]) -> list[list[tuple[str, int]]]:
        return [[(name, next(orders[name])) for _ in range(count)] for name, count in part.items()]

    fakes = taken(trial.generated)
    photographs = [one for some in taken(trial.photographs) for one in some]
    reference = [one for some in taken(trial.reference) for one in some]
    labels = np.repeat(np.arange(len(fakes) + 1), [len(some) for some in (*fakes, photographs)])
    tested = [one for some in (*fakes, photographs) for one in some]
    return Drawn([*tested, *reference], labels, len(fakes))


@dataclass(frozen=True)
class Source:
    """Makes the images of an experiment under one condition.

    Attributes
    ----------
    sets, files : of the experiment, as `listed`
    condition : that images go through
    seed : of noise and qualities
    patterns : that the attack needs, by set
    """

    sets: Mapping[str, ImageSet]
    files: Files
    condition: Condition
    seed: int
    patterns: Mapping[str, NDArray[np.float32]]

    def pixels(self, name: str, number: int, processed: bool) -> Pixels:
        """Make one image: (side, side, 3) uint8, RGB.

        Parameters
        ----------
        processed : whether it goes through the attack
        """
        pixels = self.attacked(name, number) if processed else self.found(name, number)
        if self.condition.files == "saved again":
            rng = self._rng(_QUALITY, name, number)
            pixels = attack("jpeg", int(rng.choice(QUALITIES)), pixels, rng)
        return pixels

    def attacked(self, name: str, number: int) -> Pixels:
        """Put one image through the attack, where there is one: (side, side, 3) uint8, RGB."""
        condition = self.condition
        if condition.attack is None or condition.strength is None:
            return self.found(name, number)
        if condition.side > KEPT_SIDE:
            return self.made(name, number)
        file = str(self.files[name][number]) if self.files[name] else self.sets[name]
        key = condition.attack, condition.strength, condition.side, self.seed, file, name, number
        return _attacked(_Asked(key, self))

    def made(self, name: str, number: int) -> Pixels:
        """Put one image through the attack that there is: (side, side, 3) uint8, RGB."""
        assert self.condition.attack is not None and self.condition.strength is not None
        return attack(
            self.condition.attack,
            self.condition.strength,
            self.found(name, number),
            self._rng(_ATTACK, name, number),
            self.patterns.get(name),
        )

    def found(self, name: str, number: int) -> Pixels:
        """Read or simulate one image, cut to the side: (side, side, 3) uint8, RGB."""
        one, side = self.sets[name], self.condition.side
        if one.simulate is not None:
            world = World(one.seed, CAMERAS, 1, side, side, one.upsampling, one.fixed_noise)
            stored = np.frombuffer(_simulated(world, one.simulate == "generated", number), np.uint8)
            return np.asarray(cv2.imdecode(stored, cv2.IMREAD_COLOR_RGB), np.uint8)
        file = self.files[name][number]
        pixels = decode(file.read_bytes(), MAX_PIXELS, MAX_BYTES).pixels
        if pixels is None:
            raise NoiseScopeError(f"{file}: cannot be decoded, take it out of the set")
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[:, :, None], 3, 2)
        top, left = ((length - side) // 2 for length in pixels.shape[:2])
        return np.ascontiguousarray(pixels[top : top + side, left : left + side])

    def _rng(self, stream: int, name: str, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream, crc32(name.encode()), number])


def open_source(experiment: Experiment, files: Files, condition: Condition) -> Source:
    """Ready the images of an experiment under one condition.

    The generator's fingerprint that an attacker takes off is estimated from the set's own images,
    tested ones too: the worst case.
    """
    plain = Source(experiment.sets, files, condition, experiment.seed, {})
    kind = ATTACKS[condition.attack].pattern if condition.attack else None
    patterns = {}
    for name in {name for trial in experiment.trials.values() for name in trial.generated}:
        if kind == "camera":
            rng = plain._rng(_CAMERA, "", 0)
            patterns[name] = camera_pattern(rng, condition.side, condition.side)
        elif kind == "generator":
            count = min(len(files[name]) or MOST, MOST)
            images = (plain.found(name, number) for number in range(count))
            patterns[name] = estimated_fingerprint(images)
    return replace(plain, patterns=patterns)


@dataclass(frozen=True)
class _Asked:
    """An attacked image by what it depends on, and who can make it."""

    key: tuple[Any, ...]
    source: Source = field(compare=False)


@lru_cache(maxsize=KEPT_ATTACKED)
def _attacked(asked: _Asked) -> Pixels:
    name, number = asked.key[-2:]
    return asked.source.made(name, number)


@lru_cache(maxsize=KEPT)
def _simulated(world: World, generated: bool, number: int) -> bytes:
    # It bounds the threads of the whole process: one at a time.
    with _SIMULATING:
        kind: Kind = "generated" if generated else "photograph"
        return jpeg_file(*simulated_image(world, kind, number))


@dataclass(frozen=True)
class Pictures:
    """All images that some draws need, each made once, whatever the number of draws it is in.

    Attributes
    ----------
    source : of the images
    threads : at work on them
    wanted : set, number, and whether it goes through the attack, in the order of their rows
    """

    source: Source
    threads: int
    wanted: list[tuple[str, int, bool]]

    @property
    def side(self) -> int:
        """Pixels."""
        return self.source.condition.side

    def each(self, work: Callable[[Pixels], T]) -> list[T]:
        """Make every image, (side, side, 3) uint8, and work on it; results by row."""
        return self.of(range(len(self.wanted)), work)

    def of(self, rows: Iterable[int], work: Callable[[Pixels], T]) -> list[T]:
        """Make some images and work on them."""
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            with ThreadPoolExecutor(self.threads) as pool:
                return list(pool.map(partial(self._one, work), rows))
        finally:
            cv2.setNumThreads(before)

    def _one(self, work: Callable[[Pixels], T], row: int) -> T:
        return work(self.source.pixels(*self.wanted[row]))

    @cached_property
    def _row_of(self) -> dict[tuple[str, int, bool], int]:
        return {one: row for row, one in enumerate(self.wanted)}

    def rows(self, drawn: Drawn) -> NDArray[np.intp]:
        """Find the rows of a draw's images, those of the reference last: (t + r,)."""
        return np.array([self._row_of[one] for one in _processed(drawn, self.source.condition)])


def pictures(source: Source, draws: Iterable[Drawn], threads: int | None = None) -> Pictures:
    """List all images that some draws need under one condition."""
    wanted = {one for drawn in draws for one in _processed(drawn, source.condition)}
    return Pictures(source, threads or os.cpu_count() or 1, sorted(wanted))


def _processed(drawn: Drawn, condition: Condition) -> list[tuple[str, int, bool]]:
    """Say of each image of a draw whether it goes through the attack."""
    attacked = condition.attack is not None
    makers = np.flatnonzero(drawn.labels < drawn.makers)
    through = np.zeros(len(drawn.names), bool)
    through[makers] = attacked
    through[drawn.tested :] = attacked and condition.defence == "reference"
    return [(*name, bool(one)) for name, one in zip(drawn.names, through, strict=True)]
