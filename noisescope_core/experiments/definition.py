"""What an experiment file says, checked as a whole before anything runs."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from noisescope_core import __version__
from noisescope_core.attacks import ATTACKS, check
from noisescope_core.config import Config, load_config
from noisescope_core.errors import UsageError, first_line
from noisescope_core.methods import METHODS
from noisescope_core.simulate import Upsampling

FileState = Literal["as found", "saved again"]
"""`saved again`: as JPEG 4:2:0, at a quality drawn for each image."""

Defence = Literal["none", "reference", "blur", "nlm"]
"""`reference`: its photographs go through the attacker's processing; else another denoiser."""

MethodName = Literal["whitened", "paper", "csd", "azimuthal", "prnu"]

METHOD_REVISIONS: Mapping[MethodName, int] = {"whitened": 3}
"""By method, counted from 1, which those have that are not here: how often its answers have
changed. The number enters the keys of answers only above 1, so a method whose answers have changed
is run again and the rows of all others stay."""


ONE_SIZE: tuple[MethodName, ...] = ("azimuthal",)
"""Methods whose features depend on the size of an image, so that native sizes do not compare."""

_LEAST_SIDE, _MOST_SIDE = 64, 4096


def _checked_side(value: Any) -> Any:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if value == "native" or (is_number and _LEAST_SIDE <= value <= _MOST_SIDE):
        return value
    raise ValueError(f"must be {_LEAST_SIDE} to {_MOST_SIDE} pixels, or native")


Side = Annotated[int | Literal["native"], BeforeValidator(_checked_side)]
"""Pixels to which images are cut; `native`: they stay as large as they are."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SetDefinition(_Part):
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
    def _folder_or_simulated(self) -> SetDefinition:
        if (self.folder is None) == (self.simulate is None):
            raise ValueError("name either a folder or what to simulate")
        return self


Counts = dict[str, int]
"""Set to images."""


class Trial(_Part):
    """How many images of which sets are tested against what."""

    generated: Counts = Field(default_factory=dict, description="set to images tested")
    photographs: Counts = Field(description="set to images tested")
    reference: Counts = Field(description="set to images of the reference, none of them tested")
    side: Side | None = Field(None, description="pixels, or native; else the experiment's")
    published: str | None = Field(None, description="the paper's figure, of other images")


class MethodSettings(_Part):
    """A method and how it is set."""

    method: MethodName
    settings: tuple[str, ...] = ()


class Experiment(_Part):
    """One experiment."""

    title: str = Field(min_length=1)
    about: str = Field("", description="what it asks, for the page of results")
    sets: dict[str, SetDefinition]
    trials: dict[str, Trial]
    methods: dict[str, MethodSettings]
    draws: int = Field(5, ge=1, le=1000)
    seed: int = Field(0, ge=0)
    side: Side = Field(256, description="pixels; larger images lose their border; or native")
    files: tuple[FileState, ...] = ("as found",)
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
                name: ATTACKS[name].strengths
                if strengths is None and name in ATTACKS
                else strengths
                for name, strengths in attacks.items()
            }
        return value

    @cached_property
    def configs(self) -> Mapping[str, Config]:
        """The configuration of every method, by its name in the file."""
        return {
            name: load_config(None, (*_setting_of(chosen.method), *self.settings, *chosen.settings))
            for name, chosen in self.methods.items()
        }

    def conditions(self) -> Iterator[Condition]:
        """Everything that images go through, without attack first."""
        sides = {self.side_of(trial) for trial in self.trials.values()}
        for side in sorted(sides, key=lambda side: (side is None, side)):
            for files in self.files:
                for attack, strength in self._attacks_and_none():
                    for defence in self.defences:
                        if defence != "reference" or _can_be_copied(attack):
                            yield Condition(side, files, attack, strength, defence)

    def _attacks_and_none(self) -> Iterator[tuple[str | None, float | None]]:
        yield None, None
        for attack, strengths in self.attacks.items():
            for strength in strengths:
                yield attack, strength

    def side_of(self, trial: Trial) -> int | None:
        """Pixels to which a trial's images are cut; None if they stay as large as they are."""
        side = trial.side or self.side
        return None if side == "native" else side

    def at(self, side: int | None) -> dict[str, Trial]:
        """Trials of images of one side, or of native sizes."""
        return {n: trial for n, trial in self.trials.items() if self.side_of(trial) == side}

    def cases(self) -> Iterator[Case]:
        """List all that the file asks, in its order."""
        for condition in self.conditions():
            # Without generated images there is nothing to attack.
            trials = [
                name
                for name, trial in self.at(condition.side).items()
                if trial.generated or condition.attack is None
            ]
            for method in self.methods:
                for trial in trials:
                    for draw in range(self.draws):
                        yield Case(condition, method, trial, draw)

    def key(self, case: Case) -> str:
        """Name one case by all that its answer depends on: 16 hex digits."""
        trial, method = self.trials[case.trial], self.methods[case.method].method
        sets = sorted({*trial.generated, *trial.photographs, *trial.reference})
        without = {"spark", "report", "scan", "source", "observe", "alerts"}
        if method != "whitened":
            without.add("lattice")
        ingredients = [
            __version__,
            self.seed,
            case.draw,
            case.condition.__dict__,
            method,
            self.configs[case.method].model_dump(exclude=without) | {"alerts": _ALERTS},
            trial.model_dump(exclude={"published"}),
            [self.sets[name].model_dump() for name in sets],
        ]
        if (revision := METHOD_REVISIONS.get(method, 1)) > 1:
            ingredients.append(revision)
        return sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:16]


