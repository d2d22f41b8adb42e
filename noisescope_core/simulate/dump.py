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
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from noisescope_core.simulate.generator import Upsampling
from noisescope_core.simulate.world import Kind, World, draws, simulated_image, source_of

# World draws by 0 to 11.
_NAME_STREAM = 12
_NAMES = 1_000_000
_EXTRA_NAMES = 16
_MOST = (_NAMES - _EXTRA_NAMES) // 2
_CHUNK = 16
_BOMB_SIDE = 30_000


@dataclass(frozen=True)
class _Task:
    kind: Kind
    index: int
    file: Path


def write_dump(
    out: Path,
    *,
    photographs: int = 200,
    generated: int = 120,
    reference: int = 400,
    generators: int = 1,
    cameras: int = 4,
    size: int | tuple[int, int] = 256,
    broken: bool = True,
    seed: int = 0,
    upsampling: Upsampling = "transposed",
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Write a simulated dump.

    ``out/images`` holds photographs and generated images under names that say nothing,
    ``out/reference`` other photographs from the same cameras, ``out/labels.csv`` one row per file
    in ``out/images``: its path there, its label (``real``, ``fake``, ``broken``) and its source.
    All images are encoded by the same JPEG encoder at a quality drawn from 85 to 95.

    An image and its name depend on nothing but the seed, its kind, its number and the arguments
    that describe the world (`size`, `cameras`, `generators`, `upsampling`): a larger dump contains
    the smaller.

    Parameters
    ----------
    out : Path
        Folder to write to; made if missing, must be empty.
    photographs, generated, reference : int
        Numbers of images.
    generators, cameras : int
        Numbers of sources; images are dealt out to them in turn.
    size : int or tuple of int
        Side of a square, or (width, height), in pixels; at least 64.
    broken : bool
        Add files that cannot be decoded and files that are merely unusual.
    seed : int
        Not negative.
    upsampling : {"transposed", "nearest", "bilinear"}
        How the generators enlarge their layers, see `build_generator`.
    workers : int, optional
        Processes; all processors by default, 1 stays in this process.
    progress : callable, optional
        Called with the number of images done and their total.

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
    width, height = (size, size) if isinstance(size, int) else size
    world = World(seed, cameras, generators, width, height, upsampling)
    _check(photographs, generated, reference, workers)
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is not an empty folder: remove it or name another")
    images, other = out / "images", out / "reference"
    images.mkdir(parents=True)
    other.mkdir()

    name = _names(seed)
    tasks = [_Task("photograph", i, images / name(2 * i)) for i in range(photographs)]
    tasks += [_Task("generated", i, images / name(2 * i + 1)) for i in range(generated)]
    rows = [
        (
            task.file.name,
            "fake" if task.kind == "generated" else "real",
            source_of(world, task.kind, task.index),
        )
        for task in tasks
    ]
    tasks += [_Task("reference", i, other / f"ref_{i:06d}.jpg") for i in range(reference)]
    count = workers or os.cpu_count() or 1
    for done, _ in enumerate(_run(world, tasks, count), 1):
        if progress is not None:
            progress(done, len(tasks))
    unusual: list[tuple[str, str, str]] = []
    if broken:
        unusual = _write_unusual(world, images, name, tasks[0] if photographs else None)
    rows += unusual
    with (out / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("path", "label", "source"))
        writer.writerows(sorted(rows))
    undecodable = sum(label == "broken" for _, label, _ in unusual)
    return {
        "photographs": photographs,
        "generated": generated,
        "reference": reference,
        "extra": len(unusual) - undecodable,
        "broken": undecodable,
        "images": len(rows),
    }


def _check(photographs: int, generated: int, reference: int, workers: int | None) -> None:
    for what, count in (
        ("photographs", photographs),
        ("generated", generated),
        ("reference", reference),
    ):
        if not 0 <= count <= _MOST:
            raise ValueError(f"{what} must be 0 to {_MOST}, not {count}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")


def _names(seed: int) -> Callable[[int], str]:
    """One-to-one from number to shuffled file name."""
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


def _write(job: tuple[World, _Task]) -> None:
    world, task = job
    task.file.write_bytes(jpeg_file(*simulated_image(world, task.kind, task.index)))


def _run(world: World, tasks: list[_Task], workers: int) -> Iterator[None]:
    jobs = [(world, task) for task in tasks]
    workers = min(workers, -(-len(jobs) // _CHUNK))
    if workers <= 1:
        yield from map(_write, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(_write, jobs, chunksize=_CHUNK)


def _write_unusual(
    world: World, folder: Path, name: Callable[[int], str], original: _Task | None
) -> list[tuple[str, str, str]]:
    """Write the files that go wrong, and those that only look as if; return their labels."""
    numbers = iter(range(_NAMES - _EXTRA_NAMES, _NAMES))
    rows = []

    def add(file: str, content: bytes, label: str, source: str) -> None:
        (folder / file).write_bytes(content)
        rows.append((file, label, source))

    def extra(index: int) -> tuple[bytes, str]:
        return jpeg_file(*simulated_image(world, "extra", index)), source_of(world, "extra", index)

    add(name(next(numbers)), b"", "broken", "empty")
    whole, _ = extra(0)
    add(name(next(numbers)), whole[: len(whole) * 2 // 5], "broken", "truncated")
    note = b"This is a note, not a picture.\n"
    add(name(next(numbers)).replace(".jpg", ".png"), note, "broken", "text")
    bomb = _bomb_png(_BOMB_SIDE)
    add(name(next(numbers)).replace(".jpg", ".png"), bomb, "broken", "oversized")

    frames = [Image.fromarray(simulated_image(world, "extra", i)[0]) for i in (1, 2)]
    gif = folder / name(next(numbers)).replace(".jpg", ".gif")
    frames[0].save(gif, save_all=True, append_images=frames[1:], duration=200, loop=0)
    rows.append((gif.name, "real", source_of(world, "extra", 1)))
    pixels, quality = simulated_image(world, "extra", 3)
    odd = cv2.resize(pixels, (world.width * 3 // 4, world.height), interpolation=cv2.INTER_AREA)
    resized = jpeg_file(np.asarray(odd, np.uint8), quality)
    add(name(next(numbers)), resized, "real", source_of(world, "extra", 3))
    if original is not None:
        copied = original.file.read_bytes()
        source = source_of(world, original.kind, original.index)
        add(name(next(numbers)), copied, "real", source)
    add('it\'s a "größe" <script>alert(1)<script> 写真.jpg', *_labelled(extra(4)))
    return rows


def _labelled(photo: tuple[bytes, str]) -> tuple[bytes, str, str]:
    return photo[0], "real", photo[1]


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
