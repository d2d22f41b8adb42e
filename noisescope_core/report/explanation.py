"""The explanation of one image: as words and as a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import cv2
import numpy as np
from markupsafe import Markup
from matplotlib import style
from matplotlib.figure import Figure
from numpy.typing import NDArray

from noisescope_core.app.explanation import Explanation, Match
from noisescope_core.correlation.surface import middle_hole, peak_in_the_middle
from noisescope_core.report.figures import (
    FLAG,
    INK,
    MUTED,
    QUIET,
    STYLE,
    centre,
    data_uri,
    grey_png,
    inline_svg,
    pixels_of,
    signed_root,
)
from noisescope_core.report.formats import plural
from noisescope_core.report.plots import AROUND, SHOWN_SIDE, around_peak, draw_scores, score_edges
from noisescope_core.report.render import template
from noisescope_core.whitened.planes.bands import BANDS, PLANES

NOTHING_KNOWN = "Nothing can be said about this image."

BLOCKS = " \u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
"""Bars of a histogram in a terminal, from none to the whole height of a line."""


def verdict_of(explanation: Explanation) -> tuple[str, str]:
    """Give the verdict in one sentence, and what it rests on in a few more."""
    match = explanation.match
    headline, meaning = NOTHING_KNOWN, _sentence(explanation.reason)
    if explanation.status == "quarantined" and explanation.pixels is None:
        headline = "Not a readable image."
    elif match is None and not explanation.reason:
        meaning = (
            "No generator\u2019s fingerprint was found in the run, so there is nothing to hold "
            "the image against. That does not prove it a photograph."
        )
    elif match is not None and match.is_fake:
        headline, meaning = _carries_it(match)
    elif match is not None and explanation.status != "unscored":
        headline, meaning = _carries_none(match)
    if not explanation.of_run:
        meaning += " The run did not test this file; it was tested just now."
    return headline, meaning


def _carries_it(match: Match) -> tuple[str, str]:
    name = match.fingerprint["fingerprint_id"]
    evidence = _higher_references(match)
    if match.shift is not None:
        where = _shifted(*match.shift)
        if match.fingerprint.get("kind") == "lattice":
            where += ", modulo 16,"
        evidence = (
            f"It lies {where} on the images of that fingerprint: a crop, or an "
            "image of another size."
        )
    return (
        "Generated, by all that this run can tell.",
        f"It carries fingerprint {name}: its score of {match.score:,.1f} is "
        f"{match.score / match.threshold:,.1f} times the threshold of {match.threshold:,.1f}. "
        f"{evidence}",
    )


def _carries_none(match: Match) -> tuple[str, str]:
    name = match.fingerprint["fingerprint_id"]
    return (
        "No fingerprint was found in this image.",
        f"Closest is {name}, but its score of {match.score:,.1f} is below the threshold of "
        f"{match.threshold:,.1f}. {_higher_references(match)} That does not prove it a "
        "photograph: generators of which the pile held too few images leave no fingerprint to "
        "compare with.",
    )


def _higher_references(match: Match) -> str:
    """Say how many reference photographs score as high as the image."""
    if not len(match.scores.reference):
        return "Scores of reference photographs are not kept by scans."
    higher = int(np.count_nonzero(match.scores.reference >= match.score))
    photographs = plural(len(match.scores.reference), "reference photograph")
    if not higher:
        return f"None of {photographs} scores as high."
    return f"{higher:,} of {photographs} score as high."


def _sentence(reason: str | None) -> str:
    return f"{reason}.".capitalize() if reason else ""


def as_json(explanation: Explanation) -> dict[str, Any]:
    """Say what the explanation says as values that JSON knows; pictures are left out."""
    headline, meaning = verdict_of(explanation)
    values: dict[str, Any] = {
        name: getattr(explanation, name)
        for name in ("path", "image_id", "of_run", "status", "reason")
    }
    values |= {"verdict": headline, "meaning": meaning, "facts": dict(facts(explanation))}
    if match := explanation.match:
        names = ["score", "threshold", "confidence", "is_fake", "shift", "is_member", "peak"]
        values |= {name: getattr(match, name) for name in names}
        values["fingerprint_id"] = match.fingerprint["fingerprint_id"]
        values["changes"] = [asdict(change) for change in match.changes]
        if match.bands is not None:
            values["bands"] = dict(zip(BANDS, match.bands.tolist(), strict=True))
    return values


def facts(explanation: Explanation) -> list[tuple[str, str]]:
    """Say what the verdict rests on, name and value."""
    match = explanation.match
    if match is None:
        return []
    row = match.fingerprint
    x, y = match.peak
    where = "in place" if (x, y) == (0, 0) else f"at a shift of {_shifted(x, y)}"
    peak, beside = _peaks(match)
    size = "any size" if row.get("kind") == "lattice" else f"{row['width']} x {row['height']}"
    made = f"{row['images']:,} images of {size}"
    rows = [
        ("fingerprint", f"{row['fingerprint_id']}, from {made}"),
        ("score", f"{match.score:,.1f}, threshold {match.threshold:,.1f}"),
        ("factor", None if match.factor is None else f"rescaled by {match.factor:.3f} since then"),
        ("confidence", None if match.confidence is None else f"{match.confidence:.3f}"),
        ("reference", _spread(match.scores.reference, "photographs")),
        ("flagged", _spread(match.scores.flagged, "images that carry it")),
        ("others", _spread(match.scores.others, "images that do not")),
        ("peak", f"PCE {peak:,.1f} {where}; the highest elsewhere {beside:,.1f}"),
        ("agreement", None if match.bands is None else _agreement(match.bands)),
        ("member", "the fingerprint was made from it too; it is left out of its own score"
         if match.is_member and match.bands is not None else None),
    ]  # fmt: skip
    return [(name, value) for name, value in rows if value]


def _shifted(x: int, y: int) -> str:
    right, down = ("right" if x >= 0 else "left"), ("down" if y >= 0 else "up")
    return f"{abs(x)} pixels {right} and {abs(y)} {down}"


def _spread(scores: NDArray[np.float64], of: str) -> str | None:
    if not len(scores):
        return None
    low, middle, high = np.quantile(scores, [0, 0.5, 1])
    return f"{len(scores):,} {of}: {low:,.1f} to {high:,.1f}, median {middle:,.1f}"


def _peaks(match: Match) -> tuple[float, float]:
    """Measure PCE at the peak, and the highest away from it."""
    surface = peak_in_the_middle(match.surface)
    peak = float(surface.max()) ** 2
    surface[middle_hole(surface.shape)] = 0
    return peak, float(surface.max()) ** 2


def _agreement(bands: NDArray[np.float64]) -> str:
    planes = bands.reshape(len(PLANES), -1).sum(1)
    parts = [f"{name} {value:+,.1f}" for name, value in zip(PLANES, planes, strict=True)]
    best = BANDS[int(bands.argmax())]
    return f"{', '.join(parts)}; most in {best} cycles a pixel"


def changes(match: Match) -> list[tuple[str, str, str]]:
    """List what would change the verdict: what was done, score, verdict."""
    return [
        (change.what, f"{change.score:,.1f}", "flagged" if change.is_fake else "not flagged")
        for change in match.changes
    ]


def history(verdicts: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """List verdicts of a file by scans: scan, when it ended, verdict, fingerprint, score."""
    rows: list[tuple[str, ...]] = []
    for row in verdicts:
        said = "flagged" if row["is_fake"] else "not flagged"
        if row["is_fake"] is None:
            said = row["status"] + (f": {row['reason']}" if row["reason"] else "")
        score = "" if row["score"] is None else f"{row['score']:,.1f}"
        name = row["fingerprint_id"] if row["is_fake"] else ""
        rows.append((f"{row['scan']}", _day(row["finished"]), said, name, score))
    return rows


def decisions(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what was decided about fingerprints, a line each."""
    return [
        f"{_day(row['decided'])}  {row['analyst']}: {row['fingerprint_id']} {row['state']}"
        + (f" into {row['merged_into']}" if row["merged_into"] else "")
        + (f", {row['note']}" if row["note"] else "")
        for row in rows
    ]


