"""Local folders: every file under one name, and why some are not read."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

HIDDEN = ("_", ".")
"""How names begin that Hadoop takes for its own files."""

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
    """

    files: list[str]
    closed: dict[str, str]
    is_tree: bool


def walk(folder: str) -> Walked:
    """List all files below a folder; a folder that links lead to as well is entered once.

    Folders are entered by their own names before any link is followed.
    """
    files: list[str] = []
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
                links.append(entry.path)
                linked = True
            else:
                files.append(entry.path)
    return Walked(sorted(files), closed, not linked and not closed)


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link to itself, or into a folder that is closed to us.
        return False


def why_unread(path: str, folder: str) -> str:
    """Say why a local file below a folder is not among those that Spark lists.

    Examples
    --------
    >>> why_unread("/images/.git/config", "/images")
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
    parts = os.path.relpath(path, folder).split(os.sep)
    if any(part.startswith(HIDDEN) for part in parts):
        return "hidden name, which Spark does not list: rename what begins with _ or ."
    if path.endswith(COPYING):
        return f"not yet copied: the name ends with {COPYING}"
    if not os.access(path, os.R_OK):
        return "no permission to read it"
    return "not listed by Spark"


def spelt(path: str) -> str:
    """Write a path in letters: bytes of a name that are not UTF-8 as `\\\\xff`.

    Examples
    --------
    >>> print(spelt("a\\udcff.png"))
    a\\xff.png
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")
