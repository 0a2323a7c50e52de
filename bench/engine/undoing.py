"""Foreign code in the process that plans: whatever a plugin changes there is put back before anything else runs.

Plans are made in one process, with the files of all plugins imported and the plugins made. A hook that one of them
registers, or a function that it replaces, would otherwise meet the checks of all others, and the store.
"""

import fcntl
import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from bench.engine.process_state import Snapshot, persistently


class Undoing:
    """A context manager for each call of a plugin's code: it puts back what that changes.

    ``note`` is called with a line on what was changed, once for each plugin and line.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._noted: set[str] = set()
        self._is_open = False

    @contextmanager
    def __call__(self, plugin: str) -> Iterator[None]:
        """While open, code of ``plugin`` runs, such as "attack 'x'". Inside another one, this does nothing.

        A copy of the process, which the plugin forked and did not end, ends here.
        """
        if self._is_open:
            yield
            return
        process, self._is_open = os.getpid(), True
        descriptors, before = _StandardDescriptors(), Snapshot.take()
        try:
            yield
        finally:
            if os.getpid() != process:
                os._exit(1)
            self._is_open = False
            with suppress(Exception):  # of a signal handler, which may be left and run at any time
                gc.collect(1)  # what is forgotten may do something when it goes
            changed = _changes(before)
            persistently(descriptors.put_back)
            if changed:
                persistently(before.restore)  # a handler may raise as it begins
                self._tell(plugin, changed, before.changes())

    def _tell(self, plugin: str, changed: tuple[str, ...], left: tuple[str, ...]) -> None:
        end = f", but this cannot be: {', '.join(left)}" if left else ""
        line = f"{plugin} left {', '.join(changed)} in the process that plans; put back{end}"
        if line not in self._noted:
            self._noted.add(line)
            self._note(line)


def _changes(before: Snapshot) -> tuple[str, ...]:
    try:
        return before.changes()
    except Exception:  # of a signal handler
        return ("signal handlers changed",)


class _StandardDescriptors:
    """Descriptors 0, 1 and 2, to be led back where they lead now. One that is closed now may be anything then."""

    def __init__(self) -> None:
        self._copies: dict[int, int] = {}
        for number in (0, 1, 2):
            with suppress(OSError):
                self._copies[number] = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)
        self._files = {number: _file(copy) for number, copy in self._copies.items()}

    def put_back(self) -> None:
        """Called again after an interruption, it goes on."""
        for number, copy in self._copies.items():
            if _file(copy) == self._files[number]:  # else the plugin has closed it
                if _file(number) != self._files[number]:
                    os.dup2(copy, number)
                os.close(copy)


def _file(descriptor: int) -> tuple[int, int] | None:
    """What tells the file that a descriptor leads to; None if it is closed."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino
