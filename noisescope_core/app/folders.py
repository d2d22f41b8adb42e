"""Local folders: every file under one name, and why some are not read."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

COPYING = "._COPYING_"
"""How names end of what `hadoop fs -put` has not finished."""


@dataclass(frozen=True)
class Walked:
    """What lies in a folder and below it.

    Attributes
    ----------
    files : paths
    closed : folders that cannot be listed, and why
    is_tree : whether whoever follows every link would find the same
    circles : links that lead back to a folder in which they lie: who follows them does not end
    """

    files: list[str]
    closed: dict[str, str]
    is_tree: bool
    circles: list[str]


def walk(folder: str) -> Walked:
    """List all files below a folder; a folder that links lead to as well is entered once.

    Folders are entered by their own names before any link is followed.
    """
    files: list[str] = []
    circles: list[str] = []
    closed: dict[str, str] = {}
    seen: set[tuple[int, int]] = set()
    folders, links, linked = [os.path.abspath(folder)], list[str](), False
    while folders or links:
        place = folders.pop() if folders else links.pop(0)
        try:
            known = os.stat(place)
            if (known.st_dev, known.st_ino) in seen:
                continue
            seen.add((known.st_dev, known.st_ino))
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError as error:
            closed[place] = (
                f"folder that cannot be listed ({error.strerror}): nothing in it is read"
            )
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif _leads_to_folder(entry):
                if _leads_back(entry.path):
                    circles.append(entry.path)
                links.append(entry.path)
                linked = True
            else:
                files.append(entry.path)
    return Walked(sorted(files), closed, not linked and not closed, sorted(circles))


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link to itself, or into a folder that is closed to us.
        return False


def _leads_back(link: str) -> bool:
    target = os.path.realpath(link)
    return f"{os.path.realpath(os.path.dirname(link))}/".startswith(f"{target.rstrip('/')}/")


def why_unread(path: str) -> str | None:
    """Say why a local file is not read; None if only its name keeps Spark from it.

    Examples
    --------
    >>> why_unread("/images/nowhere.png")
    'link that leads nowhere, or gone since it was listed'
    """
    try:
        kind = os.stat(path).st_mode
    except OSError:
        return "link that leads nowhere, or gone since it was listed"
    if not stat.S_ISREG(kind):
        return "not a file with content: a pipe, a socket or a device"
    if spelt(path) != path:
        return "name that is not UTF-8, which Spark cannot open: rename the file"
    if path.endswith(COPYING):
        return f"not yet copied: the name ends with {COPYING}"
    return None


def spelt(path: str) -> str:
    """Write a path in letters: bytes of a name that are not UTF-8 as `\\\\xff`.

    Examples
    --------
    >>> print(spelt("a\\udcff.png"))
    a\\xff.png
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")
