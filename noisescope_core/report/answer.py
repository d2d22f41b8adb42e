"""A run's result in words: one sentence, and what it means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noisescope_core.method import Words
from noisescope_core.methods import METHODS
from noisescope_core.report.formats import plural
from noisescope_core.tables.schemas import UNREADABLE

UNREAD = ("quarantined", UNREADABLE)
"""Statuses of files of which nothing is known but why."""

MOST_REASONS = 3
"""Reasons that the answer names where no file could be scored; chosen: the page lists them all."""

Record = Mapping[str, Any]


def words_of(summary: Record) -> Words:
    """Find what the report says of the method of a run.

    Parameters
    ----------
    summary : mapping
        As for `render_report`.
    """
    return METHODS[summary["method"]].words


def answer(summary: Record) -> tuple[str, str]:
    """Say the run's result in one sentence, and what it means.

    Parameters
    ----------
    summary : mapping
        As for `render_report`.

    Returns
    -------
    tuple of str
        Plain text, not escaped.
    """
    if not summary["counts"]["scored"]:
        return "No image could be scored.", _why_nothing_was_scored(summary)
    fingerprints = sum(part["fingerprints"] for part in _searches(summary))
    if not fingerprints:
        images = plural(summary["counts"]["scored"], "image")
        headline = f"No generator\u2019s fingerprint was found among {images}."
        return headline, _why_nothing_was_found(summary)
    return _headline(summary["counts"], fingerprints), _meaning(summary, words_of(summary))


def families_in_words(summary: Record) -> list[str]:
    """Say in a line how many fingerprints are related; none where no two are.

    Parameters
    ----------
    summary : mapping
        As for `render_report`.
    """
    families = summary.get("families")
    if not families:
        return []
    related = sum(map(len, families))
    count = "one family" if len(families) == 1 else f"{len(families):,} families"
    return [f"Families: {related:,} fingerprints are {count} of related decoders."]


def records_in_words(summary: Record) -> list[str]:
    """Say in a line how many images say of themselves that they are generated; none if none does.

    Parameters
    ----------
    summary : mapping
        As for `render_report`; also one of `known`.
    """
    claims = [(row["fingerprint_id"], row["claiming"]) for row in summary.get("records", ())]
    claiming = sum(images for _, images in claims)
    of_flagged = sum(images for fingerprint, images in claims if fingerprint is not None)
    if not claiming:
        return []
    return [
        f"Records: {plural(claiming, 'image')} {'says it is' if claiming == 1 else 'say they are'} "
        f"generated, of which {of_flagged:,} carr{'ies' if of_flagged == 1 else 'y'} a "
        "fingerprint. Nothing is verified, and no verdict depends on it."
    ]


def set_aside_in_words(summary: Record) -> list[str]:
    """Say in a line how many files could not be read, and the most frequent reasons.

    Parameters
    ----------
    summary : mapping
        As for `render_report`.
    """
    count = sum(summary["counts"].get(status, 0) for status in UNREAD)
    if not count:
        return []
    causes = [cause for cause in summary["reasons"] if cause["status"] in UNREAD]
    causes.sort(key=lambda cause: -cause["files"])
    told = [f"{cause['files']:,}: {cause['reason']}" for cause in causes[:MOST_REASONS]]
    left_out = len(causes) - MOST_REASONS
    more = [f"and {plural(left_out, 'other reason')}"] if left_out > 0 else []
    return [f"Set aside, not read: {plural(count, 'file')} ({'; '.join([*told, *more])})."]


def _searches(summary: Record) -> list[Record]:
    """All searches of a run: of every size, and of all sizes at once where there was one."""
    lattices = summary.get("lattices")
    return [*summary["sizes"], *([lattices] if lattices else [])]


def _why_nothing_was_scored(summary: Record) -> str:
    if not summary["counts"]["files"]:
        return "There were no files: check the path of the images."
    causes = sorted(summary["reasons"], key=lambda cause: -cause["files"])
    reasons = [f"{cause['reason']} ({plural(cause['files'], 'file')})" for cause in causes]
    left_out = len(reasons) - MOST_REASONS
    more = f"; and {left_out:,} more, listed below" if left_out > 0 else ""
    return (
        f"The reasons: {'; '.join(reasons[:MOST_REASONS]) or 'none was recorded'}{more}. Nothing "
        "is said here about whether these files are generated."
    )


def _why_nothing_was_found(summary: Record) -> str:
    others = sum(part["other_patterns"] for part in _searches(summary))
    if others:
        return (
            f"{plural(others, 'group')} of images that share a noise pattern "
            f"{'was' if others == 1 else 'were'} found, but one that photographs can have, from "
            "a sensor, a frame or the compression: it flags none. That does not prove the images "
            "to be photographs."
        )
    return (
        "No group of them shares a noise pattern that the reference photographs lack. That "
        "does not prove them to be photographs: a generator that made only a few of them, or "
        "whose images were resized or strongly compressed, can stay unseen."
    )


def _headline(counts: Mapping[str, int], fingerprints: int) -> str:
    fake = counts["fake"]
    flagged = f"{fake:,}" if fake else "None"
    carry = "carries" if fake == 1 else "carry"
    marks = (
        "the fingerprint of 1 generator."
        if fingerprints == 1
        else f"a generator\u2019s fingerprint; {fingerprints:,} different fingerprints were found."
    )
    return f"{flagged} of {plural(counts['scored'], 'image')} {carry} {marks}"


def _meaning(summary: Record, words: Words) -> str:
    """Say what flagged images mean, and how many photographs may be among them."""
    counts = summary["counts"]
    if not counts["fake"]:
        return "A group of images led to the fingerprint, yet none scores above the threshold."
    expected = words.false_alarms(summary["config"]) * counts["real"]
    alarms = "less than one photograph"
    if expected >= 1:
        alarms = f"{words.about} {plural(round(expected), 'photograph')}"
    on_top = f"; {words.alarms_on_top}" if words.alarms_on_top else "."
    return (
        "Images of one generator share a faint noise pattern that the reference photographs do "
        f"not have. The threshold lets {alarms} through by chance{on_top}{_elsewhere(counts)}"
    )


def _elsewhere(counts: Mapping[str, int]) -> str:
    elsewhere = counts["elsewhere"]
    if not elsewhere:
        return ""
    return (
        f" {elsewhere:,} of the {counts['fake']:,} {'was' if elsewhere == 1 else 'were'} found "
        "elsewhere on a fingerprint: crops, or images of another size."
    )
