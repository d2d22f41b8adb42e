"""A small experiment, for the tests of experiments in every room."""

from pathlib import Path

import numpy as np
import yaml

from tests.conftest import picture, save

PLAIN = {
    "title": "a test",
    "side": 64,
    "draws": 2,
    "methods": ["csd", "azimuthal"],
    "sets": {"made": "made", "taken": "taken"},
    "trials": {
        "one": {"generated": {"made": 6}, "photographs": {"taken": 6}, "reference": {"taken": 12}}
    },
}


def written(tmp_path: Path, **changes: object) -> str:
    """Write the experiment with these changes; its file."""
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump({**PLAIN, **changes}))
    return str(file)


def silent(line: str) -> None:
    """Say nothing of progress."""


def write_sets(folder: Path) -> None:
    """Eight images made and twenty taken, of 66 x 70 pixels."""
    rng = np.random.default_rng(3)
    for name, count in (("made", 8), ("taken", 20)):
        (folder / name).mkdir()
        for k in range(count):
            pixels = picture(rng, (70, 66))
            # Colours that no photograph of the other set has.
            pixels[:, :, 0] += 8 * rng.standard_normal((70, 66)) * (name == "made")
            save(folder / name / f"{k:02}.png", pixels)
