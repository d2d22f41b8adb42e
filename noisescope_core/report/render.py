"""From a run's results to one self-contained HTML page."""

from __future__ import annotations

import hashlib
import json
import math
import shlex
import unicodedata
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from noisescope_core.config import Config
from noisescope_core.whitened.growth import FALSE_POSITIVES

from .evidence import measurements, reason
from .figures import (
    LARGEST_SIDE,
    ZOOM_SIDE,
    centre,
    cohesion_figure,
    data_uri,
    fingerprint_pictures,
    score_figure,
    shrunk,
)

# Side in pixels of the pictures of clusters that are not a generator's.
SMALL_SIDE = 160

MOST_PIECES = 40
"""Groups of one round of merging that are drawn apart."""

LINKED = {"abfs", "abfss", "dbfs", "file", "gs", "hdfs", "http", "https", "s3", "s3a", "wasbs"}
"""Schemes of addresses that are links; any other could be a program."""

Record = Mapping[str, Any]


def render_report(
    summary: Record,
    fingerprints: Sequence[Record],
    flagged: Sequence[Record],
    further: Sequence[Record],
    set_aside: Sequence[Record],
) -> str:
    """Report of a run as one HTML page that needs no other file and no network.

    Parameters
    ----------
    summary : mapping
        What ``summary.json`` holds: ``version``, ``versions``, ``method``, ``started``,
        ``seconds``, ``images``, ``reference``, ``counts``, ``reasons``, ``sizes``, ``stages``,
        ``warnings``, ``config``; and ``out``, the run's directory.
    fingerprints : sequence of mappings
        One per cluster examined: the columns of the table ``fingerprints`` but those that only
        scoring needs. ``pixels`` (float32, shape (H, W)) is None for those that are only listed.
        A generator's (``flagged``) that is shown has beside these ``scores`` (``members``,
        ``others`` and ``reference``: scores (n,) and how many images have each (n,)),
        ``threshold`` (a score, or None), ``purity`` (share of its members that carry it, 0 to 1,
        or None), ``carried`` and ``elsewhere`` (flagged images, and how many of them were not
        matched in place), ``growth`` (by the paper's method ``round``, ``groups``: sizes of the
        groups that its members were in, ``alone``: members that were in none; else ``step``,
        ``images`` of the set and ``members`` among them).
    flagged : sequence of mappings
        Images judged fake that are shown: ``path``, ``image_id``, ``score``, ``confidence`` (or
        None), ``fingerprint_id``, ``shift_x`` and ``shift_y`` (where on the fingerprint it lies,
        None in place), ``thumbnail`` (JPEG bytes or None).
    further : sequence of mappings
        Images judged fake that are only listed: the same without ``thumbnail``.
    set_aside : sequence of mappings
        Some or all of the files without a verdict: ``path``, ``status``, ``reason``.

    Returns
    -------
    str
        HTML. The same input gives the same text.
    """
    headline, meaning = answer(summary)
    examined = sorted(fingerprints, key=lambda record: -record["images"])
    generators = [record for record in examined if record["flagged"]]
    others = [record for record in examined if not record["flagged"]]
    script = files("noisescope_core.report").joinpath("gallery.js").read_text(encoding="utf-8")
    return template("report.html.j2").render(
        summary=summary,
        counts=summary["counts"],
        headline=headline,
        meaning=meaning,
        generators=[_shown(record) for record in generators if record["pixels"] is not None],
        others=[_small(record) for record in others if record["pixels"] is not None],
        unshown=[record for record in examined if record["pixels"] is None],
        gallery=[_pictured(record) for record in in_order(flagged, generators)],
        further=in_order(further, generators),
        carriers=carriers([*flagged, *further], generators),
        set_aside=set_aside,
        settings=list(settings(summary["config"])),
        command=command(summary),
        explain=shlex.join(["noisescope", "explain", "FILE", "--run", summary["out"]]),
        false_alarms=false_alarms(summary),
        largest_side=LARGEST_SIDE,
        small_side=SMALL_SIDE,
        zoom_side=ZOOM_SIDE,
        # The package's own text; the policy lets no other run.
        script=Markup(script),  # noqa: S704
        script_hash=b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    )