def _day(time: datetime | None) -> str:
    """Write a time, UTC; a scan that has not ended has none."""
    return "" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"


def strips(match: Match, width: int) -> list[str]:
    """Draw the scores as lines of blocks, the image's own place marked below.

    Parameters
    ----------
    width : characters
    """
    edges = score_edges(match.scores, match.threshold, match.score, width)
    lines = []
    for name, scores in (("reference", match.scores.reference), ("others", match.scores.others),
                         ("flagged", match.scores.flagged)):  # fmt: skip
        counts, _ = np.histogram(np.clip(signed_root(scores), edges[0], edges[-1]), edges)
        heights = np.ceil((len(BLOCKS) - 1) * counts / max(int(counts.max()), 1)).astype(int)
        lines.append(f"{name:<10}" + "".join(BLOCKS[k] for k in heights))
    places = {float(signed_root(match.threshold)): "|", float(signed_root(match.score)): "\u25b2"}
    marks = [" "] * width
    for value, mark in places.items():
        marks[int(np.clip(np.searchsorted(edges, value, "right") - 1, 0, width - 1))] = mark
    lines.append(" " * 10 + "".join(marks) + "  \u25b2 this image, | threshold")
    return lines


def render_explanation(
    explanation: Explanation, past: Mapping[str, Sequence[Mapping[str, Any]]] | None = None
) -> str:
    """Page on one image, which needs no other file and no network.

    Parameters
    ----------
    past : rows of `history` and `decisions` of a file of scans; None for an image of a run
    """
    headline, meaning = verdict_of(explanation)
    match = explanation.match
    views = [*_own_views(explanation), *(_views_of_match(match) if match else ())]
    return template("explanation.html.j2").render(
        explanation=explanation,
        headline=headline,
        meaning=meaning,
        facts=facts(explanation),
        views=[{"source": source, "what": caption} for source, caption in views],
        # Made of numbers alone, so there is nothing in it to escape.
        figure=Markup(_score_svg(match) if match else ""),  # noqa: S704
        changes=changes(match) if match else [],
        history=history(past["history"]) if past else [],
        decisions=decisions(past["decisions"]) if past else [],
    )


