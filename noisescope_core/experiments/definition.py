"""What an experiment file says, checked as a whole before anything runs."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from noisescope_core import __version__
from noisescope_core.attacks import ATTACKS, check
from noisescope_core.config import Config, load_config
from noisescope_core.errors import UsageError, first_line
from noisescope_core.simulate import Upsampling

Files = Literal["as found", "saved again"]
Defence = Literal["none", "reference", "blur", "nlm"]
"""`reference`: its photographs go through the attacker's processing; else another denoiser."""

MethodName = Literal["whitened", "paper", "csd", "azimuthal", "prnu"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ImageSet(_Part):
    """Where images come from: a folder, or the simulator."""

    folder: str | None = Field(None, description="below the data folder")
    simulate: Literal["photographs", "generated"] | None = None
    seed: int = Field(0, ge=0, description="of simulated images; other seed, other generator")
    upsampling: Upsampling = "transposed"
    fixed_noise: bool = Field(True, description="whether simulated generators add a constant")

    @model_validator(mode="before")
    @classmethod
    def _folder_alone(cls, value: Any) -> Any:
        return {"folder": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_source(self) -> ImageSet:
        if (self.folder is None) == (self.simulate is None):
            raise ValueError("name either a folder or what to simulate")
        return self


Counts = dict[str, int]


class Trial(_Part):
    """How many images of which sets are tested against what."""

    generated: Counts = Field(default_factory=dict, description="set to images tested")
    photographs: Counts = Field(description="set to images tested")
    reference: Counts = Field(description="set to images of the reference, none of them tested")
    side: int | None = Field(None, ge=64, le=4096, description="pixels, else the experiment's")
    published: str | None = Field(None, description="the paper's figure, of other images")


class MethodSettings(_Part):
    """A method and how it is set."""

    method: MethodName
    settings: tuple[str, ...] = ()


class Experiment(_Part):
    """One experiment."""

    title: str = Field(min_length=1)
    about: str = Field("", description="what it asks, for the page of results")
    sets: dict[str, ImageSet]
    trials: dict[str, Trial]
    methods: dict[str, MethodSettings]
    draws: int = Field(5, ge=1, le=1000)
    seed: int = Field(0, ge=0)
    side: int = Field(256, ge=64, le=4096, description="pixels; larger images lose their border")
    files: tuple[Files, ...] = ("as found",)
    attacks: dict[str, tuple[float, ...]] = Field(
        default_factory=dict, description="attack to strengths; none: the usual ones"
    )
    defences: tuple[Defence, ...] = ("none",)
    settings: tuple[str, ...] = Field((), description="KEY=VALUE of the configuration")

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        value = dict(value)
        methods, attacks = value.get("methods"), value.get("attacks")
        if isinstance(methods, list):
            value["methods"] = {str(name): {"method": name} for name in methods}
        if isinstance(attacks, dict):
            value["attacks"] = {
                name: ATTACKS[name].strengths if some is None and name in ATTACKS else some
                for name, some in attacks.items()
            }
        return value

    @cached_property
    def configs(self) -> Mapping[str, Config]:
        """The configuration of every method, by its name in the file."""
        return {
            name: load_config(None, (*_method(one.method), *self.settings, *one.settings))
            for name, one in self.methods.items()
        }

    def conditions(self) -> Iterator[Condition]:
        """Everything that images go through, without attack first."""
        for side in sorted({trial.side or self.side for trial in self.trials.values()}):
            for files in self.files:
                for defence in self.defences:
                    if defence != "reference":
                        yield Condition(side, files, None, None, defence)
                for attack, strengths in self.attacks.items():
                    for strength in strengths:
                        for defence in self.defences:
                            # What an attacker knows of a pattern no defender has.
                            if defence != "reference" or ATTACKS[attack].pattern is None:
                                yield Condition(side, files, attack, strength, defence)

    def at(self, side: int) -> dict[str, Trial]:
        """Trials of images of one side."""
        return {n: trial for n, trial in self.trials.items() if (trial.side or self.side) == side}

    def asked(self) -> Iterator[tuple[Condition, str, str, int]]:
        """List conditions, methods, trials and draws in the order of the file."""
        for condition in self.conditions():
            # Without generated images there is nothing to attack.
            trials = [
                name
                for name, one in self.at(condition.side).items()
                if one.generated or condition.attack is None
            ]
            for method in self.methods:
                for trial in trials:
                    for draw in range(self.draws):
                        yield condition, method, trial, draw

    def key(self, condition: Condition, method: str, trial: str, draw: int) -> str:
        """Name one trial by all that its answer depends on: 16 hex digits."""
        chosen = self.trials[trial]
        sets = sorted({*chosen.generated, *chosen.photographs, *chosen.reference})
        config = self.configs[method].model_dump(exclude={"spark", "report", "scan", "observe"})
        told = [
            __version__, self.seed, draw, condition.__dict__, self.methods[method].method, config,
            chosen.model_dump(exclude={"published"}), [self.sets[s].model_dump() for s in sets],
        ]  # fmt: skip
        return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Condition:
    """What images go through before a method sees them.

    Attributes
    ----------
    side : pixels
    files : as found, or all saved again as JPEG 4:2:0 at a quality drawn per image
    attack, strength : of the generated images, None for none
    defence : of the one who looks for them
    """

    side: int
    files: Files
    attack: str | None
    strength: float | None
    defence: Defence


def load_experiment(file: str) -> Experiment:
    """Read an experiment file.

    Raises
    ------
    UsageError
        Naming every mistake at once, one line each.
    """
    try:
        content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot be read ({first_line(error)})") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{file}: is not YAML ({' '.join(str(error).split())})") from error
    try:
        experiment = Experiment.model_validate(content)
    except ValidationError as error:
        raise _mistakes(file, [_explain(dict(detail)) for detail in error.errors()]) from None
    wrong = [*_wrong_trials(experiment), *_wrong_attacks(experiment)]
    try:
        _ = experiment.configs
    except UsageError as error:
        wrong.append(str(error).removeprefix("configuration: "))
    if wrong:
        raise _mistakes(file, wrong)
    return experiment


def _mistakes(file: str, wrong: list[str]) -> UsageError:
    return UsageError(f"{file}: " + "\n  ".join(["", *wrong] if wrong[1:] else wrong))


def _method(name: str) -> tuple[str, ...]:
    return (f"method={name}",) if name in ("whitened", "paper") else ("method=paper",)


def _wrong_trials(experiment: Experiment) -> Iterator[str]:
    for name in ("sets", "trials", "methods", "files", "defences"):
        if not getattr(experiment, name):
            yield f"{name}: needs at least one"
    for name, trial in experiment.trials.items():
        for part in ("generated", "photographs", "reference"):
            for of, count in getattr(trial, part).items():
                if of not in experiment.sets:
                    yield f"trials.{name}.{part}: no set {of!r}{_close(of, experiment.sets)}"
                if count < 1:
                    yield f"trials.{name}.{part}.{of}: must be at least 1, got {count}"
        if not trial.photographs or not trial.reference:
            yield f"trials.{name}: needs photographs and a reference"


def _wrong_attacks(experiment: Experiment) -> Iterator[str]:
    for name, strengths in experiment.attacks.items():
        if not strengths:
            yield f"attacks.{name}: needs a strength"
        for told in dict.fromkeys(check(name, strength) for strength in strengths):
            if told:
                yield f"attacks.{name}: {told}"


def _close(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f", did you mean {close[0]!r}?" if close else f", there are {', '.join(known)}"


def _explain(detail: dict[str, Any]) -> str:
    key = ".".join(map(str, detail["loc"])) or "the file"
    if detail["type"] == "extra_forbidden":
        return f"{key}: no such key, see conf/experiments"
    if detail["type"] == "missing":
        return f"{key}: is missing"
    said = detail["msg"].removeprefix("Value error, ")
    return f"{key}: {said[:1].lower()}{said[1:]}, got {detail['input']!r}"