def _shown(record: Record) -> dict[str, Any]:
    """What the page tells of a generator's fingerprint."""
    panels = [
        ("Reference photographs, nearest to it", *record["scores"]["reference"]),
        ("Other images tested, nearest to it", *record["scores"]["others"]),
        ("Its members", *record["scores"]["members"]),
    ]
    repeats = record["repeats"] or []
    known = record["cohesion"] is not None
    return {
        **record,
        **fingerprint_pictures(record["pixels"]),
        "measurements": measurements(record),
        "why": reason(record),
        # Made of numbers alone, so there is nothing in them to escape.
        "figure": Markup(score_figure(panels, record["threshold"])),  # noqa: S704
        "agreement": Markup(cohesion_figure(record["cohesion"], repeats) if known else ""),  # noqa: S704
        "rounds": [_round(step, record["images"]) for step in record["growth"] if "round" in step],
        "steps": [step for step in record["growth"] if "step" in step],
    }


def _small(record: Record) -> dict[str, Any]:
    """What the page tells of a cluster that is not a generator's."""
    # An overlay lies somewhere, and unlike noise it outlives scaling down.
    cut = shrunk if record["maker"] == "overlay" else centre
    pictures = fingerprint_pictures(cut(record["pixels"], SMALL_SIDE))
    told = [one for one in measurements(record) if one.against and one.maker == record["maker"]]
    return {**record, **pictures, "why": reason(record), "measurements": told}


def _round(step: Record, images: int) -> dict[str, Any]:
    groups = sorted(step["groups"], reverse=True)
    return {**step, "count": len(groups), "largest": max(groups, default=0),
            "drawn": groups[:MOST_PIECES], "rest": sum(groups[MOST_PIECES:]),
            "images": images}  # fmt: skip


def _pictured(record: Record) -> dict[str, Any]:
    thumbnail = record["thumbnail"]
    return {**record, "source": data_uri(thumbnail, "image/jpeg") if thumbnail else None}


def in_order(images: Sequence[Record], generators: Sequence[Record]) -> list[Record]:
    """Flagged images, those of the largest fingerprint first, its highest score first."""
    place = {record["fingerprint_id"]: number for number, record in enumerate(generators)}
    return sorted(
        images,
        key=lambda image: (
            place.get(image["fingerprint_id"], len(place)),
            str(image["fingerprint_id"]),
            -image["score"],
            image["path"],
        ),
    )


def carriers(images: Sequence[Record], generators: Sequence[Record]) -> list[tuple[str, int]]:
    """Fingerprints of the images, and how many of these each has."""
    counts: dict[str, int] = {}
    for image in in_order(images, generators):
        name = image["fingerprint_id"]
        counts[name] = counts.get(name, 0) + 1
    return list(counts.items())


def address(path: str) -> str | None:
    """Address of a file for a link: percent-encoded, of a scheme that starts no program.

    Parameters
    ----------
    path : str
        Absolute path or URI, as the tables have it. A URI is left as it is but for characters
        that no URI may hold.

    Returns
    -------
    str or None
        None where there is nothing to link to.
    """
    scheme, colon, rest = path.partition("://")
    try:
        if path.startswith("/") and not path.startswith("//"):
            return f"file://{quote(path, errors='surrogateescape')}"
        if colon and scheme.lower() in LINKED:
            kept = "/:?#[]@!$&'()*+,;=%"
            return f"{scheme}://{quote(rest, safe=kept, errors='surrogateescape')}"
    except UnicodeEncodeError:
        return None
    return None


def command(summary: Record) -> str:
    """The command line that makes a run again, with every setting that is not the default."""
    default = dict(settings(Config().model_dump()))
    changed = [
        f"{key}={_plain(value)}"
        for key, value in settings(summary["config"])
        if default.get(key) != value
    ]
    words = ["noisescope", "detect", "--images", summary["images"], "--reference",
             summary["reference"], "--out", summary["out"]]  # fmt: skip
    for setting in changed:
        words += ["--set", setting]
    return shlex.join(words)


def _plain(value: str) -> str:
    """JSON without its quotes, where YAML reads the same text."""
    text = json.loads(value)
    with suppress(yaml.YAMLError):
        if isinstance(text, str) and yaml.safe_load(text) == text:
            return text
    return value


def percent(share: float | None, digits: int = 1) -> str:
    """Share as a percentage that is 100 or 0 only if it is all or nothing."""
    if share is None or not math.isfinite(share):
        return "\u2013"
    least = 0.1**digits
    value = 100 * share
    if 0 < share < 1:
        if value > 100 - least:
            return f"> {100 - least:.{digits}f} %"
        if value < least:
            return f"< {least:.{digits}f} %"
    return f"{value:.{digits}f} %"


def template(name: str) -> Template:
    """Page of this package; every value printed passes `visible` and then the escaping."""
    environment = Environment(
        loader=PackageLoader("noisescope_core", "report"),
        autoescape=True,
        finalize=visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number, duration=duration, plural=plural, percent=percent, address=address
    )
    return environment.get_template(name)


