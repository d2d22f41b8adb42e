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
