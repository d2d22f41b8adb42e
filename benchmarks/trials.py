"""The development trials, for what is no method of an experiment: whole answers, in memory.

Trials and images are those of conf/experiments/development.yaml and photographs.yaml, which
`noisescope experiment` runs for the methods of the project.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
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
    find_files,
    image_maker,
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
            paths = find_files(experiment, SHARED / "data")
        except UsageError as error:
            raise FileNotFoundError(f"no development images (NOISESCOPE_SHARED): {error}") from None
        sizes = {name: len(of_set) for name, of_set in paths.items()}
        for condition in experiment.conditions():
            chosen = {
                trial_name: [
                    draw(trial, number, experiment.seed, sizes)
                    for number in range(draws if trial.generated else without)
                ]
                for trial_name, trial in experiment.at(condition.side).items()
                if (not names or trial_name in names) and (draws if trial.generated else without)
            }
            if chosen and files in (None, condition.files):
                maker = image_maker(experiment, paths, condition)
                images = pictures(maker, chain(*chosen.values()))
                yield Ready(experiment, condition, images, chosen)


def results(load: Load, draws: int, without: int) -> Iterator[tuple[Condition, list[Result]]]:
    """Try a method on all trials: condition and results of each."""
    for part in ready((), draws, without, None):
        config = next(iter(part.experiment.configs.values()))
        for of_trial in part.results(load(part.images, config)):
            yield part.condition, of_trial


def row(condition: Condition, of_trial: list[Result]) -> Row:
    """Sum the results of a trial up."""
    line: Row = {"set": of_trial[0].trial, "files": condition.files}
    rows = [judged(result.drawn, result.answer) for result in of_trial]
    undecided = sum(judgement["undecided"] for judgement in rows)
    if undecided:
        line["undecided"] = f"{undecided} of {len(rows)}"
    if not of_trial[0].drawn.generators:
        flagging = sum(judgement["fp"] > 0 for judgement in rows)
        return line | {"runs that flag": f"{flagging} of {len(rows)}"}

    def mean(name: str) -> float:
        return float(np.mean([judgement[name] for judgement in rows]))

    return line | {
        "F1": mean("f1"),
        "sd": float(np.std([judgement["f1"] for judgement in rows])),
        "false positives": mean("fp"),
        "fingerprints": mean("fingerprints"),
        "given to the right one": mean("given_right"),
    }
