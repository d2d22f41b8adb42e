"""States of fingerprints in a registry, and what they mean for images (docs/scheduled.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from noisescope_core.errors import UsageError

ACTIVE = ("candidate", "confirmed")
"""States of a fingerprint that images are tested against."""

FALSE_ALARM = "false alarm"
"""State of a pattern that is no generator's; images are tested for it, so as to pass them over."""

MERGED = "merged"
"""State of a fingerprint whose images get the name of another."""

STATES = (*ACTIVE, "retired", FALSE_ALARM, MERGED)
"""All states; a retired fingerprint is not looked for, its images stay flagged."""


class Standing(NamedTuple):
    """State of a fingerprint, and the one that it was merged into."""

    state: str
    merged_into: str | None


class Meaning(NamedTuple):
    """What a standing means for images.

    Attributes
    ----------
    kind : `active`, `false alarm` or `none`
    shown_as : fingerprint that verdicts name
    """

    kind: str
    shown_as: str


def meaning(name: str, standings: Mapping[str, Standing | None]) -> Meaning:
    """Say what a fingerprint means for images.

    Parameters
    ----------
    name : of the fingerprint, one of those that have a standing
    standings : by fingerprint id; None for one that is not known yet

    Examples
    --------
    >>> meaning("a", {"a": Standing("merged", "b"), "b": Standing("confirmed", None)})
    Meaning(kind='active', shown_as='b')
    """
    standing = standings[name]
    while standing and standing.state == MERGED and standing.merged_into in standings:
        name = str(standing.merged_into)
        standing = standings[name]
    state = standing.state if standing else None
    if state == FALSE_ALARM:
        return Meaning(FALSE_ALARM, name)
    return Meaning("active" if state in ACTIVE else "none", name)


def unmet(
    standings: Mapping[str, Standing], met: Mapping[str, int], scan: int, most: int
) -> list[str]:
    """List the candidates that no image has met for long, those merged into them included.

    Parameters
    ----------
    standings : by fingerprint id
    met : number of the scan whose images met a fingerprint last, by its id
    scan : number of the scan that asks
    most : scans that may pass

    Examples
    --------
    >>> standings = {name: Standing("candidate", None) for name in "ab"}
    >>> unmet(standings, {"a": 5, "b": 95}, scan=100, most=90)
    ['a']
    """
    last = _last_met(standings, met)
    return sorted(
        name
        for name, (state, _) in standings.items()
        if state == "candidate" and scan - last[name] > most
    )


def passed_over(
    standings: Mapping[str, Standing | None], met: Mapping[str, int], most: int
) -> set[str]:
    """Choose the candidates that are too many to be tested: all but those met last.

    What is merged into a candidate counts as one, too; confirmed fingerprints and what is merged
    into them do not.

    Parameters
    ----------
    standings, met : as for `unmet`; of None nothing is known yet
    most : candidates that are tested

    Examples
    --------
    >>> standings = {name: Standing("candidate", None) for name in "abc"}
    >>> standings["d"] = Standing("confirmed", None)
    >>> sorted(passed_over(standings, {"a": 3, "b": 9, "c": 7, "d": 1}, most=1))
    ['a', 'c']
    """
    last = _last_met(standings, met)
    candidates = []
    for name in standings:
        kind, shown_as = meaning(name, standings)
        standing = standings[shown_as]
        if kind == "active" and standing and standing.state == "candidate":
            candidates.append((-last[shown_as], shown_as, name))
    return {name for *_, name in sorted(candidates)[most:]}


def _last_met(standings: Mapping[str, Standing | None], met: Mapping[str, int]) -> dict[str, int]:
    """Say of every name that verdicts may give when it, or what has its name, was met last."""
    last: dict[str, int] = {}
    for name in standings:
        shown_as = meaning(name, standings).shown_as
        last[shown_as] = max(last.get(shown_as, 0), met[name])
    return last


def resolve_names(names: Iterable[str], ids: Iterable[str], where: str, advice: str) -> list[str]:
    """Find the fingerprint whose id begins with each name.

    Parameters
    ----------
    names : ids, or beginnings of them
    ids : of all fingerprints
    where : they are, for the error
    advice : what shows the ids, for the error

    Raises
    ------
    UsageError
        If a name is the beginning of no id, or of several.

    Examples
    --------
    >>> resolve_names(["3f", "71b04e"], ["3f9ac0", "71b04e"], "registry", "")
    ['3f9ac0', '71b04e']
    """
    ids, resolved, wrong = sorted(ids), [], []
    for name in names:
        fitting = [name] if name in ids else [full for full in ids if full.startswith(name)]
        resolved += fitting[:1]
        if len(fitting) != 1:
            wrong.append(f"{name}: {'several' if fitting else 'no'} fingerprints begin so")
    if wrong:
        raise UsageError(f"{where}: " + "; ".join(wrong) + f" ({advice})")
    return list(dict.fromkeys(resolved))