_ALERTS = {"flagged": None, "quarantined": None, "drift": None, "found": False}
"""Alerts in the keys of cases, on which no answer depends: as they were when the first keys were
made, so that tables of earlier runs are gone on with."""


@dataclass(frozen=True)
class Condition:
    """What images go through before a method sees them.

    Attributes
    ----------
    side : pixels; None for native sizes
    files : as found, or all saved again as JPEG 4:2:0 at a quality drawn per image
    attack, strength : of the generated images, None for none
    defence : of the one who looks for them
    """

    side: int | None
    files: FileState
    attack: str | None
    strength: float | None
    defence: Defence


@dataclass(frozen=True)
class Case:
    """One answer that an experiment asks for.

    Attributes
    ----------
    condition : that the images go through
    method, trial : their names in the file
    draw : number of the draw, from 0
    """

    condition: Condition
    method: str
    trial: str
    draw: int


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
    wrong = [
        *_wrong_trials(experiment), *_wrong_attacks(experiment), *_wrong_at_native(experiment)
    ]  # fmt: skip
    try:
        _ = experiment.configs
    except UsageError as error:
        wrong.append(str(error).removeprefix("configuration: "))
    if wrong:
        raise _mistakes(file, wrong)
    return experiment


def _can_be_copied(attack: str | None) -> bool:
    """Say whether a defender can put the reference through an attack."""
    # What an attacker knows of a pattern no defender has.
    return attack is not None and ATTACKS[attack].pattern is None


def _mistakes(file: str, wrong: list[str]) -> UsageError:
    return UsageError(f"{file}: " + "\n  ".join(["", *wrong] if wrong[1:] else wrong))


def _setting_of(name: MethodName) -> tuple[str, ...]:
    return (f"method={name}",) if name in METHODS else ("method=paper",)


def _wrong_trials(experiment: Experiment) -> Iterator[str]:
    for name in ("sets", "trials", "methods", "files", "defences"):
        if not getattr(experiment, name):
            yield f"{name}: needs at least one"
    for name, trial in experiment.trials.items():
        for part in ("generated", "photographs", "reference"):
            for set_name, count in getattr(trial, part).items():
                if set_name not in experiment.sets:
                    advice = _close(set_name, experiment.sets)
                    yield f"trials.{name}.{part}: no set {set_name!r}{advice}"
                if count < 1:
                    yield f"trials.{name}.{part}.{set_name}: must be at least 1, got {count}"
        if not trial.photographs or not trial.reference:
            yield f"trials.{name}: needs photographs and a reference"


def _wrong_attacks(experiment: Experiment) -> Iterator[str]:
    for name, strengths in experiment.attacks.items():
        if not strengths:
            yield f"attacks.{name}: needs a strength"
        for mistake in dict.fromkeys(check(name, strength) for strength in strengths):
            if mistake:
                yield f"attacks.{name}: {mistake}"


def _wrong_at_native(experiment: Experiment) -> Iterator[str]:
    """Say what needs images of one size where they stay as large as they are."""
    trials = experiment.at(None)
    for name, trial in trials.items():
        for set_name in {**trial.generated, **trial.photographs, **trial.reference}:
            definition = experiment.sets.get(set_name)
            if definition is not None and definition.simulate is not None:
                yield f"trials.{name}: {set_name} is simulated and has no native size"
    if not trials:
        return
    for name, chosen in experiment.methods.items():
        if chosen.method in ONE_SIZE:
            yield f"methods.{name}: needs images of one size, not side: native"
    for name in experiment.attacks:
        if name in ATTACKS and ATTACKS[name].pattern is not None:
            yield f"attacks.{name}: needs images of one size, not side: native"


def _close(name: str, names: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, names, 1)
    return f", did you mean {close[0]!r}?" if close else f", there are {', '.join(names)}"


def _explain(detail: dict[str, Any]) -> str:
    key = ".".join(map(str, detail["loc"])) or "the file"
    if detail["type"] == "extra_forbidden":
        return f"{key}: no such key, see conf/experiments"
    if detail["type"] == "missing":
        return f"{key}: is missing"
    mistake = detail["msg"].removeprefix("Value error, ")
    return f"{key}: {mistake[:1].lower()}{mistake[1:]}, got {detail['input']!r}"
