"""Run an experiment: batches of trials that share their images, every answer a row of the table."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from noisescope_core import __version__
from noisescope_core.app.evaluation import ratios
from noisescope_core.attacks import ATTACKS
from noisescope_core.attacks.quality import psnr, ssim
from noisescope_core.config import Config
from noisescope_core.errors import NoiseScopeError, first_line
from noisescope_core.experiments.definition import Case, Condition, Experiment, MethodName, Trial
from noisescope_core.experiments.methods import FINGERPRINTS, METHODS, Answer
from noisescope_core.experiments.pictures import (
    Drawn,
    ImageMaker,
    Pictures,
    SetFiles,
    draw,
    image_maker,
    pictures,
)
from noisescope_core.experiments.table import append, read
from noisescope_core.residual import noise_residual
from noisescope_core.whitened.planes.bands import central

Row = dict[str, Any]
Say = Callable[[str], None]

SHOWN = 3
"""Fingerprints of a trial that are kept as pictures; chosen: a few are enough to compare."""

PICTURED = 96
"""Pixels of their centre: scaled down, a pattern would be averaged away. Chosen."""

AVERAGED = 100
"""Images that a picture is the mean of; chosen."""

MEASURED = 20
"""Images whose mean PSNR and SSIM are told; chosen: they differ little from image to image."""

MOSTLY = 0.5
"""Share of a fingerprint's images above which it is their generator's."""

EQUAL = 100.0
"""dB that count for images which an attack leaves as they are, where PSNR is infinite."""


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
        condition, side = self.condition, self.condition.side
        attack = f", {condition.attack} {condition.strength:g}" if condition.attack else ""
        defence = "" if condition.defence == "none" else f", defence {condition.defence}"
        size = "native sizes" if side is None else f"{side} x {side}"
        return f"{size} {condition.files}{attack}{defence}, {self.method}"


Answers = Callable[[Sequence[Batch]], Iterator[tuple[Batch, list[Row] | Exception]]]
"""Works batches off: rows of a part of a batch as they come, or why the rest of it failed."""


def run_experiment(
    experiment: Experiment, files: SetFiles, out: Path, say: Say, answers: Answers | None = None
) -> None:
    """Run what is not in the table yet.

    Parameters
    ----------
    files : from `find_files`
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
    total = sum(1 for _ in experiment.cases())
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
            f"left: {batch}: {rows[0]['trial']}: {_summed_up(rows)}"
        )
    if failed:
        first, why = next(iter(failed.items()))
        raise NoiseScopeError(f"{len(failed)} of {len(todo)} batches failed; {first}: {why}")


def batches(experiment: Experiment, done: set[str]) -> list[Batch]:
    """List what is not done, by condition and method."""
    missing: dict[tuple[Condition, str], list[tuple[str, int]]] = {}
    for case in experiment.cases():
        if experiment.key(case) not in done:
            draws = missing.setdefault((case.condition, case.method), [])
            draws.append((case.trial, case.draw))
    return [
        Batch(condition, method, tuple(draws)) for (condition, method), draws in missing.items()
    ]


def here(experiment: Experiment, files: SetFiles, threads: int | None = None) -> Answers:
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
    experiment: Experiment, files: SetFiles, batch: Batch, threads: int | None = None
) -> Iterator[list[Row]]:
    """Work one batch off: the rows of each of its trials.

    Parameters
    ----------
    threads : at work on images; None: one a processor
    """
    maker = image_maker(experiment, files, batch.condition)
    sizes = {name: len(paths) for name, paths in files.items()}
    draws = {
        (name, number): draw(experiment.trials[name], number, experiment.seed, sizes)
        for name, number in batch.missing
    }
    start = time.perf_counter()
    images = pictures(maker, draws.values(), threads)
    method = METHODS[_kind(experiment, batch)](images, _config(experiment, batch))
    ready = _Ready(experiment, batch, images, method)
    seconds = time.perf_counter() - start
    for trial in dict.fromkeys(name for name, _ in batch.missing):
        of_trial = {number: drawn for (name, number), drawn in draws.items() if name == trial}
        cost = _cost(maker, next(iter(of_trial.values())))
        shared = {**cost, "ready_seconds": seconds}
        yield [_row(ready, trial, number, drawn) | shared for number, drawn in of_trial.items()]


@dataclass(frozen=True)
class _Ready:
    """A batch whose images are made and whose method can answer."""

    experiment: Experiment
    batch: Batch
    images: Pictures
    method: Callable[[Drawn], Answer]


def _kind(experiment: Experiment, batch: Batch) -> MethodName:
    return experiment.methods[batch.method].method


