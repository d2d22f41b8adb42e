"""The development trials, for what is no method of an experiment: whole answers, in memory.

Trials and images are those of conf/experiments/development.yaml and photographs.yaml, which
`noisescope experiment` runs for the methods of the project.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from noisescope_core.errors import UsageError
from noisescope_core.experiments.definition import Condition, Experiment, load_experiment
from noisescope_core.experiments.methods import Answer, Load, Method
from noisescope_core.experiments.pictures import (
    Drawn,
    Pictures,
    draw,
    listed,
    open_source,
    pictures,
)
from noisescope_core.experiments.run import judged

Row = dict[str, Any]

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("NOISESCOPE_SHARED", ROOT.parent / "shared"))


@dataclass(frozen=True)
class Result:
    """An answer to one draw of a trial."""

    trial: str
    drawn: Drawn
    answer: Answer


@dataclass(frozen=True)
class Ready:
    """The images of one condition, and the draws of trials that need them."""

    experiment: Experiment
    condition: Condition
    images: Pictures
    draws: dict[str, list[Drawn]]

    def results(self, method: Method) -> Iterator[list[Result]]:
        """Yield the results of each trial."""
        for trial, draws in self.draws.items():
            yield [Result(trial, drawn, method(drawn)) for drawn in draws]


def ready(names: Sequence[str], draws: int, without: int, files: str | None) -> Iterator[Ready]:
    """Ready the images of some trials, condition by condition.

    Parameters
    ----------
    names : of trials, none for all
    draws, without : draws of trials with generated images, and of those without
    files : `as found` or `saved again`, None for both
    """
    for name in ("development", "photographs"):
        experiment = load_experiment(str(ROOT / f"conf/experiments/{name}.yaml"))
        try:
            found = listed(experiment, SHARED / "data")
        except UsageError as error:
            raise FileNotFoundError(f"no development images (NOISESCOPE_SHARED): {error}") from None
        sizes = {of: len(some) for of, some in found.items()}
        for condition in experiment.conditions():
            chosen = {
                of: [
                    draw(trial, number, experiment.seed, sizes)
                    for number in range(draws if trial.generated else without)
                ]
                for of, trial in experiment.at(condition.side).items()
                if (not names or of in names) and (draws if trial.generated else without)
            }
            if chosen and files in (None, condition.files):
                source = open_source(experiment, found, condition)
                images = pictures(source, [one for some in chosen.values() for one in some])
                yield Ready(experiment, condition, images, chosen)


def results(load: Load, draws: int, without: int) -> Iterator[tuple[Condition, list[Result]]]:
    """Try a method on all trials: condition and results of each."""
    for one in ready((), draws, without, None):
        config = next(iter(one.experiment.configs.values()))
        for found in one.results(load(one.images, config)):
            yield one.condition, found


def row(condition: Condition, found: list[Result]) -> Row:
    """Sum the results of a trial up."""
    line: Row = {"set": found[0].trial, "files": condition.files}
    rows = [judged(one.drawn, one.answer) for one in found]
    undecided = sum(one["undecided"] for one in rows)
    if undecided:
        line["undecided"] = f"{undecided} of {len(rows)}"
    if not found[0].drawn.makers:
        return line | {"runs that flag": f"{sum(one['fp'] > 0 for one in rows)} of {len(rows)}"}
    f1 = [one["f1"] for one in rows]
    return line | {
        "F1": float(np.mean(f1)),
        "sd": float(np.std(f1)),
        "false positives": float(np.mean([one["fp"] for one in rows])),
        "fingerprints": float(np.mean([one["fingerprints"] for one in rows])),
        "given to the right one": float(np.mean([one["given_right"] for one in rows])),
    }
