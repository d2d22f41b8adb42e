"""Folders that a person names: local paths or URIs, made where needed, and Spark's log in them."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from noisescope_core.errors import UsageError, first_line

_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:/")

VOLUMES = "/Volumes/"
"""Where volumes of Databricks are mounted, on its executors and on its drivers."""


def is_uri(location: str) -> bool:
    """Whether a location is a URI such as `s3a://bucket/folder`; else it is a local path.

    Examples
    --------
    >>> is_uri("s3a://bucket/images"), is_uri("dbfs:/images"), is_uri("images"), is_uri("file:/a")
    (True, True, False, False)
    """
    return bool(_SCHEME.match(location)) and not location.startswith("file:")


def plain_path(location: str) -> str:
    """Write the path of a local file, or of one in a volume, without its scheme.

    Examples
    --------
    >>> print(plain_path("file:///images/a.png"), plain_path("dbfs:///Volumes/main/x/images"))
    /images/a.png /Volumes/main/x/images
    """
    if location.startswith("file:"):
        return "/" + location.removeprefix("file:").lstrip("/")
    within = "/" + location.removeprefix("dbfs:").lstrip("/")
    return within if location.startswith("dbfs:") and is_volume(within) else location


def is_volume(location: str) -> bool:
    """Whether a plain path lies in a volume of Databricks, which not every driver mounts."""
    return location.startswith(VOLUMES)


def absolute(location: str | Path) -> str:
    """Make a local path absolute; a URI stays as it is.

    Examples
    --------
    >>> absolute("s3a://bucket/images"), absolute("/data/../images")
    ('s3a://bucket/images', '/images')
    """
    text = plain_path(str(location))
    return text if is_uri(text) else os.path.abspath(text)


def make_folder(folder: str, option: str) -> str:
    """Make a local folder, with those above it, and return its absolute path; a URI is left alone.

    Parameters
    ----------
    option : name of the option or key that names the folder, for the error

    Raises
    ------
    UsageError
        If the folder cannot be made, or nothing can be written into it.
    """
    folder = absolute(folder)
    if not is_uri(folder):
        try:
            os.makedirs(folder, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                # A full disk still takes an empty file.
                file.write(b"0")
        except OSError as error:
            raise UsageError(
                f"{option}: {folder} cannot be written to ({error.strerror})"
            ) from error
    return folder


@contextmanager
def replaced(file: str | Path, option: str) -> Iterator[BinaryIO]:
    """Open a local file to write; it takes the place of an earlier one once it is whole.

    What is no file, such as a pipe, is written to as it is. Folders above are made.

    Parameters
    ----------
    option : name of the option that names the file, for the error

    Raises
    ------
    UsageError
        If it cannot be written, before or meanwhile.
    """
    check_file(str(file), option)
    target = Path(os.path.realpath(file))
    whole = not target.exists() or target.is_file()
    written = target.with_name(f".{target.name}.{os.getpid()}") if whole else target
    try:
        with written.open("wb") as stream:
            yield stream
        if whole:
            written.replace(target)
    except OSError as error:
        raise UsageError(f"{option}: {file} cannot be written ({error.strerror})") from error
    finally:
        if whole:
            written.unlink(missing_ok=True)


def check_file(file: str, option: str) -> None:
    """Check that a file can be written, and make the local folders above it.

    Of a URI nothing is tried but, on S3, whether its bucket is there.

    Raises
    ------
    UsageError
        If it cannot: a folder of that name is there, or the folder above takes no files.
    """
    if is_uri(file):
        _check_bucket(file, option)
        return
    if os.path.isdir(file):
        raise UsageError(f"{option}: {file} is a folder; name a file")
    make_folder(os.path.dirname(os.path.realpath(file)), option)


def _check_bucket(file: str, option: str) -> None:
    from pyarrow import fs

    from noisescope_core.tables.storage import file_system

    try:
        system, path = file_system(file)
        bucket = path.split("/")[0]
        there = not isinstance(system, fs.S3FileSystem) or (
            system.get_file_info(bucket).type != fs.FileType.NotFound
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"{option}: {file} cannot be written ({first_line(error)})") from error
    if not there:
        raise UsageError(f"{option}: {file} cannot be written (there is no bucket {bucket})")


def spark_log(folder: str | None = None) -> Path:
    """Name the file that takes what Spark's JVM prints; errors refer to it.

    Parameters
    ----------
    folder : where a run writes. In a local folder the file is `spark.log`; with a URI or None it
        is a file of this process in the folder of temporary files.
    """
    if folder is None or is_uri(folder):
        return Path(tempfile.gettempdir(), f"noisescope-{os.getpid()}.log")
    return Path(folder, "spark.log")
