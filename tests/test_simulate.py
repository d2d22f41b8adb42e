"""The simulated dump: reproducible, complete, and with a fingerprint only where there is one."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from noisescope_core.correlation import pce
from noisescope_core.residual import noise_residual
from noisescope_core.simulate import (
    build_camera,
    build_generator,
    generate,
    photograph,
    scene,
    write_dump,
)

SIDE = 128


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def labels(out: Path) -> list[dict[str, str]]:
    with (out / "labels.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def generated(generator_seed: int, first: int, count: int) -> NDArray[np.float32]:
    generator = build_generator(np.random.default_rng(generator_seed), SIDE, SIDE)
    streams = [np.random.default_rng([50, i]) for i in range(first, first + count)]
    return np.stack(
        [noise_residual(generate(generator, rng, scene(rng, SIDE, SIDE))) for rng in streams]
    )


def to_others(residuals: NDArray[np.float32]) -> float:
    """Mean PCE of each residual with the average of the others."""
    total, n = residuals.sum(0), len(residuals)
    return float(np.mean([pce(r, (total - r) / (n - 1)) for r in residuals]))


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dump")
    counts = write_dump(
        out, photographs=9, generated=8, reference=5, generators=2, size=(96, 64), workers=1
    )
    assert counts == {
        "photographs": 9,
        "generated": 8,
        "reference": 5,
        "extra": 4,
        "broken": 4,
        "images": 25,
    }
    return out


def test_workers_do_not_matter(dump: Path, tmp_path: Path) -> None:
    # 22 images are more than one chunk, so that the second process gets some.
    write_dump(
        tmp_path,
        photographs=9,
        generated=8,
        reference=5,
        generators=2,
        size=(96, 64),
        workers=2,
    )
    assert contents(tmp_path) == contents(dump)


def test_seed_matters(dump: Path, tmp_path: Path) -> None:
    write_dump(tmp_path, photographs=2, generated=2, reference=2, size=(96, 64), seed=1, workers=1)
    assert not set(contents(tmp_path / "reference").values()) & set(
        contents(dump / "reference").values()
    )


def test_larger_dump_contains_smaller(dump: Path, tmp_path: Path) -> None:
    write_dump(
        tmp_path,
        photographs=3,
        generated=4,
        reference=2,
        generators=2,
        size=(96, 64),
        broken=False,
        workers=1,
    )
    small = {k: v for k, v in contents(tmp_path).items() if k != "labels.csv"}
    assert len(small) == 9
    assert small.items() <= contents(dump).items()
    assert {tuple(r.values()) for r in labels(tmp_path)} <= {
        tuple(r.values()) for r in labels(dump)
    }


def test_one_label_per_file(dump: Path) -> None:
    rows = labels(dump)
    assert sorted(r["path"] for r in rows) == sorted(f.name for f in (dump / "images").iterdir())
    sources = {(r["label"], r["source"]) for r in rows}
    assert {s for kind, s in sources if kind == "fake"} == {"generator-1", "generator-2"}
    assert {s for kind, s in sources if kind == "real"} == {f"camera-{k}" for k in range(1, 5)}
    assert {s for kind, s in sources if kind == "broken"} == {
        "empty",
        "truncated",
        "text",
        "oversized",
    }


def test_names_tell_nothing(dump: Path) -> None:
    plain = [r for r in labels(dump) if r["path"].startswith("img_") and r["label"] != "broken"]
    kinds = "".join(r["label"][0] for r in sorted(plain, key=lambda r: r["path"]))
    assert "rf" in kinds
    assert "fr" in kinds
    assert len({len(Path(r["path"]).stem) for r in plain}) == 1


def test_readable_files_decode_to_size(dump: Path) -> None:
    other_size = []
    readable = [dump / "images" / r["path"] for r in labels(dump) if r["label"] != "broken"]
    for file in [*readable, *(dump / "reference").iterdir()]:
        image = cv2.imread(str(file))
        assert image is not None, file.name
        if image.shape != (64, 96, 3):
            other_size.append(image.shape)
    assert other_size == [(64, 72, 3)]


def test_broken_files(dump: Path) -> None:
    broken = {
        r["source"]: dump / "images" / r["path"] for r in labels(dump) if r["label"] == "broken"
    }
    assert broken["empty"].stat().st_size == 0
    assert broken["truncated"].read_bytes()[-2:] != b"\xff\xd9"
    assert cv2.imdecode(np.frombuffer(broken["text"].read_bytes(), np.uint8), 1) is None
    bomb = broken["oversized"].read_bytes()
    assert int.from_bytes(bomb[16:20]) == int.from_bytes(bomb[20:24]) == 30_000
    assert len(bomb) < 1_000_000


def test_unusual_files(dump: Path) -> None:
    files = contents(dump / "images")
    assert len(files) - len(set(files.values())) == 1, "one exact copy"
    assert sum(name.endswith(".gif") for name in files) == 1
    assert sum("<script>" in name and not name.isascii() for name in files) == 1


def test_a_generator_leaves_a_fingerprint_and_a_camera_does_not() -> None:
    camera = build_camera(np.random.default_rng(1), SIDE, SIDE)
    photographs = np.stack(
        [
            noise_residual(photograph(camera, np.random.default_rng([60, i]), SIDE, SIDE))
            for i in range(24)
        ]
    )
    assert to_others(generated(0, 0, 24)) > 10
    assert abs(to_others(photographs)) < 4


def test_generators_differ() -> None:
    first, second = generated(0, 0, 24).mean(0), generated(1, 24, 24).mean(0)
    again = generated(0, 24, 24).mean(0)
    assert pce(first, again) > 30
    assert abs(pce(first, second)) < 0.2 * pce(first, again)


def test_scenes_are_in_range_and_differ() -> None:
    a, b = (scene(np.random.default_rng(k), 70, 90) for k in range(2))
    assert a.shape == (70, 90, 3)
    assert a.dtype == np.float32
    assert a.min() >= 0
    assert a.max() <= 1
    assert not np.array_equal(a, b)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 63}, "at least 64x64"),
        ({"size": (256, 8)}, "at least 64x64"),
        ({"photographs": -1}, "photographs must be 0 to"),
        ({"generated": -1}, "generated must be 0 to"),
        ({"reference": -1}, "reference must be 0 to"),
        ({"cameras": 0}, "at least 1"),
        ({"generators": 0}, "at least 1"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"seed": -1}, "seed must not be negative"),
    ],
)
def test_impossible_arguments(tmp_path: Path, wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_dump(tmp_path / "new", **wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_refuses_a_folder_in_use(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="remove it or name another"):
        write_dump(tmp_path, photographs=1, generated=0, reference=0)
    assert contents(tmp_path) == {"mine.txt": b"keep"}


def test_progress_counts_every_image(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_dump(
        tmp_path,
        photographs=1,
        generated=1,
        reference=1,
        size=64,
        broken=False,
        workers=1,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
