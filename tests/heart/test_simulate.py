"""The simulated dump: reproducible, complete, and with a fingerprint only where there is one."""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from noisescope_core.correlation.pairs import pce
from noisescope_core.residual import noise_residual
from noisescope_core.simulate import (
    AnySizeWorld,
    Kind,
    Upsampling,
    World,
    build_camera,
    build_decoder,
    build_generator,
    decode_scene,
    generate,
    photograph,
    rescaled,
    rounded_down,
    scene,
    simulated_image,
    source_of,
    write_dump,
)

SIDE = 128
KINDS = get_args(Upsampling)


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


def mean_residual(
    seed: int, upsampling: Upsampling, first: int, constant: bool = True
) -> NDArray[np.float32]:
    """Of 30 small images of a generator, with or without its fixed noise."""
    generator = build_generator(np.random.default_rng(seed), 96, 96, upsampling)
    if not constant:
        generator = replace(generator, constant=np.zeros_like(generator.constant))
    images = [
        generate(generator, np.random.default_rng([70, seed, i]), small_scene(i))
        for i in range(first, first + 30)
    ]
    return np.mean([noise_residual(image) for image in images], 0)


@cache
def small_scene(index: int) -> NDArray[np.float32]:
    return scene(np.random.default_rng([71, index]), 96, 96)


def correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


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


@pytest.mark.parametrize("upsampling", KINDS)
def test_every_upsampling_leaves_its_generators_pattern(upsampling: Upsampling) -> None:
    first, again = (mean_residual(0, upsampling, k) for k in (0, 30))
    other = mean_residual(1, upsampling, 30)
    assert correlation(first, again) > 0.4
    assert abs(correlation(first, other)) < 0.5 * correlation(first, again)


def test_without_fixed_noise_only_some_layers_leave_a_pattern() -> None:
    def left(upsampling: Upsampling) -> float:
        first, again = (mean_residual(0, upsampling, k, constant=False) for k in (0, 30))
        return correlation(first, again)

    assert left("transposed") > 0.3
    assert abs(left("bilinear")) < 0.1


def test_upsamplings_show_the_same_scene_differently() -> None:
    worlds = [World(5, 2, 2, 96, 64, kind) for kind in KINDS]
    shown = [simulated_image(world, "generated", 3)[0].astype(np.float32) for world in worlds]
    for a, b in zip(shown, shown[1:] + shown[:1], strict=True):
        assert not np.array_equal(a, b)
        assert correlation(a, b) > 0.9
    taken = [simulated_image(world, "photograph", 3)[0] for world in worlds]
    assert np.array_equal(taken[0], taken[1])


@pytest.mark.parametrize("upsampling", KINDS)
def test_odd_sizes(upsampling: Upsampling) -> None:
    pixels, quality = simulated_image(World(0, 1, 1, 101, 75, upsampling), "generated", 0)
    assert pixels.shape == (75, 101, 3)
    assert pixels.dtype == np.uint8
    assert 85 <= quality <= 95


def test_an_image_of_a_world_is_the_one_in_the_dump(dump: Path) -> None:
    world = World(0, 4, 2, 96, 64)
    pixels, quality = simulated_image(world, "reference", 4)
    stored = cv2.imread(str(dump / "reference/ref_000004.jpg"))
    assert stored is not None
    assert np.abs(stored[..., ::-1].astype(float) - pixels).mean() < 6
    assert source_of(world, "reference", 4) == "camera-1"
    assert source_of(world, "generated", 3) == "generator-2"
    again = simulated_image(World(0, 4, 2, 96, 64), "reference", 4)
    assert np.array_equal(again[0], pixels) and again[1] == quality


@pytest.mark.parametrize(("kind", "index"), [("painting", 0), ("photograph", -1)])
def test_images_that_no_world_has(kind: Kind, index: int) -> None:
    with pytest.raises(ValueError, match="no image"):
        simulated_image(World(0, 1, 1, 64, 64), kind, index)


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
        ({"size": "any", "upsampling": "nearest"}, "'nearest' is for images of one size"),
        ({"size": "any", "cameras": 0}, "at least 1"),
        ({"size": "any", "seed": -1}, "seed must not be negative"),
        ({"upsampling": "cubic"}, "upsampling must be one of transposed, nearest, bilinear"),
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


