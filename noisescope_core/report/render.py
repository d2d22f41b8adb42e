"""From a run's results to one self-contained HTML page."""

from __future__ import annotations

import hashlib
import json
import shlex
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from noisescope_core.config import Config
from noisescope_core.lattice.families import MOST_RELATED
from noisescope_core.method import Words
from noisescope_core.report.answer import Record, answer, records_in_words, words_of
from noisescope_core.report.evidence import measurements, reason
from noisescope_core.report.figures import (
    LARGEST_SIDE,
    ZOOM_SIDE,
    Panel,
    centre,
    cohesion_figure,
    data_uri,
    fingerprint_pictures,
    score_figure,
    shrunk,
)
from noisescope_core.report.formats import address, duration, number, percent, plural, visible

SMALL_SIDE = 160
"""Pixels a side of the pictures of patterns that are not a generator's; chosen: two of them fit
beside their text."""

MOST_PIECES = 40
"""Groups of one round of merging that are drawn apart; chosen: more would be thinner than a line
can show."""


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
        ``warnings``, ``config``; and ``out``, the run's directory. ``lattices``, ``families``
        and ``records`` may be missing.
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
    words = words_of(summary)
    examined = sorted(fingerprints, key=lambda record: -record["images"])
    generators = [record for record in examined if record["flagged"]]
    return template("report.html.j2").render(
        **_of_run(summary, words),
        **_of_fingerprints(examined, words),
        **_of_families(summary, generators),
        gallery=[_with_picture(image) for image in in_order(flagged, generators)],
        further=in_order(further, generators),
        carriers=carriers([*flagged, *further], generators),
        set_aside=set_aside,
        **_script(),
    )


def _of_run(summary: Record, words: Words) -> dict[str, Any]:
    """Put together what the page tells of the run as a whole, and of its method."""
    headline, meaning = answer(summary)
    share = words.false_alarms(summary["config"])
    shares = {"share": f"{100 * share:g}", "per_thousand": f"{1000 * share:g}"}
    return {
        "summary": summary,
        "counts": summary["counts"],
        "headline": headline,
        "records": {row["fingerprint_id"]: row for row in summary.get("records", ())},
        "claims": records_in_words(summary),
        "meaning": meaning,
        "words": words,
        "terms": [(term, meaning.format_map(shares)) for term, meaning in words.terms],
        "settings": list(settings(summary["config"])),
        "command": command(summary),
        "explain": shlex.join(["noisescope", "explain", "FILE", "--run", summary["out"]]),
    }


def _of_fingerprints(examined: Sequence[Record], words: Words) -> dict[str, Any]:
    """Put together what the page tells of all fingerprints, the largest first."""
    pictured = [record for record in examined if record["pixels"] is not None]
    return {
        "generators": [_large(record, words) for record in pictured if record["flagged"]],
        "others": [_small(record) for record in pictured if not record["flagged"]],
        "unshown": [record for record in examined if record["pixels"] is None],
        "largest_side": LARGEST_SIDE,
        "small_side": SMALL_SIDE,
        "zoom_side": ZOOM_SIDE,
    }


def _of_families(summary: Record, generators: Sequence[Record]) -> dict[str, Any]:
    """Put together what the page tells of families, and where it tells of a fingerprint."""
    pictured = [record for record in generators if record["pixels"] is not None]
    lattices = summary.get("lattices") or {"fingerprints": 0, "other_patterns": 0}
    return {
        "families": summary.get("families", []),
        "places": {record["fingerprint_id"]: number for number, record in enumerate(pictured, 1)},
        "most_related": MOST_RELATED,
        "lattices": lattices["fingerprints"] + lattices["other_patterns"],
    }


def _script() -> dict[str, Any]:
    """Read the page's script, and the hash by which its policy lets it run."""
    script = files("noisescope_core.report").joinpath("gallery.js").read_text(encoding="utf-8")
    return {
        # The package's own text; the policy lets no other run.
        "script": Markup(script),  # noqa: S704
        "script_hash": b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    }


def _large(record: Record, words: Words) -> dict[str, Any]:
    """Put together what the page tells of a generator's fingerprint."""
    scores = record["scores"]
    panels: list[Panel] = [
        ("Reference photographs, nearest to it", *scores["reference"]),
        ("Other images tested, nearest to it", *scores["others"]),
        ("Its members", *scores["members"]),
    ]
    cohesion = record["cohesion"]
    # A lattice's cohesion is a cosine, not in units of chance.
    in_place = cohesion is not None and record.get("kind") != "lattice"
    agreement = cohesion_figure(cohesion, record["repeats"] or []) if in_place else ""
    return {
        **record,
        **fingerprint_pictures(record["pixels"]),
        "purity": _purity(record["purity"], words),
        "measurements": measurements(record),
        "why": reason(record),
        # Made of numbers alone, so there is nothing in them to escape.
        "figure": Markup(score_figure(panels, record["threshold"])),  # noqa: S704
        "agreement": Markup(agreement),  # noqa: S704
        "rounds": [_round(step, record["images"]) for step in record["growth"] if "round" in step],
        "steps": [step for step in record["growth"] if "step" in step],
    }


def _purity(purity: float | None, words: Words) -> str | None:
    return None if purity is None else words.purity.format(share=percent(purity))


def _small(record: Record) -> dict[str, Any]:
    """Put together what the page tells of a pattern that is not a generator's."""
    # An overlay lies somewhere, and unlike noise it outlives scaling down.
    cut = shrunk if record["maker"] == "overlay" else centre
    pictures = fingerprint_pictures(cut(record["pixels"], SMALL_SIDE))
    maker = record["maker"]
    speaking = [
        measurement
        for measurement in measurements(record)
        if measurement.against and measurement.maker == maker
    ]
    return {**record, **pictures, "why": reason(record), "measurements": speaking}


def _round(step: Record, images: int) -> dict[str, Any]:
    """Put together what the page draws of one round of merging."""
    groups = sorted(step["groups"], reverse=True)
    return {
        **step,
        "count": len(groups),
        "largest": max(groups, default=0),
        "drawn": groups[:MOST_PIECES],
        "rest": sum(groups[MOST_PIECES:]),
        "images": images,
    }


def _with_picture(image: Record) -> dict[str, Any]:
    thumbnail = image["thumbnail"]
    return {**image, "source": data_uri(thumbnail, "image/jpeg") if thumbnail else None}


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


def settings(config: Record, above: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of a nested configuration as dotted key and JSON value."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from settings(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", json.dumps(value, ensure_ascii=False, default=str)


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
