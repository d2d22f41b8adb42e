"""Run an experiment: batches of trials that share their images, every answer a row of the table."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from noisescope_core import __version__
from noisescope_core.app.evaluation import ratios
from noisescope_core.attacks import ATTACKS
from noisescope_core.attacks.quality import psnr, ssim
from noisescope_core.errors import NoiseScopeError, first_line
from noisescope_core.experiments.definition import Condition, Experiment, Trial
from noisescope_core.experiments.methods import FINGERPRINTS, METHODS, Answer
from noisescope_core.experiments.pictures import (
    Drawn,
    Files,
    Pictures,
    Source,
    draw,
    open_source,
    pictures,
)
from noisescope_core.experiments.table import append, read
from noisescope_core.residual import noise_residual
from noisescope_core.whitened.planes.bands import central

Row = dict[str, Any]
Say = Callable[[str], None]

SHOWN = 3
"""Fingerprints of a trial that are kept as pictures."""

PICTURED = 96
"""Pixels of their centre: scaled down, a pattern would be averaged away."""

AVERAGED = 100
MEASURED = 20
"""Images that a picture is the mean of, and whose PSNR and SSIM are."""


@dataclass(frozen=True)
class Batch:
    """Answers of one method under one condition, whose images are made once.

    Attributes
    ----------
    condition, method : by which images are made, and how the file names the method
    missing : trials and numbers of draws
    """

    condition: Condition
    method: str
    missing: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        one = self.condition
        attack = f", {one.attack} {one.strength:g}" if one.attack else ""
        defence = "" if one.defence == "none" else f", defence {one.defence}"
        return f"{one.side} x {one.side} {one.files}{attack}{defence}, {self.method}"


Answers = Callable[[Sequence[Batch]], Iterator[tuple[Batch, list[Row] | Exception]]]
"""Works batches off: rows of a part of a batch as they come, or why the rest of it failed."""


def run_experiment(
    experiment: Experiment, files: Files, out: Path, say: Say, answers: Answers | None = None
) -> None:
    """Run what is not in the table yet.

    Parameters
    ----------
    files : as `listed`
    out : folder of the table
    say : told what will be done, and each batch that is
    answers : where batches are worked off; None: here, with all processors

    Raises
    ------
    NoiseScopeError
        If a batch failed, after all others are done.
    """
    done = set(read(out)["key"].to_pylist())
    todo = batches(experiment, done)
    total = sum(1 for _ in experiment.asked())
    left = sum(len(batch.missing) for batch in todo)
    say(
        f"{experiment.title}: {total:,} answers by {len(experiment.methods)} methods, "
        f"{total - left:,} are there; {len(todo):,} batches of images to make, "
        f"{sum(map(len, files.values())):,} files listed"
    )
    failed: dict[str, str] = {}
    finished = 0
    start = time.perf_counter()
    for batch, rows in (answers or here(experiment, files))(todo):
        if isinstance(rows, Exception):
            failed[str(batch)] = first_line(rows)
            continue
        append(out, rows)
        finished += len(rows)
        rate = (time.perf_counter() - start) / finished
        say(
            f"{finished:,} of {left:,}, about {timedelta(seconds=round(rate * (left - finished)))} "
            f"left: {batch}: {rows[0]['trial']}: {_told(rows)}"
        )
    if failed:
        first, why = next(iter(failed.items()))
        raise NoiseScopeError(f"{len(failed)} of {len(todo)} batches failed; {first}: {why}")


def batches(experiment: Experiment, done: set[str]) -> list[Batch]:
    """List what is not done, by condition and method."""
    missing: dict[tuple[Condition, str], list[tuple[str, int]]] = {}
    for condition, method, trial, number in experiment.asked():
        if experiment.key(condition, method, trial, number) not in done:
            missing.setdefault((condition, method), []).append((trial, number))
    return [Batch(*made_once, tuple(some)) for made_once, some in missing.items()]


def here(experiment: Experiment, files: Files, threads: int | None = None) -> Answers:
    """Work batches off in this process."""

    def work(todo: Sequence[Batch]) -> Iterator[tuple[Batch, list[Row] | Exception]]:
        for batch in todo:
            try:
                for rows in answered(experiment, files, batch, threads):
                    yield batch, rows
            except Exception as error:
                yield batch, error

    return work


def answered(
    experiment: Experiment, files: Files, batch: Batch, threads: int | None = None
) -> Iterator[list[Row]]:
    """Work one batch off: the rows of each of its trials.

    Parameters
    ----------
    threads : at work on images; None: one a processor
    """
    condition = batch.condition
    source = open_source(experiment, files, condition)
    sizes = {name: len(some) for name, some in files.items()}
    draws = {
        (name, number): draw(experiment.trials[name], number, experiment.seed, sizes)
        for name, number in batch.missing
    }
    start = time.perf_counter()
    images = pictures(source, draws.values(), threads)
    config = experiment.configs[batch.method]
    if condition.defence in ("blur", "nlm"):
        residual = config.residual.model_copy(update={"denoiser": condition.defence})
        config = config.model_copy(update={"residual": residual})
    method = METHODS[experiment.methods[batch.method].method](images, config)
    ready = time.perf_counter() - start
    shown = condition.attack is None and experiment.methods[batch.method].method in FINGERPRINTS
    for trial in dict.fromkeys(name for name, _ in batch.missing):
        cost = _cost(source, next(drawn for (name, _), drawn in draws.items() if name == trial))
        rows = []
        for number in (number for name, number in batch.missing if name == trial):
            drawn = draws[trial, number]
            start = time.perf_counter()
            answer = method(drawn)
            seconds = time.perf_counter() - start
            rows.append(
                {
                    "key": experiment.key(condition, batch.method, trial, number),
                    "experiment": experiment.title,
                    "about": experiment.about,
                    "trial": trial,
                    **_places(experiment, batch, trial),
                    **asdict(condition),
                    "method": batch.method,
                    "draw": number,
                    **_counted(experiment.trials[trial]),
                    **judged(drawn, answer),
                    **cost,
                    "ready_seconds": ready,
                    "seconds": seconds,
                    "pictures": _pictured(images, drawn, answer) if number == 0 and shown else [],
                    "versions": _versions(),
                    "finished": datetime.now(UTC),
                }
            )
        yield rows


def _places(experiment: Experiment, batch: Batch, trial: str) -> Row:
    """Say where in the file a row's trial, condition and method stand."""
    return {
        "trial_number": list(experiment.trials).index(trial),
        "condition_number": list(experiment.conditions()).index(batch.condition),
        "method_number": list(experiment.methods).index(batch.method),
    }


