"""What a command is given, checked before anything starts: configuration and paths."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from noisescope_core.app.places import is_uri, is_volume, plain_path
from noisescope_core.errors import UsageError

if TYPE_CHECKING:
    from noisescope_core.config import Config


def read_config(file: str | None, settings: Sequence[str]) -> Config:
    """Read the configuration that --config and --set name.

    Raises
    ------
    UsageError
        If the file is not there, or naming all mistakes in it and in the settings.
    """
    from noisescope_core.config import load_config

    check_exist({"--config": file})
    return load_config(file, settings)


def check_exist(locations: Mapping[str, str | None]) -> None:
    """Raise UsageError for a local file or folder that does not exist, and suggest one that does.

    Parameters
    ----------
    locations : option to what it names; URIs and None are not looked at
    """
    for option, location in locations.items():
        if location and _is_here(location) and not os.path.exists(plain_path(location)):
            similar = _similar_path(location)
            advice = f"; did you mean {similar}?" if similar else ""
            raise UsageError(f"{option}: {location} does not exist{advice}")


def check_sources(locations: Mapping[str, str | None], config: Config) -> None:
    """Raise UsageError as `check_exist` does, unless paths are those of a Spark Connect server."""
    remote = config.spark.master or os.environ.get("SPARK_REMOTE", "")
    if not remote.startswith("sc://"):
        check_exist(locations)


def _is_here(location: str) -> bool:
    """Whether a location is on this machine's disk, if it is anywhere."""
    return not is_uri(location) and not is_volume(location)


def check_local(locations: Mapping[str, str | None]) -> None:
    """Raise UsageError for a URI where only local files are written.

    Parameters
    ----------
    locations : option to what it names; None is not looked at
    """
    for option, location in locations.items():
        if location and is_uri(location):
            raise UsageError(f"{option}: {location} is a URI; name a local place and copy it on")


def check_apart(option: str, out: str, read: Mapping[str, str | None]) -> None:
    """Raise UsageError if what is written would lie among what is read.

    Parameters
    ----------
    option, out : option that names what is written, and what it names
    read : option to the folder or URI that it names; None is not looked at
    """
    for name, location in read.items():
        if location and _lies_in(out, location):
            raise UsageError(
                f"{option}: {out} lies in {location} ({name}), whose next run would take what is "
                "written for images; name a folder outside"
            )


def _lies_in(inner: str, outer: str) -> bool:
    if is_uri(inner) != is_uri(outer):
        return False
    if not is_uri(inner):
        inner, outer = os.path.realpath(inner), os.path.realpath(outer)
    outer = outer.rstrip("/") + "/"
    return f"{inner.rstrip('/')}/".startswith(outer)


def _similar_path(location: str) -> str | None:
    """Find an existing path whose every part equals the location's or is spelt nearly like it."""
    existing = Path()
    for part in Path(location).parts:
        if not (existing / part).exists():
            try:
                names = [name for name in os.listdir(existing) if name.isprintable()]
            except OSError:
                return None
            matches = difflib.get_close_matches(part, names, 1)
            if not matches:
                return None
            part = matches[0]
        existing /= part
    return str(existing)
