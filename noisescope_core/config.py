"""Configuration: one validated object, every value that the method uses a key of it."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from noisescope_core.errors import UsageError

Route = Literal["pairs", "spectral", "shards"]
"""How a pile is searched: all pairs, leading directions first, or shard by shard."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Decode(_Section):
    """Limits that hold before a file is decoded."""

    max_bytes: int = Field(104_857_600, ge=1, le=1_073_741_824, description="largest file, bytes")
    max_pixels: int = Field(33_554_432, ge=4096, description="largest image, pixels")
    min_side: int = Field(64, ge=16, description="shortest side that is scored, pixels")


class Residual(_Section):
    """Noise residual."""

    sigma: float = Field(2.0, gt=0, le=255, description="noise assumed, grey levels")
    levels: int = Field(4, ge=1, le=8, description="levels of the wavelet transform")
    denoiser: Literal["wavelet", "blur", "nlm"] = Field(
        "wavelet", description="filter whose estimate is taken from each channel"
    )


class Calibration(_Section):
    """T_merge from the reference set."""

    t_merge: float | None = Field(None, gt=0, description="fixed T_merge, null calibrates it")
    fingerprints: int = Field(40, ge=2, description="fingerprints of real images compared")
    images: int = Field(20, ge=1, description="images in each of them")
    percentile: float = Field(99.5, gt=0, le=100, description="percentile of their PCEs")


class Clustering(_Section):
    """Fast merging."""

    check_above: int = Field(150, ge=1, description="classify before a round above this size")
    classify_above: int = Field(50, ge=1, description="only clusters of more images than this")
    exact: bool = Field(False, description="work out the 11x11 hole of every pair")


class Texture(_Section):
    """Fingerprint classifier."""

    images: int = Field(50, ge=1, description="images in a classified fingerprint")
    shuffles: int = Field(5, ge=1, description="shuffles of the reference set cut in blocks")
    neighbours: int = Field(30, ge=1, description="neighbours of the local outlier factor")
    contamination: float = Field(1e-4, gt=0, le=0.5, description="reference outliers, share")


class Detection(_Section):
    """Image detector."""

    percentile: float = Field(99.5, gt=0, le=100, description="percentile of reference scores")
    alignments: Literal["all", "own"] = Field(
        "all", description="where on a fingerprint the whitened method looks for an image"
    )


class Whitening(_Section):
    """Feature of the whitened method."""

    side: int = Field(
        512, ge=64, le=4096, description="largest side of the centre that is compared, pixels"
    )


class Discovery(_Section):
    """Search of the whitened method for shared patterns."""

    route: Literal["auto"] | Route = Field(
        "auto", description="how a pile is searched; auto goes by its size"
    )
    stored: int = Field(
        50_000, ge=20, description="auto: piles of more images are searched by shards"
    )
    images: int = Field(2000, ge=20, le=20_000, description="images of one size searched, at most")
    reference: int = Field(
        1000, ge=40, le=20_000, description="reference images of one size used, at most"
    )
    shard_images: int = Field(1000, ge=40, le=20_000, description="images in a shard")
    shard_reference: int = Field(
        400, ge=40, le=20_000, description="reference images beside each shard"
    )
    shards: int = Field(100, ge=1, le=10_000, description="shards of one size, at most")
    least_images: int = Field(20, ge=11, description="fewer images of one size are not searched")
    least_reference: int = Field(60, ge=20, description="fewer reference images do not calibrate")
    members: int = Field(5, ge=3, description="images in the smallest set accepted")
    chance: float = Field(0.01, gt=0, lt=1, description="of a false set among independent noise")
    margin: float = Field(1.3, ge=1, description="by which the drawn signs must be exceeded")
    repeats: int = Field(3, ge=1, le=100, description="searches with signs drawn at random")


class Lattice(_Section):
    """Search of the whitened method among images of all sizes."""

    images: int = Field(20_000, ge=20, le=100_000, description="images searched, at most")
    reference: int = Field(2000, ge=40, le=20_000, description="reference images used, at most")
    rescaled: bool = Field(
        False, description="whether images are also tried as if rescaled from likely sizes"
    )
    cropped: bool = Field(
        False, description="whether images are also tried as if cropped, at all shifts of a tile"
    )
    undetermined: Literal["report", "flag"] = Field(
        "report", description="what becomes of a lattice that may be a generator's or a phone's"
    )


class Source(_Section):
    """Where images come from."""

    key: str | None = Field(
        None, description="column of a table that names its rows, null looks for one"
    )
    column: str | None = Field(
        None, description="column of a table that holds the images, null looks for one"
    )
    attempts: int = Field(4, ge=1, le=20, description="times that a file is asked for, at most")
    unreadable: float = Field(
        0.05, ge=0, le=1, description="share of files that cannot be read that ends a run"
    )


