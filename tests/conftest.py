"""Fixtures: a Spark session for the whole run, a small dump, and the shared development images."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import settings

from noisescope_core.config import Config, load_config
from tests.runs import run_detect

SHARED = Path(os.environ.get("NOISESCOPE_SHARED", Path(__file__).parents[2] / "shared"))

# Optimising every JVM's code takes the processors from the tests. As spark.session.jvm has it,
# for servers, executors and spark-submit too; and the collector that takes least of them.
os.environ.setdefault(
    "JAVA_TOOL_OPTIONS",
    "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:MetaspaceSize=256m "
    "-XX:+UseParallelGC",
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

# A hundred small statements a run: compiling each, or planning it anew from stage to stage, costs
# more than it saves, a quarter of a run. tests/product/test_cli.py runs as users do.
INTERPRETED = (
    "spark.conf.spark.sql.codegen.wholeStage=false",
    "spark.conf.spark.sql.codegen.factoryMode=NO_CODEGEN",
    "spark.conf.spark.sql.adaptive.enabled=false",
)

# Files that one process tries, one after the other: those that use Spark themselves, whose session
# is warm after the first. Longest first: last in line, one process would be left with them.
TOGETHER = (
    ("registry",), ("scan",),
    ("detect", "large_piles", "detect_whitened", "real_images", "whitened_run", "known_and_pack",
     "damaged_files", "names", "unfinished_runs", "experiments_on_spark", "session"),
    ("s3",), ("backfill",), ("connect",), ("resilience",), ("cli",), ("jobs",), ("notebooks",),
    ("experiments",), ("doctor",), ("experiment_command",),
)  # fmt: skip

TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its room, those of other rooms that need Spark too; longest first."""
    names = [f"test_{name}.py" for files in TOGETHER for name in files]
    for item in items:
        room = item.path.relative_to(TESTS).parts[0]
        item.add_marker(room)
        if "spark" in getattr(item, "fixturenames", ()):
            item.add_marker("spark")
    items.sort(key=lambda i: names.index(i.path.name) if i.path.name in names else len(names))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep files that are tried together in one process; `--dist loadfile` parts them by file."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    first_of = {f"test_{name}.py": files[0] for files in TOGETHER for name in files}

    class Together(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return first_of.get(Path(file).name, file)

    return Together(config, log)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The development images and the original program's answers."""
    if not (SHARED / "oracle").is_dir():
        pytest.skip(f"the development images are not at {SHARED} (set NOISESCOPE_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def small_config() -> Config:
    return load_config(None, SMALL)


Once = Callable[[str, Callable[[Path], None]], Path]
"""Name of a folder, and what fills it, to the folder."""


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """What is costly to make is made by one process of the tests, and read by all of them."""
    base = tmp_path_factory.getbasetemp()
    shared_base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def once(name: str, fill: Callable[[Path], None]) -> Path:
        folder, done = shared_base / name, shared_base / f"{name}.done"
        with (shared_base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                # A second attempt after a failure fails by the folder that the first one left.
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    pytest.importorskip("pyspark")
    from noisescope_core.spark.session.start import session_settings, start_session

    config = load_config(None, (*SMALL, *INTERPRETED))
    session = start_session(config, tmp_path_factory.mktemp("spark") / "spark.log")
    with session_settings(session, config):
        yield session
    session.stop()


@pytest.fixture(scope="session")
def jars(once: Once) -> str:
    """A folder with the jars of Delta and S3, fetched once: Maven's cache bears no two."""

    def fetch(folder: Path) -> None:
        command = [sys.executable, "-m", "noisescope_core.cli", "doctor", "--fetch-jars"]
        done = subprocess.run(
            [*command, str(folder / "jars")], capture_output=True, text=True, check=False
        )
        (folder / "said").write_text(done.stderr if done.returncode else "")

    folder = once("maven", fetch)
    said = (folder / "said").read_text()
    if "Spark lacks jars" in said:
        pytest.skip("Maven, where the jars of Delta and S3 come from, cannot be reached")
    assert not said
    return str(folder / "jars")


@pytest.fixture(scope="session")
def scheduled_scans(once: Once, jars: str) -> Callable[[str], Path]:
    """What days of scheduled scans left, by the name of their story."""

    def folder_of(story: str) -> Path:
        def fill(folder: Path) -> None:
            program = "tests.spark.programs.scheduled_scans"
            done = subprocess.run(
                [sys.executable, "-m", program, str(folder), jars, story],
                cwd=TESTS.parent, capture_output=True, text=True, check=False,
                env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")},
            )  # fmt: skip
            assert done.returncode == 0, done.stderr

        return once(f"scheduled-{story}", fill)

    return folder_of


@pytest.fixture(scope="session")
def scans_told(scheduled_scans: Callable[[str], Path]) -> Callable[[str], dict[str, Any]]:
    """What the program of a story saw, by its name."""
    return lambda story: json.loads((scheduled_scans(story) / f"{story}.json").read_text())


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
def dump(once: Once) -> Dump:
    """60 pictures, 24 of them with a common pattern, and 120 reference pictures."""
    folder = once("dump", write_small_dump)
    fakes = frozenset(f"{k:03d}.png" for k in range(60) if carries(k))
    return Dump(folder / "images", folder / "reference", fakes)


def carries(k: int) -> bool:
    """Whether the picture of this number carries the pattern."""
    return k % 5 < 2


def write_small_dump(folder: Path) -> None:
    """Write the pictures of `dump`."""
    images, reference = folder / "images", folder / "reference"
    images.mkdir()
    reference.mkdir()
    rng = np.random.default_rng(7)
    pattern = rng.normal(0, 1.2, (64, 64, 1))
    for k in range(60):
        save(images / f"{k:03d}.png", picture(rng) + carries(k) * pattern)
    for k in range(120):
        save(reference / f"{k:03d}.png", picture(rng))


@dataclass(frozen=True)
class FinishedRun:
    """A run on the small dump: where it is, and the summary that it returned."""

    out: Path
    summary: dict[str, Any]


@pytest.fixture(scope="session")
def run_on_dump(
    once: Once, dump: Dump, request: pytest.FixtureRequest
) -> Callable[[str], FinishedRun]:
    """Detect on the small dump by a method, once for all tests that look at the run.

    Nobody may write to it. Spark is started by the process that makes it alone.
    """

    def run(method: str) -> FinishedRun:
        def fill(folder: Path) -> None:
            spark = request.getfixturevalue("spark")
            config = load_config(None, (*SMALL, f"method={method}"))
            summary = run_detect(spark, config, dump.images, dump.reference, folder / "run")
            (folder / "returned.json").write_text(json.dumps(summary))

        folder = once(f"run-{method}", fill)
        return FinishedRun(folder / "run", json.loads((folder / "returned.json").read_text()))

    return run


@pytest.fixture(scope="session")
def paper_run(run_on_dump: Callable[[str], FinishedRun]) -> FinishedRun:
    return run_on_dump("paper")


@pytest.fixture(scope="session")
def whitened_run(run_on_dump: Callable[[str], FinishedRun]) -> FinishedRun:
    return run_on_dump("whitened")


@pytest.fixture(scope="session")
def experiment_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of images for small experiments."""
    from tests.experiment_files import write_sets

    folder = tmp_path_factory.mktemp("sets")
    write_sets(folder)
    return folder
