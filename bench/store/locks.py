"""Who computes what: an OS-level lock for every stage in work, ``claims/KEY.lock`` in the store.

The operating system frees the lock of a process that dies, however it dies, so nobody ever waits for a dead one. The
file goes with its claim; what a killed process leaves is an empty file that claims nothing. It is ``flock`` and not a
library's lock because the file may only be removed by who compares, with the lock in hand, the file that is open with
the one that has the name: otherwise two processes could hold one name through two files.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

FOLDER = "claims"
UNSUPPORTED = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


@contextmanager
def claim(store: Path, key: str) -> Iterator[bool]:
    """Whether this process alone may compute the stage ``key`` until the end of the ``with``; never waits.

    Where the file system has no locks it is always granted: stages are put in place whole in any case. Raises OSError
    if the file cannot be made.
    """
    path = store / FOLDER / f"{key}.lock"
    path.parent.mkdir(exist_ok=True)
    held = _lock(path)
    try:
        yield held is not None
    finally:
        if held is not None:
            _remove(path, held)


def held(store: Path) -> list[str]:
    """The keys of the stages that live processes are computing, sorted."""
    return sorted(path.stem for path in (store / FOLDER).glob("*.lock") if _is_held(path))


def sweep(store: Path) -> None:
    """Remove the files that dead processes left behind."""
    for path in (store / FOLDER).glob("*.lock"):
        with suppress(OSError):
            found = _lock(path, create=False)
            if found is not None:
                _remove(path, found)


def _lock(path: Path, *, create: bool = True) -> int | None:
    """A descriptor of the locked file, or None if another process has it."""
    descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_named(path, descriptor):
            return descriptor
    except BlockingIOError:
        pass
    except OSError as error:
        if error.errno in UNSUPPORTED:
            return descriptor
        os.close(descriptor)
        raise
    os.close(descriptor)  # another's, or removed by its owner between the opening and the locking
    return None


def _is_named(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _is_held(path: Path) -> bool:
    """Looks with a shared lock, which does not keep other onlookers from looking."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _remove(path: Path, descriptor: int) -> None:
    path.unlink(missing_ok=True)
    os.close(descriptor)


def lives(pid: int) -> bool:
    """False also for one that was killed and that its parent has not taken note of yet: it writes nothing any more."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