def _own_views(explanation: Explanation) -> Iterator[tuple[str, str]]:
    """Draw the image and its residual: source and caption of each that there is."""
    if explanation.pixels is not None:
        yield _picture(explanation.pixels), "The image."
    if explanation.residual is not None:
        yield (
            _stretched(explanation.residual),
            "Its noise residual, what a denoiser takes away; at most the centre is shown, "
            "contrast stretched.",
        )


def _views_of_match(match: Match) -> Iterator[tuple[str, str]]:
    """Draw the fingerprint and how the image correlates with it: source and caption of each."""
    yield (
        _stretched(pixels_of(match.fingerprint)),
        "The fingerprint that it fits best: the mean noise of "
        f"{plural(match.fingerprint['images'], 'image')}.",
    )
    around = around_peak(match.surface)
    enlarged = cv2.resize(around, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
    yield (
        grey_png(enlarged, 0.0, float(around.max())),
        f"How well the two agree when one is shifted, {AROUND} pixels each way around the best "
        "shift. A peak is one bright dot; unrelated noise has none.",
    )


def _stretched(residual: NDArray[np.float32]) -> str:
    """Draw the centre of a residual; black and white are 3 standard deviations."""
    pixels = centre(residual, SHOWN_SIDE)
    reach = 3 * float(pixels.std())
    return grey_png(pixels, -reach, reach)


def _score_svg(match: Match) -> str:
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(10, 3.6), layout="constrained")
        colours = {name: name for name in (INK, MUTED, QUIET, FLAG)}
        draw_scores(figure.subplots(), match.scores, match.threshold, match.score, colours)
        return inline_svg(figure)


def _picture(pixels: NDArray[np.uint8]) -> str:
    scale = min(1.0, SHOWN_SIDE / max(pixels.shape[:2]))
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if small.ndim == 3:
        small = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    return data_uri(cv2.imencode(".jpg", small)[1].tobytes(), "image/jpeg")