def repeated(seed: int, key: int, height: int, width: int) -> NDArray[np.float32]:
    """Mean 8 x 8 tile of the grey noise of 12 images of a decoder."""
    decoder = build_decoder(np.random.default_rng(seed))
    total = np.zeros((8, 8), np.float32)
    for i in range(12):
        rng = np.random.default_rng([80, key, i])
        noise = noise_residual(decode_scene(decoder, rng, scene(rng, height, width)))
        total += noise.reshape(height // 8, 8, width // 8, 8).mean((0, 2))
    return total


def test_a_decoder_leaves_the_same_tile_at_any_size() -> None:
    small, large = repeated(0, 0, 256, 320), repeated(0, 1, 384, 248)
    assert correlation(small, large) > 0.6
    assert abs(correlation(small, repeated(1, 2, 256, 320))) < 0.4


@pytest.mark.parametrize(("top", "left"), [(8, 16), (40, 24)])
def test_a_decoder_knows_no_place(top: int, left: int) -> None:
    decoder = replace(build_decoder(np.random.default_rng(2)), grain=(0.0, 0.0, 0.0))
    whole = scene(np.random.default_rng(3), 160, 184)
    part = np.ascontiguousarray(whole[top : top + 96, left : left + 104])
    shown, alone = (decode_scene(decoder, np.random.default_rng(0), one) for one in (whole, part))
    # Edges are made up as each picture has them.
    inner = (slice(32, -32), slice(32, -32))
    crop = shown[top : top + 96, left : left + 104]
    assert np.abs(crop[inner].astype(int) - alone[inner]).max() <= 1


def test_a_decoder_takes_multiples_of_its_stride() -> None:
    decoder = build_decoder(np.random.default_rng(0))
    with pytest.raises(ValueError, match="multiples of 8, not 68x64"):
        decode_scene(decoder, np.random.default_rng(0), np.zeros((64, 68, 3), np.float32))


def test_rounding_down_leaves_dimples() -> None:
    rng = np.random.default_rng(4)
    pixels = np.asarray(np.clip(rng.normal(128, 4, (122, 251, 3)), 0, 255), np.uint8)
    lost = pixels.astype(float) - rounded_down(pixels, 95)
    tile = lost[:120, :248].mean(2).reshape(15, 8, 31, 8).mean((0, 2))
    assert lost.shape == pixels.shape
    assert np.unravel_index(tile.argmax(), tile.shape) == (0, 0)
    assert tile[0, 0] > 5 * np.abs(tile[1:, 1:]).mean()


def test_an_app_keeps_the_longer_side() -> None:
    upright = np.full((500, 330, 3), 90, np.uint8)
    sent = rescaled(upright, 300)
    assert sent.shape == (300, 198, 3)
    assert (sent == 90).all()


def test_images_of_any_size() -> None:
    world = AnySizeWorld(seed=1, cameras=2, generators=2)
    photographs, generated = (
        [world.image(kind, k) for k in range(8)] for kind in ("photograph", "generated")
    )
    sizes = [pixels.shape[:2] for pixels, _ in (*photographs, *generated)]
    assert len(set(sizes)) == len(sizes)
    for (pixels, quality), k in zip(photographs, range(8), strict=True):
        if world.source("photograph", k) == "app":
            assert (max(pixels.shape), quality) == (480, 85)
    for pixels, _ in generated:
        assert all(side % 8 == 0 and 256 <= side <= 640 for side in pixels.shape[:2])
    again, quality = AnySizeWorld(seed=1, cameras=2, generators=2).image("generated", 3)
    assert np.array_equal(again, generated[3][0]) and quality == generated[3][1]
    other, _ = replace(world, seed=2).image("generated", 3)
    assert other.shape != again.shape or not np.array_equal(other, again)


def test_a_dump_of_any_size(tmp_path: Path) -> None:
    contained = {"photographs": 7, "generated": 4, "reference": 3, "generators": 2, "size": "any"}
    counts = write_dump(tmp_path / "one", **contained, workers=1)  # type: ignore[arg-type]
    write_dump(tmp_path / "two", **contained, workers=2)  # type: ignore[arg-type]
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert counts["images"] == 7 + 4 + counts["extra"] + counts["broken"] == 19
    rows = labels(tmp_path / "one")
    assert {"app", "camera-rounding-down"} <= {row["source"] for row in rows}
    fake = sorted(row["source"] for row in rows if row["label"] == "fake")
    assert fake == ["generator-1"] * 2 + ["generator-2", "generator-2, saved again"]


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