def answer(summary: Record) -> tuple[str, str]:
    """The run's result in one sentence, and what it means.

    Parameters
    ----------
    summary : mapping
        As for `render_report`.

    Returns
    -------
    tuple of str
        Plain text, not escaped.
    """
    counts = summary["counts"]
    scored, fake, total = counts["scored"], counts["fake"], counts["files"]
    found = sum(size["fingerprints"] for size in summary["sizes"])
    if not total:
        return (
            "No image could be scored.",
            "There were no files: check the path of the images.",
        )
    if not scored:
        causes = sorted(summary["reasons"], key=lambda cause: -cause["files"])
        listed = [f"{cause['reason']} ({plural(cause['files'], 'file')})" for cause in causes]
        more = f"; and {len(listed) - 3:,} more, listed below" if len(listed) > 3 else ""
        return (
            "No image could be scored.",
            f"The reasons: {'; '.join(listed[:3]) or 'none was recorded'}{more}. Nothing is said "
            "here about whether these files are generated.",
        )
    others = sum(size["other_patterns"] for size in summary["sizes"])
    if not found and others:
        return (
            f"No generator\u2019s fingerprint was found among {plural(scored, 'image')}.",
            f"{plural(others, 'group')} of images that share a noise pattern "
            f"{'was' if others == 1 else 'were'} found, but one that photographs can have, from "
            "a sensor, a frame or the compression: it flags none. That does not prove the images "
            "to be photographs.",
        )
    if not found:
        return (
            f"No generator\u2019s fingerprint was found among {plural(scored, 'image')}.",
            "No group of them shares a noise pattern that the reference photographs lack. That "
            "does not prove them to be photographs: a generator that made only a few of them, or "
            "whose images were resized or strongly compressed, can stay unseen.",
        )
    carry = "carries" if fake == 1 else "carry"
    some = f"{fake:,}" if fake else "None"
    marks = (
        "the fingerprint of 1 generator."
        if found == 1
        else f"a generator\u2019s fingerprint; {found:,} different fingerprints were found."
    )
    expected = false_alarms(summary) * counts["real"]
    about = "at most about" if summary["method"] == "whitened" else "about"
    alarms = f"{about} {plural(round(expected), 'photograph')}"
    elsewhere = counts["elsewhere"]
    return (
        f"{some} of {plural(scored, 'image')} {carry} {marks}",
        "Images of one generator share a faint noise pattern that the reference photographs do "
        f"not have. The threshold lets {alarms if expected >= 1 else 'less than one photograph'} "
        "through by chance"
        + (
            "; photographs that were clustered with the generator by mistake come on top."
            if summary["method"] != "whitened"
            else "."
        )
        + (
            f" {elsewhere:,} of the {fake:,} {'was' if elsewhere == 1 else 'were'} found elsewhere "
            "on a fingerprint: crops, or images of another size."
            if elsewhere
            else ""
        )
        if fake
        else "A group of images led to the fingerprint, yet none scores above the threshold.",
    )


def false_alarms(summary: Record) -> float:
    """Share of photographs like the reference that a threshold lets through at most, 0 to 1."""
    if summary["method"] == "whitened":
        return FALSE_POSITIVES
    return 1 - float(summary["config"]["detection"]["percentile"]) / 100


def visible(value: object) -> object:
    """Text with every character that cannot be seen, or that moves others, spelt out.

    Control and format characters, line separators, unpaired surrogates (a file name that is not
    UTF-8) and unassigned code points become ``\u27e8U+202E\u27e9``. Markup and other types pass
    unchanged.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    if value.isascii() and value.isprintable():
        return value
    return "".join(
        f"\u27e8U+{ord(character):04X}\u27e9"
        if unicodedata.category(character) in {"Cc", "Cf", "Cn", "Cs", "Zl", "Zp"}
        else character
        for character in value
    )


def number(value: float | None, digits: int = 0) -> str:
    """Number with thousands separated, a true minus, and a dash for a missing one."""
    if value is None or not math.isfinite(value):
        return "\u2013"
    return f"{value:,.{digits}f}".replace("-", "\u2212")


def duration(seconds: float) -> str:
    """Seconds as people say them: ``41.2 s``, ``7 min 5 s``, ``3 h 12 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {rest} s"


def plural(count: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def settings(config: Record, above: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of a nested configuration as dotted key and JSON value."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from settings(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", json.dumps(value, ensure_ascii=False, default=str)