def _config(experiment: Experiment, batch: Batch) -> Config:
    """Configure a method, with the denoiser of its defence if that has one."""
    config, defence = experiment.configs[batch.method], batch.condition.defence
    if defence not in ("blur", "nlm"):
        return config
    residual = config.residual.model_copy(update={"denoiser": defence})
    return config.model_copy(update={"residual": residual})


def _row(ready: _Ready, trial: str, number: int, drawn: Drawn) -> Row:
    """Let the method answer one draw, and judge the answer."""
    experiment, batch = ready.experiment, ready.batch
    start = time.perf_counter()
    answer = ready.method(drawn)
    seconds = time.perf_counter() - start
    # One picture of what was found is enough, and an attack would show in it.
    pictured = number == 0 and batch.condition.attack is None and batch.condition.side is not None
    pictured = pictured and _kind(experiment, batch) in FINGERPRINTS
    return {
        "key": experiment.key(Case(batch.condition, batch.method, trial, number)),
        "experiment": experiment.title,
        "about": experiment.about,
        "trial": trial,
        **_places(experiment, batch, trial),
        **asdict(batch.condition),
        "method": batch.method,
        "draw": number,
        **_counted(experiment.trials[trial]),
        **judged(drawn, answer),
        "seconds": seconds,
        "pictures": _pictured(ready.images, drawn, answer) if pictured else [],
        "versions": _versions(),
        "finished": datetime.now(UTC),
    }


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
        "sources": list(trial.generated),
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
        Columns of the table (docs/experiments.md) from `undecided` to `recall_1`, but `sources`.
    """
    flagged, right = np.zeros((2, drawn.tested), bool)
    shares, discovered = [], set()
    for members in answer.sets:
        flagged[members] = True
        labels = drawn.labels[members]
        makers = labels[drawn.generated[members]]
        shares.append(np.bincount(makers, minlength=1).max() / len(members))
        if len(makers):
            maker = np.bincount(makers).argmax()
            right[members[labels == maker]] = True
            if shares[-1] > MOSTLY:
                discovered.add(maker)
    generated = drawn.generated
    tp, fp = int((flagged & generated).sum()), int((flagged & ~generated).sum())
    fn = int(generated.sum()) - tp
    return {
        "tp": tp, "fp": fp, "fn": fn, "tn": drawn.tested - tp - fp - fn,
        **ratios(tp, fp, fn),
        "undecided": answer.undecided,
        "fingerprints": len(answer.sets),
        "other": answer.other,
        "given_right": float(right.sum() / tp) if tp else 0.0,
        "recalls": [float(flagged[drawn.labels == k].mean()) for k in range(drawn.generators)],
        "purity": float(np.mean(shares)) if shares else None,
        "discovered": len(discovered) / drawn.generators if drawn.generators else None,
        "unscored": answer.unscored,
        **_ranked(generated, answer.strengths),
    }  # fmt: skip


def _ranked(generated: NDArray[np.bool_], strengths: NDArray[np.float64] | None) -> Row:
    """Say how well strengths tell generated images from photographs, whatever the bars.

    Returns
    -------
    dict
        `auc`, and `recall_5` and `recall_1`: share of the generated images that are stronger than
        all photographs but 5 and 1 in a thousand. None where there is nothing to rank.
    """
    if strengths is None or generated.all() or not generated.any():
        return {"auc": None, "recall_5": None, "recall_1": None}
    made, taken = strengths[generated], np.sort(strengths[~generated])[::-1]
    ranks = rankdata(np.concatenate([made, taken]))[: len(made)]
    above = ranks.sum() - len(made) * (len(made) + 1) / 2
    let_through = {
        f"recall_{k}": float((made > taken[k * len(taken) // 1000]).mean()) for k in (5, 1)
    }
    return {"auc": float(above / (len(made) * len(taken))), **let_through}


def _cost(maker: ImageMaker, drawn: Drawn) -> Row:
    """Say what the attack takes from the pictures, in the first draw of a trial."""
    attack = maker.condition.attack
    if attack is None or not ATTACKS[attack].in_place:
        return {"psnr": None, "ssim": None}
    pairs = [
        (maker.original(*name), maker.attacked(*name))
        for name in drawn.names[: min(MEASURED, int(drawn.generated.sum()))]
    ]
    return {
        "psnr": mean(min(psnr(*pair), EQUAL) for pair in pairs),
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


def _summed_up(rows: Sequence[Row]) -> str:
    if all(row["undecided"] for row in rows):
        return "undecided, too few images"
    if not rows[0]["generated"]:
        return f"{sum(row['fp'] > 0 for row in rows)} of {len(rows)} runs flag photographs"
    return f"F1 {mean(row['f1'] for row in rows):.3f}"
