"""Writes a labelled dump of photographs and generated images, as `noisescope` reads it."""

from __future__ import annotations

import csv
import multiprocessing
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from noisescope_core.simulate.any_size import AnySizeWorld
from noisescope_core.simulate.generator import Upsampling
from noisescope_core.simulate.world import Kind, World, draws, simulated_image, source_of

_NAME_STREAM = 12
"""Key of the draw of names; `world` draws by 0 to 11."""

_NAMES = 1_000_000
"""File names that there are: those of six digits."""

_EXTRA_NAMES = 16
"""Of these kept for unusual files; chosen: more than there are kinds of them."""

_MOST = (_NAMES - _EXTRA_NAMES) // 2
"""Photographs, or generated images: each kind has every other of the names that are left."""

_CHUNK = 16
"""Images that a process is handed at once; chosen: few enough to share small dumps out evenly."""

_BOMB_SIDE = 30_000
"""Pixels a side of the image that is refused for its size: 900 million pixels, far above what
``decode.max_pixels`` is by default."""


@dataclass(frozen=True)
class Dump:
    """What a simulated dump holds.

    Attributes
    ----------
    photographs, generated, reference : int
        Numbers of images.
    generators, cameras : int
        Numbers of sources; images are dealt out to them in turn.
    size : int, tuple of int or "any"
        Side of a square, or (width, height), in pixels; at least 64. ``"any"``: few images share a
        size, see `AnySizeWorld`.
    broken : bool
        Whether there are files that cannot be decoded, and files that are merely unusual.
    seed : int
        Not negative.
    upsampling : {"transposed", "nearest", "bilinear"}
        How the generators enlarge their layers, see `build_generator`; those of images of any size
        are transposed.

    Raises
    ------
    ValueError
        One of them makes no sense.
    """

    photographs: int = 200
    generated: int = 120
    reference: int = 400
    generators: int = 1
    cameras: int = 4
    size: int | tuple[int, int] | Literal["any"] = 256
    broken: bool = True
    seed: int = 0
    upsampling: Upsampling = "transposed"

    def __post_init__(self) -> None:
        """Refuse what cannot be written."""
        _ = self.world
        for what in ("photographs", "generated", "reference"):
            count = getattr(self, what)
            if not 0 <= count <= _MOST:
                raise ValueError(f"{what} must be 0 to {_MOST}, not {count}")

    @property
    def world(self) -> World | AnySizeWorld:
        """Where its images come from."""
        if self.size == "any":
            if self.upsampling != "transposed":
                raise ValueError(f"upsampling {self.upsampling!r} is for images of one size")
            return AnySizeWorld(self.seed, self.cameras, self.generators)
        width, height = (self.size, self.size) if isinstance(self.size, int) else self.size
        return World(self.seed, self.cameras, self.generators, width, height, self.upsampling)


@dataclass(frozen=True)
class _Task:
    """An image to be written to a file."""

    kind: Kind
    index: int
    file: Path


class _Label(NamedTuple):
    """A row of labels.csv: name of a file, what it is, and where it comes from."""

    path: str
    label: Literal["real", "fake", "broken"]
    source: str


def write_dump(
    out: Path,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    **contents: Any,
) -> dict[str, int]:
    """Write a simulated dump.

    ``out/images`` holds photographs and generated images under names that say nothing,
    ``out/reference`` other photographs from the same cameras (of any size: from others, too),
    ``out/labels.csv`` one row per file in ``out/images``: its path there, its label (``real``,
    ``fake``, ``broken``) and its source. One JPEG encoder writes all images, at a quality drawn
    from 85 to 95.

    An image and its name depend on nothing but the seed, its kind, its number and what describes
    the world (`size`, `cameras`, `generators`, `upsampling`): a larger dump contains the smaller.

    Parameters
    ----------
    out : Path
        Folder to write to; made if missing, must be empty.
    workers : int, optional
        Processes; all processors by default, 1 stays in this process.
    progress : callable, optional
        Called with the number of images done and their total.
    **contents
        What the dump holds, by the names of `Dump`: ``photographs=200``, ``generated=120``,
        ``reference=400``, ``generators=1``, ``cameras=4``, ``size=256`` (``"any"``: few images
        share one), ``broken=True``, ``seed=0``, ``upsampling="transposed"``.

    Returns
    -------
    dict of str to int
        ``photographs``, ``generated``, ``reference``, ``extra`` (unusual but readable photographs),
        ``broken`` and ``images``, the number of files in ``out/images``.

    Raises
    ------
    ValueError
        An argument makes no sense.
    FileExistsError
        `out` exists and is not an empty folder.
    """
    dump = Dump(**contents)
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    images, reference = _made_folders(Path(out))
    tested, others = _tested_tasks(dump, images), _reference_tasks(dump, reference)
    _write_all(dump.world, [*tested, *others], workers or os.cpu_count() or 1, progress)
    original = tested[0] if dump.photographs else None
    unusual = _write_unusual(dump.world, images, original) if dump.broken else []
    labels = [*(_label(dump.world, task) for task in tested), *unusual]
    _write_labels(Path(out, "labels.csv"), labels)
    return _counts(dump, labels, unusual)


def _counts(dump: Dump, labels: list[_Label], unusual: list[_Label]) -> dict[str, int]:
    broken = sum(row.label == "broken" for row in unusual)
    return {
        "photographs": dump.photographs,
        "generated": dump.generated,
        "reference": dump.reference,
        "extra": len(unusual) - broken,
        "broken": broken,
        "images": len(labels),
    }


