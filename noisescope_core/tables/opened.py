"""Files of folders and stores opened past Spark, asked again where they fail to answer."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from pyarrow import fs

from noisescope_core.tables.storage import file_system

Answer = TypeVar("Answer")

PAUSE = 0.5
"""Seconds before a file is asked for the second time; before each further time twice as many."""

GONE = "gone since it was listed"

_UNTOUCHED = 0xA7
"""Last byte of a buffer before it is filled; chosen: images and archives seldom have it."""

_ERROR_OF_AWS = re.compile(r"AWS Error (\w+)")


class UnreadError(Exception):
    """A file that could not be read.

    Attributes
    ----------
    passing : whether it may be read another time; a file that is not there may not
    """

    def __init__(self, error: OSError, attempts: int) -> None:
        self.passing = not isinstance(error, FileNotFoundError)
        of_aws = _ERROR_OF_AWS.search(str(error))
        name = of_aws[1] if of_aws else type(error).__name__
        times = f", tried {attempts} times" if attempts > 1 else ""
        super().__init__(f"could not be read ({name}{times})" if self.passing else GONE)


class OpenedFile(io.RawIOBase):
    """A file opened for reading anywhere in it; what fails is tried again.

    Parameters
    ----------
    location : local path or URI
    attempts : times that the store is asked for the same bytes, at most

    Raises
    ------
    UnreadError
        From every method that reads, if no attempt succeeds.
    """

    def __init__(self, location: str, attempts: int) -> None:
        super().__init__()
        self._location, self._attempts = location, attempts
        self._file: Any = None
        self._place = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read anywhere."""
        return True

    def tell(self) -> int:
        """Give the place of what is read next, bytes from the beginning."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, as files do."""
        if whence == io.SEEK_END:
            self._place = self._tried(lambda file: int(file.size()))
        elif whence == io.SEEK_SET:
            self._place = 0
        self._place += offset
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, as files do."""
        view = memoryview(buffer).cast("B")
        read = self._tried(lambda file: self._filled(view, file))
        self._place += read
        return read

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()

    def _filled(self, view: memoryview, file: Any) -> int:
        """Read into a buffer: how many bytes.

        Arrow says that it read what it asked for though an object has become shorter since it was
        opened; the rest of the buffer is as it was.
        """
        wanted = min(len(view), max(0, file.size() - self._place))
        if not wanted:
            return 0
        view[wanted - 1] = _UNTOUCHED
        file.seek(self._place)
        read = int(file.readinto(view[:wanted]))
        if view[wanted - 1] == _UNTOUCHED and _open(self._location).size() != file.size():
            raise OSError("changed while it was read")
        return read

    def _tried(self, read: Callable[[Any], Answer]) -> Answer:
        for attempt in range(1, self._attempts + 1):
            try:
                if self._file is None:
                    self._file = _open(self._location)
                return read(self._file)
            except OSError as error:
                self._file = None
                if attempt == self._attempts or isinstance(error, FileNotFoundError):
                    raise UnreadError(error, attempt) from error
            time.sleep(PAUSE * 2 ** (attempt - 1))
        raise AssertionError("unreachable")


def _open(location: str) -> Any:
    scheme, mark, rest = location.partition("://")
    if not mark:
        system, path = file_system(location)
        return system.open_input_file(path)
    bucket, _, path = rest.partition("/")
    system, root = _store(f"{scheme}://{bucket}")
    return system.open_input_file(f"{root.rstrip('/')}/{path}")


@lru_cache(maxsize=16)
def _store(root: str) -> tuple[fs.FileSystem, str]:
    """Find what reads a store: to make it takes longer than to read a file."""
    return file_system(root)