def _counted(trial: Trial) -> Row:
    return {
        "published": trial.published,
        "generators": len(trial.generated),
        "generated": sum(trial.generated.values()),
        "photographs": sum(trial.photographs.values()),
        "reference": sum(trial.reference.values()),
    }


def judged(drawn: Drawn, answer: Answer) -> Row:
    """Hold an answer against the truth, generated images being the positive class.

    Returns
    -------
    dict
        `tp`, `fp`, `fn`, `tn`, `precision`, `recall`, `f1`, `undecided`, `fingerprints`, `other`,
        and `given_right`: the share of the generated images flagged whose set is mostly from
        their generator.
    """
    flagged, right = np.zeros((2, drawn.tested), bool)
    generated = drawn.labels < drawn.makers
    for members in answer.sets:
        flagged[members] = True
        labels = drawn.labels[members]
        made = labels[labels < drawn.makers]
        if len(made):
            right[members[labels == np.bincount(made).argmax()]] = True
    tp, fp = int((flagged & generated).sum()), int((flagged & ~generated).sum())
    fn = int(generated.sum()) - tp
    return {
        "tp": tp, "fp": fp, "fn": fn, "tn": drawn.tested - tp - fp - fn,
        **ratios(tp, fp, fn),
        "undecided": answer.undecided,
        "fingerprints": len(answer.sets),
        "other": answer.other,
        "given_right": float(right.sum() / tp) if tp else 0.0,
    }  # fmt: skip


def _cost(source: Source, drawn: Drawn) -> Row:
    """Say what the attack takes from the pictures."""
    attack = source.condition.attack
    if attack is None or not ATTACKS[attack].in_place:
        return {"psnr": None, "ssim": None}
    pairs = [
        (source.found(*name), source.attacked(*name))
        for name in drawn.names[: min(MEASURED, int((drawn.labels < drawn.makers).sum()))]
    ]
    return {
        "psnr": mean(min(psnr(*pair), 100.0) for pair in pairs),
        "ssim": mean(ssim(*pair) for pair in pairs),
    }


def _pictured(images: Pictures, drawn: Drawn, answer: Answer) -> list[bytes]:
    """Average the residuals of each set flagged: PNGs of the centre, grey, mid-grey being 0."""
    rows = images.rows(drawn)
    return [
        _png(central(np.mean(images.of(rows[members[:AVERAGED]], noise_residual), 0), PICTURED))
        for members in answer.sets[:SHOWN]
    ]


def _png(residual: NDArray[np.float32]) -> bytes:
    reach = 3 * float(residual.std()) or 1.0
    grey = np.clip(127.5 + 127.5 / reach * residual, 0, 255).astype(np.uint8)
    return bytes(cv2.imencode(".png", grey)[1])


def _versions() -> str:
    named = ("numpy", "scipy", "opencv-python-headless", "scikit-learn")
    return json.dumps({"noisescope": __version__} | {name: version(name) for name in named})


def _told(rows: Iterable[Mapping[str, Any]]) -> str:
    rows = list(rows)
    if all(row["undecided"] for row in rows):
        return "undecided, too few images"
    if not rows[0]["generated"]:
        return f"{sum(row['fp'] > 0 for row in rows)} of {len(rows)} runs flag photographs"
    return f"F1 {mean(row['f1'] for row in rows):.3f}"