def _made_folders(out: Path) -> tuple[Path, Path]:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is not an empty folder: remove it or name another")
    images, reference = out / "images", out / "reference"
    images.mkdir(parents=True)
    reference.mkdir()
    return images, reference


def _tested_tasks(dump: Dump, folder: Path) -> list[_Task]:
    """List photographs, then generated images."""
    name = _names(dump.seed)
    return [
        *(_Task("photograph", i, folder / name(2 * i)) for i in range(dump.photographs)),
        *(_Task("generated", i, folder / name(2 * i + 1)) for i in range(dump.generated)),
    ]


def _reference_tasks(dump: Dump, folder: Path) -> list[_Task]:
    return [_Task("reference", i, folder / f"ref_{i:06d}.jpg") for i in range(dump.reference)]


def _label(world: World | AnySizeWorld, task: _Task) -> _Label:
    label: Literal["fake", "real"] = "fake" if task.kind == "generated" else "real"
    return _Label(task.file.name, label, _source(world, task.kind, task.index))


def _write_labels(file: Path, labels: list[_Label]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_Label._fields)
        writer.writerows(sorted(labels))


def _names(seed: int) -> Callable[[int], str]:
    """Give each number a file name of its own, in shuffled order."""
    order = draws(seed, _NAME_STREAM).permutation(_NAMES)
    return lambda number: f"img_{order[number]:06d}.jpg"


def jpeg_file(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """Compress an image, (H, W, 3) uint8 RGB, as `write_dump` does: JPEG 4:2:0."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    ]
    return cv2.imencode(".jpg", pixels[..., ::-1], options)[1].tobytes()


def _write_all(
    world: World | AnySizeWorld,
    tasks: list[_Task],
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    for done, _ in enumerate(_written(world, tasks, workers), 1):
        if progress is not None:
            progress(done, len(tasks))


def _written(world: World | AnySizeWorld, tasks: list[_Task], workers: int) -> Iterator[None]:
    """Write images, as many processes at work as are worth starting; yield after each."""
    write = partial(_write, world)
    workers = min(workers, -(-len(tasks) // _CHUNK))
    if workers <= 1:
        yield from map(write, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(write, tasks, chunksize=_CHUNK)


def _write(world: World | AnySizeWorld, task: _Task) -> None:
    task.file.write_bytes(_file_of(world, task.kind, task.index))


def _file_of(world: World | AnySizeWorld, kind: Kind, index: int) -> bytes:
    return jpeg_file(*_image(world, kind, index))


def _image(world: World | AnySizeWorld, kind: Kind, index: int) -> tuple[NDArray[np.uint8], int]:
    """Make an image, (H, W, 3) uint8 RGB, and its JPEG quality."""
    if isinstance(world, AnySizeWorld):
        return world.image(kind, index)
    return simulated_image(world, kind, index)


def _source(world: World | AnySizeWorld, kind: Kind, index: int) -> str:
    if isinstance(world, AnySizeWorld):
        return world.source(kind, index)
    return source_of(world, kind, index)


def _write_unusual(
    world: World | AnySizeWorld, folder: Path, original: _Task | None
) -> list[_Label]:
    """Write the files that go wrong, and those that only look as if; return their labels.

    Parameters
    ----------
    original : photograph of which there will be an exact copy, if any
    """
    name = _names(world.seed)
    stems = iter([Path(name(number)).stem for number in range(_NAMES - _EXTRA_NAMES, _NAMES)])
    files: dict[_Label, bytes] = {}

    def add(content: bytes, source: str, ending: str = ".jpg", broken: bool = False) -> None:
        files[_Label(next(stems) + ending, "broken" if broken else "real", source)] = content

    whole = _file_of(world, "extra", 0)
    add(b"", "empty", broken=True)
    add(whole[: len(whole) * 2 // 5], "truncated", broken=True)
    add(b"This is a note, not a picture.\n", "text", ".png", broken=True)
    add(_bomb_png(_BOMB_SIDE), "oversized", ".png", broken=True)
    add(_animation(world), _source(world, "extra", 1), ".gif")
    add(_narrower(world), _source(world, "extra", 3))
    if original is not None:
        source = _source(world, original.kind, original.index)
        add(original.file.read_bytes(), source)
    hostile = _Label(
        'it\'s a "größe" <script>alert(1)<script> 写真.jpg', "real", _source(world, "extra", 4)
    )
    files[hostile] = _file_of(world, "extra", 4)
    for label, content in files.items():
        (folder / label.path).write_bytes(content)
    return list(files)


def _animation(world: World | AnySizeWorld) -> bytes:
    """Make a GIF of two photographs."""
    first, second = (Image.fromarray(_image(world, "extra", i)[0]) for i in (1, 2))
    stream = BytesIO()
    first.save(stream, "GIF", save_all=True, append_images=[second], duration=200, loop=0)
    return stream.getvalue()


def _narrower(world: World | AnySizeWorld) -> bytes:
    """Make a photograph that is narrower by a quarter than it was."""
    pixels, quality = _image(world, "extra", 3)
    size = (pixels.shape[1] * 3 // 4, pixels.shape[0])
    resized = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return jpeg_file(np.asarray(resized, np.uint8), quality)


def _bomb_png(side: int) -> bytes:
    """Make a valid black-and-white PNG of side x side pixels a thousand times smaller on disk."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    data = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])

    def chunk(tag: bytes, content: bytes) -> bytes:
        check = zlib.crc32(tag + content)
        return struct.pack(">I", len(content)) + tag + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
