"""Fixtures: a Spark session for the whole run, a small dump, and the shared development images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import settings

from noisescope_core.config import Config, load_config

SHARED = Path(os.environ.get("NOISESCOPE_SHARED", Path(__file__).parents[2] / "shared"))

# Optimising every JVM's code takes the processors from the tests. As spark.session.jvm has it,
# for servers, executors and spark-submit too.
os.environ.setdefault(
    "JAVA_TOOL_OPTIONS",
    "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:MetaspaceSize=256m",
)

# How long an example takes says more of the machine than of the code.
settings.register_profile("noisy", deadline=None)
settings.load_profile("noisy")

# The paper's counts scaled down, so that a dump of a hundred small images can be decided.
SMALL = (
    "method=paper",
    "calibration.fingerprints=10",
    "calibration.images=4",
    "texture.images=8",
    "texture.neighbours=10",
    "clustering.classify_above=10",
    "clustering.check_above=60",
    "spark.master=local[2]",
    "spark.conf.spark.sql.shuffle.partitions=4",
)

# They start Spark programs of their own; last in line, one process would be left with them.
LONGEST = (
    "registry", "scan", "jobs", "s3", "cli", "connect", "resilience", "detect_whitened", "detect",
    "large_piles", "notebooks", "experiments",
)  # fmt: skip

TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its room, those of other rooms that need Spark too; longest first."""
    for item in items:
        room = item.path.relative_to(TESTS).parts[0]
        item.add_marker(room)
        if "spark" in getattr(item, "fixturenames", ()):
            item.add_marker("spark")
    names = [f"test_{name}.py" for name in LONGEST]
    items.sort(key=lambda i: names.index(i.path.name) if i.path.name in names else len(names))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The development images and the original program's answers."""
    if not (SHARED / "oracle").is_dir():
        pytest.skip(f"the development images are not at {SHARED} (set NOISESCOPE_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def small_config() -> Config:
    return load_config(None, SMALL)


@pytest.fixture(scope="session")
def spark(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    pytest.importorskip("pyspark")
    from noisescope_core.spark.session.start import start_session

    session = start_session(small_config, tmp_path_factory.mktemp("spark") / "spark.log")
    yield session
    session.stop()


@dataclass(frozen=True)
class Dump:
    """Folders of images of which some carry one common pattern."""

    images: Path
    reference: Path
    fakes: frozenset[str]


def picture(rng: np.random.Generator, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    """A smooth picture with noise: (H, W, 3) float, about 40..215."""
    coarse = rng.uniform(60, 195, (6, 6, 3))
    smooth = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
    return smooth + rng.normal(0, 2, (*size, 3))


def save(path: Path, pixels: np.ndarray) -> None:
    """Write an RGB picture as PNG."""
    bgr = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)[:, :, ::-1]
    path.write_bytes(cv2.imencode(".png", bgr)[1].tobytes())


@pytest.fixture(scope="session")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Dump:
    """60 pictures, 24 of them with a common pattern, and 120 reference pictures."""
    folder = tmp_path_factory.mktemp("dump")
    images, reference = folder / "images", folder / "reference"
    images.mkdir()
    reference.mkdir()
    rng = np.random.default_rng(7)
    pattern = rng.normal(0, 1.2, (64, 64, 1))
    fakes = set()
    for k in range(60):
        pixels = picture(rng)
        name = f"{k:03d}.png"
        if k % 5 < 2:
            pixels = pixels + pattern
            fakes.add(name)
        save(images / name, pixels)
    for k in range(120):
        save(reference / f"{k:03d}.png", picture(rng))
    return Dump(images, reference, frozenset(fakes))


@pytest.fixture(scope="session")
def experiment_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of images for small experiments."""
    from tests.experiment_files import write_sets

    folder = tmp_path_factory.mktemp("sets")
    write_sets(folder)
    return folder
