"""What plugins print while a stage runs: kept away from the standard output, which is for the run's table.

In a worker process all that is printed, by Python or in C, on descriptors 1 and 2, goes to a ``Spool``: a temporary
file, not a pipe, for a pipe that is full would stop code that holds the interpreter's lock. The first lines of it go to
the person who watches the run, while the stage runs; all of it is kept in a file (``bench.store.logs``).
"""

import ctypes
import fcntl
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import reduction
from typing import Any

from bench.records.texts import neutral, printable

LINES, LONGEST = 10, 200  # how much is shown: lines, and characters of each
LOOKED_AT = 16_384  # bytes
MOST_KEPT = 2**18  # bytes of the beginning, and as many of the end, that are kept of what a stage printed
LARGEST = 2**26  # bytes that a spool takes on a disk; what exceeds them is counted and dropped


class Spool:
    """A temporary file without a name, shared by a worker and its parent, which reads it; it ends with them.

    It can be handed to a process that is being spawned, and only then. Raises OSError if there is no room for it.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
            flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
            fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_APPEND)  # so that it can be emptied under its writers
        self._descriptor = descriptor
        self._beginning, self._dropped = b"", 0
        self._seen, self._told = 0, 0  # bytes and lines that ``lines`` has given

    def __reduce__(self) -> tuple[Callable[[Any], "Spool"], tuple[Any]]:
        return _received, (reduction.DupFd(self._descriptor),)

    def take_over(self) -> None:
        """Let descriptors 1 and 2 of this process, and of all that it starts, lead here; and nothing come in by 0."""
        flush()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (self._descriptor, 1), (self._descriptor, 2)):
            os.dup2(source, target)
        os.close(nothing)
        for stream in (sys.stdout, sys.stderr):
            if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
                reconfigure(line_buffering=True, errors="backslashreplace")  # a process that is killed flushes nothing

    def bound(self) -> None:
        """Keep the file small while it is written to."""
        if os.fstat(self._descriptor).st_size > LARGEST:
            self._empty()

    def lines(self) -> tuple[str, ...]:
        """Whole lines that were printed since the last time; of a stage no more than ``LINES`` are given in all."""
        if self._told >= LINES or self._dropped or os.fstat(self._descriptor).st_size <= self._seen:
            return ()
        text = os.pread(self._descriptor, LOOKED_AT, self._seen)
        whole = text[: text.rfind(b"\n") + 1]
        self._seen += len(whole)
        found = _printable_lines(whole)[: LINES - self._told]
        self._told += len(found)
        return found

    def text(self) -> bytes:
        """What was printed since the last ``take``: beginning and end, where it is much."""
        size = self._dropped + os.fstat(self._descriptor).st_size
        beginning = self._beginning or os.pread(self._descriptor, MOST_KEPT, 0)
        if size <= len(beginning):
            return beginning
        held = size - self._dropped
        end = os.pread(self._descriptor, MOST_KEPT, max(0 if self._dropped else len(beginning), held - MOST_KEPT))
        left_out = size - len(beginning) - len(end)
        return b"".join([beginning, b"\n... %d bytes are left out here ...\n" % left_out if left_out else b"", end])

    def take(self) -> tuple[str, ...]:
        """What was printed since the last time, as lines for a person, but for what ``lines`` has given."""
        self._empty()
        size, beginning, self._dropped, self._beginning = self._dropped, self._beginning, 0, b""
        told, self._seen, self._told = self._told, 0, 0
        return _told(size, beginning, told)

    def end(self) -> str:
        """The end of what was printed since the last ``take``: where a process has died, it may say of what."""
        size = os.fstat(self._descriptor).st_size
        text = os.pread(self._descriptor, LOOKED_AT, max(0, size - LOOKED_AT)).decode(errors="replace")
        return neutral(text).strip()

    def close(self) -> None:
        """End it here; it may be ended already."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _empty(self) -> None:
        size = os.fstat(self._descriptor).st_size
        if not size:
            return
        if not self._beginning:
            self._beginning = os.pread(self._descriptor, LOOKED_AT, 0)
        os.ftruncate(self._descriptor, 0)
        self._dropped += size


def flush() -> None:
    """Hand on what Python and C hold back in this process."""
    streams: list[Any] = [sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__]
    for stream in streams:
        with suppress(Exception):  # there may be none, and a plugin may have put anything there
            stream.flush()
    with suppress(Exception):
        ctypes.CDLL(None).fflush(None)


@contextmanager
def to_stderr() -> Iterator[None]:
    """Inside the ``with``, what Python code prints goes to the standard error output, where a person sees it.

    Everything else of the standard output stays what it is, so that a debugger's prompt works. What C code prints is
    not seen here.
    """
    before = sys.stdout
    if before is not None:
        sys.stdout = _ToStderr(before)
    try:
        yield
    finally:
        sys.stdout = before


class _ToStderr:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def writelines(self, lines: Any) -> None:
        sys.stderr.writelines(lines)

    def flush(self) -> None:
        sys.stderr.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _received(handle: Any) -> Spool:
    return Spool(handle.detach())


def _told(size: int, beginning: bytes, told: int) -> tuple[str, ...]:
    """``told``: how many of the first lines were given already."""
    lines = _printable_lines(beginning)
    whole = size == len(beginning) and len(lines) <= LINES
    if whole and len(lines) <= told:
        return ()
    if whole:
        return "printed:", *lines[told:]
    more = lines[told:LINES]
    where = "" if not more else "; the first lines:" if not told else "; after the lines above:"
    return f"printed {size:,} bytes{where}", *more


def _printable_lines(text: bytes) -> tuple[str, ...]:
    lines = text.decode(errors="replace").splitlines()
    return tuple(printable(line, LONGEST) for line in lines if line.strip())