class Scan(_Section):
    """Scheduled scans."""

    files: int = Field(1_000_000, ge=1, description="new files that a scan takes, at most")
    bytes: int = Field(1 << 40, ge=1, description="bytes of new files that a scan takes, about")
    hours: float | None = Field(
        None, gt=0, description="after which a scan reads no further batch, null never"
    )
    batch_files: int = Field(
        20_000, ge=1, description="files that are read, tested and stored at once, about"
    )
    access: Literal["executors", "spark"] = Field(
        "executors", description="who lists and reads files: executors themselves or Spark"
    )
    listing: str | None = Field(
        None, description="table of the store's files, such as Auto Loader's, null lists the store"
    )
    list_tasks: int = Field(32, ge=1, le=10_000, description="tasks that list a store")
    gather: int = Field(
        20, ge=1, description="new unclaimed images, of a size or of all, that start a search"
    )
    lease_minutes: float = Field(
        15, ge=1, description="after which a scan that died elsewhere no longer holds the tables"
    )
    work: str | None = Field(
        None, description="folder for what is no table, null for _scans beside the tables"
    )
    keep: int = Field(
        20_000, ge=100, description="unclaimed images of a scan whose features are stored, about"
    )
    keep_bytes: int = Field(
        1 << 30, ge=1 << 20, description="bytes of residuals that a scan stores, about"
    )
    waiting: int = Field(
        5000, ge=100, le=50_000, description="unclaimed images of a size that are kept, at most"
    )
    waiting_bytes: int = Field(
        50 << 30, ge=1 << 20, description="bytes of features that wait, of all sizes, at most"
    )
    waiting_days: float = Field(
        90, gt=0, description="days after which an unclaimed image waits no longer"
    )
    candidates: int = Field(
        1000, ge=1, description="candidates of the registry that are tested, those met last first"
    )
    candidate_scans: int = Field(
        180, ge=1, description="scans after which a candidate that no image met is retired"
    )


class Alerts(_Section):
    """When a scan asks for a person; null never does.

    What few files exceed by chance is no alert (docs/scheduled.md, with how defaults were chosen).
    """

    flagged: float | None = Field(None, ge=0, le=1, description="share of scored files flagged")
    quarantined: float | None = Field(0.05, ge=0, le=1, description="share of files set aside")
    unreadable: float | None = Field(
        0.01, ge=0, le=1, description="share of files that could not be read"
    )
    drift: float | None = Field(
        0.5, gt=0, description="shift of the middle score of images not flagged, spreads"
    )
    found: bool = Field(False, description="whether a new fingerprint asks for one")


class Observe(_Section):
    """Where the figures of scans go besides the table `runs`."""

    events: str | None = Field(None, description="file of JSON lines, one per stage and scan")
    prometheus: str | None = Field(None, description="textfile of the last scan's figures")
    mlflow: str | None = Field(None, description="experiment of MLflow that gets a run per scan")


class Spark(_Section):
    """How Spark is used. None of these keys changes a verdict."""

    master: str | None = Field(
        None, description="master or sc:// URL, null takes spark-submit's or local"
    )
    driver_memory: str = Field(
        "2g", pattern=r"^\d+[kmgKMG]$", description="driver heap, local mode"
    )
    block_bytes: int = Field(
        134_217_728, ge=1_048_576, le=536_870_912, description="residuals in a block, bytes"
    )
    batch_bytes: int = Field(
        33_554_432, ge=65_536, le=536_870_912, description="Arrow batch, bytes"
    )
    jars: str | None = Field(None, description="folder with Delta's jars, null fetches them")
    conf: dict[str, str | bool | int | float] = Field(
        default_factory=dict, description="further Spark settings"
    )


class Report(_Section):
    """What the report shows."""

    thumbnails: int = Field(120, ge=0, le=1000, description="flagged images shown")
    listed: int = Field(500, ge=0, le=2000, description="further flagged images listed by name")
    fingerprints: int = Field(
        12, ge=1, le=20, description="generators' fingerprints shown, and as many others"
    )
    set_aside: int = Field(100, ge=0, le=10_000, description="files set aside that are listed")


class Config(_Section):
    """A whole configuration; see `conf/default.yaml` for every key with its default."""

    method: Literal["whitened", "paper"] = Field(
        "whitened", description="whitened colour planes, or the paper's method to the letter"
    )
    seed: int = Field(0, ge=0, description="seed of every draw")
    decode: Decode = Decode()
    residual: Residual = Residual()
    calibration: Calibration = Calibration()
    clustering: Clustering = Clustering()
    texture: Texture = Texture()
    detection: Detection = Detection()
    whitening: Whitening = Whitening()
    discovery: Discovery = Discovery()
    lattice: Lattice = Lattice()
    source: Source = Source()
    scan: Scan = Scan()
    alerts: Alerts = Alerts()
    observe: Observe = Observe()
    spark: Spark = Spark()
    report: Report = Report()


