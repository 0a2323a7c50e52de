"""The file of ``bench run --log``: it is made once a run has begun, so that a refused request leaves none behind."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO, TextIOWrapper
from pathlib import Path
from stat import S_ISDIR
from typing import TYPE_CHECKING

from rich.console import Console

from bench.engine.display import Lines
from bench.errors import RequestError, shortened

if TYPE_CHECKING:
    from bench.plan.stages import Stage

WIDTH = 200  # characters of a line, none of which is broken


class Log(Lines):
    """Appends all that is said to a file. What is said before the run begins waits until it does."""

    def __init__(self, path: Path, *, verbose: bool = False) -> None:
        self.path = path
        self._file: TextIOWrapper | None = None
        self._waiting = StringIO()
        super().__init__(Console(file=self._waiting, width=WIDTH, color_system=None), verbose=verbose, dated=True)

    def begin(self, stages: "list[Stage]", slots: int) -> None:
        self.keep()
        super().begin(stages, slots)

    def keep(self) -> None:
        """Make the file, and write what has waited and all that comes."""
        if self._file is not None:
            return
        with _refused(self.path):
            self._file = self.path.open("a", buffering=1, encoding="utf-8", errors="backslashreplace")
        self.console.file = self._file
        self._file.write(self._waiting.getvalue())

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()


@contextmanager
def log_to(path: Path, *, verbose: bool = False) -> Iterator[Log]:
    """A log in the file ``path``. Raises RequestError, at once, where it cannot be written to."""
    with _refused(path):
        _check(path)
    log = Log(path, verbose=verbose)
    try:
        yield log
    except RequestError:
        log.close()
        raise
    except BaseException:
        log.keep()
        log.close()
        raise
    log.keep()
    log.close()


def _check(path: Path) -> None:
    """Raises OSError or ValueError unless a file is at ``path``, or can be made there, that may be written to."""
    place = path
    try:
        there = path.stat()
    except FileNotFoundError:
        place = path.parent
        place.stat()
    else:
        if S_ISDIR(there.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not os.access(place, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise RequestError(f"--log {shortened(str(path))}: cannot be written to: {why}") from None
