"""From a run's results to one self-contained HTML page."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from noisescope_core.growth import FALSE_POSITIVES

from .figures import (
    LARGEST_SIDE,
    ZOOM_SIDE,
    centre,
    data_uri,
    fingerprint_pictures,
    score_figure,
    shrunk,
)

# Side in pixels of the pictures of clusters that are not a generator's.
SMALL_SIDE = 160

SCORE_FIELDS = ("images", "reference", "threshold")

Record = Mapping[str, Any]


def render_report(
    summary: Record,
    scores: Sequence[Record],
    fingerprints: Sequence[Record],
    flagged: Sequence[Record],
    set_aside: Sequence[Record],
) -> str:
    """Report of a run as one HTML page that needs no other file and no network.

    Parameters
    ----------
    summary : mapping
        What ``summary.json`` holds: ``version``, ``method``, ``started``, ``seconds``,
        ``images``, ``reference``, ``counts``, ``reasons``, ``sizes``, ``stages``, ``warnings``,
        ``config``.
    scores : sequence of mappings
        One per size: ``width``, ``height`` (pixels), ``threshold`` (PCE or None), ``images`` and
        ``reference`` (float, shape (n,) and (m,), PCE).
    fingerprints : sequence of mappings
        One per cluster examined: ``fingerprint_id``, ``width``, ``height`` (pixels), ``images``
        (members), ``flagged`` (a generator's or not), ``margin`` (LOF score minus offset,
        negative for an outlier; or None), ``cohesion`` and ``repeats`` (times chance, of the
        cluster and of the best ones with drawn signs; or None), ``in_reference``, ``header``,
        ``same_header``, ``watermark``, ``watermarked`` (further evidence, or None), ``pixels``
        (float32, shape (H, W), the pattern).
    flagged : sequence of mappings
        Some or all of the images judged fake: ``path``, ``image_id``, ``score``, ``threshold``,
        ``fingerprint_id``, ``width``, ``height``, ``shift_x`` and ``shift_y`` (where on the
        fingerprint it lies, None in place), ``thumbnail`` (JPEG bytes or None).
    set_aside : sequence of mappings
        Some or all of the files without a verdict: ``path``, ``status``, ``reason``.

    Returns
    -------
    str
        HTML. The same input gives the same text.
    """
    headline, meaning = answer(summary)
    examined = sorted(fingerprints, key=lambda record: -record["images"])
    return template("report.html.j2").render(
        summary=summary,
        counts=summary["counts"],
        headline=headline,
        meaning=meaning,
        figures=[
            # Made of numbers alone, so there is nothing in it to escape.
            {
                **record,
                "svg": Markup(score_figure(*(record[f] for f in SCORE_FIELDS))),  # noqa: S704
            }
            for record in scores
        ],
        generators=[
            {**record, **fingerprint_pictures(record["pixels"])}
            for record in examined
            if record["flagged"]
        ],
        others=[
            {
                **record,
                **fingerprint_pictures(
                    # An overlay lies somewhere, and unlike noise it outlives scaling down.
                    shrunk(record["pixels"], SMALL_SIDE)
                    if record["maker"] == "overlay"
                    else centre(record["pixels"], SMALL_SIDE)
                ),
            }
            for record in examined
            if not record["flagged"]
        ],
        gallery=gallery(flagged),
        shown=len(flagged),
        set_aside=set_aside,
        settings=list(settings(summary["config"])),
        false_alarms=false_alarms(summary),
        largest_side=LARGEST_SIDE,
        small_side=SMALL_SIDE,
        zoom_side=ZOOM_SIDE,
    )


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
    environment.filters.update(number=number, duration=duration, plural=plural)
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


def gallery(flagged: Sequence[Record]) -> list[tuple[str, list[Record]]]:
    """Flagged images by fingerprint, the largest group first, the highest score first."""
    groups: dict[str, list[Record]] = {}
    for record in sorted(flagged, key=lambda record: (-record["score"], record["path"])):
        thumbnail = record["thumbnail"]
        source = data_uri(thumbnail, "image/jpeg") if thumbnail else None
        groups.setdefault(str(record["fingerprint_id"]), []).append({**record, "source": source})
    return sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))


def settings(config: Record, above: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of a nested configuration as dotted key and JSON value."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from settings(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", json.dumps(value, ensure_ascii=False, default=str)