def load_config(file: str | None = None, settings: Sequence[str] = ()) -> Config:
    """Read a configuration file, apply KEY=VALUE settings, and validate the whole.

    Parameters
    ----------
    file : path of a YAML file, or None for the defaults
    settings : strings such as ``calibration.t_merge=12.12``

    Raises
    ------
    UsageError
        Naming every wrong key, type and range at once, one line each.
    """
    errors: list[str] = []
    values: dict[str, Any] = {}
    if file is not None:
        values, errors = _read_yaml(Path(file))
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            errors.append(f"--set {setting}: write KEY=VALUE, such as calibration.t_merge=12.12")
            continue
        try:
            _place(values, _path(key.strip()), yaml.safe_load(text))
        except (ValueError, yaml.YAMLError):
            errors.append(f"--set {setting}: the key or the value cannot be understood")
    errors += _secrets(values)
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        errors += [_explain(dict(detail)) for detail in error.errors()]
    if errors:
        raise UsageError("configuration: " + "\n  ".join(["", *errors] if errors[1:] else errors))
    return config


def config_hash(config: Config, *sections: str) -> str:
    """Tell configurations apart that can give other verdicts: 16 hexadecimal digits.

    Parameters
    ----------
    *sections : left out, too, because what is told apart does not depend on them
    """
    deciding = config.model_dump(exclude={"alerts", "observe", "report", "spark", *sections})
    text = json.dumps(deciding, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_SECRET = re.compile(
    r"(\.|^)(access\.key|secret\.key|session\.token|account\.key|client\.secret|refresh\.token"
    r"|private\.key|authenticate\.secret|sas\.(fixed\.)?token|\w*password)(\.|$)",
    re.IGNORECASE,
)
"""Names of Spark's and Hadoop's settings that hold a credential."""


def _secrets(values: dict[str, Any]) -> list[str]:
    """Take credentials out of `spark.conf` and say where they belong, without repeating them."""
    spark = values.get("spark")
    conf = spark.get("conf") if isinstance(spark, dict) else None
    if not isinstance(conf, dict):
        return []
    found = [
        key
        for key, value in conf.items()
        if _SECRET.search(str(key)) or re.search(r"://[^/@\s]*:[^/@\s]*@", str(value))
    ]
    for key in found:
        del conf[key]
    return [
        f"spark.conf.{key}: credentials belong in the environment, a profile or the instance's "
        "role, not in a configuration (docs/cloud.md)"
        for key in found
    ]


def _read_yaml(path: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        return {}, [f"{path}: cannot be read ({error.strerror})"]
    except (yaml.YAMLError, ValueError) as error:  # A date such as 2024-13-45 is one.
        return {}, [f"{path}: is not YAML ({' '.join(str(error).split())})"]
    if content is None:
        return {}, []
    if not isinstance(content, dict):
        return {}, [f"{path}: must hold keys and values, see conf/default.yaml"]
    return content, []


def _path(key: str) -> list[str]:
    # Spark's own keys have dots in them.
    if key.startswith("spark.conf."):
        return ["spark", "conf", key.removeprefix("spark.conf.")]
    return key.split(".")


def _place(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise ValueError(key)
    values[keys[-1]] = value


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """List the keys of a section of the configuration, or of the whole `Config`."""
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield from keys(section, f"{prefix}{name}.")
        else:
            yield prefix + name


def _explain(detail: dict[str, Any]) -> str:
    key = ".".join(map(str, detail["loc"]))
    if detail["type"] != "extra_forbidden":
        return f"{key}: {detail['msg'][:1].lower()}{detail['msg'][1:]}, got {detail['input']!r}"
    known = list(Config.model_fields if isinstance(detail["input"], dict) else keys(Config))
    leaf = key.rsplit(".", 1)[-1]
    same_leaf = [name for name in known if name.rsplit(".", 1)[-1] == leaf]
    close = (
        same_leaf
        or difflib.get_close_matches(key, known, 1, 0.6)
        or [n for n in known if difflib.SequenceMatcher(None, leaf, n.split(".")[-1]).ratio() > 0.7]
    )
    advice = f"did you mean {' or '.join(close)}?" if close else "see conf/default.yaml"
    return f"{key}: no such key, {advice}"


Settings = Config | Mapping[str, object] | None
"""A configuration, or some keys of it such as `{"discovery.images": 3000}`."""


def configured(settings: Settings = None, file: str | None = None) -> Config:
    """Make a configuration: the default, the keys of a YAML file, then single keys.

    Parameters
    ----------
    settings : keys, parted by dots, to values; a configuration is returned as it is
    file : path of the YAML file

    Raises
    ------
    UsageError
        Naming all mistakes at once.

    Examples
    --------
    >>> configured({"method": "paper", "detection.percentile": 99}).detection.percentile
    99.0
    """
    if isinstance(settings, Config):
        return settings
    pairs = (settings or {}).items()
    return load_config(file, [f"{key}={'null' if v is None else v}" for key, v in pairs])
