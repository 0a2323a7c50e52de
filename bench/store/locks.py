"""Which process computes which stage: an OS-level lock for every stage that is being computed, ``claims/KEY.lock``.

The operating system frees the lock of a process that dies, however it dies, so nobody ever waits for a dead process.
The file is removed when the lock is released; a killed process leaves an empty file behind, which locks nothing. This
is ``flock`` and not a library's lock because the file may only be removed by a process that holds the lock and sees
that the file that it has open is still the one of that name: otherwise two processes could hold one name by two files.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.store import paths

FOLDER = "claims"  # the name by which stores made earlier, and runs of earlier versions, know it
UNSUPPORTED = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


@contextmanager
def lock(store: Path, key: str) -> Iterator[bool]:
    """Gives whether this process alone may compute the stage ``key`` until the end of the ``with``; never waits.

    On a file system without locks the answer is always yes: a stage still appears whole. Raises OSError if the file
    cannot be made.
    """
    if not paths.is_key(key):
        raise ValueError(f"{key!r}: expected a key of 32 hexadecimal digits")
    path = store / FOLDER / f"{key}.lock"
    path.parent.mkdir(exist_ok=True)
    descriptor = _acquire(paths.within(store, path))
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            _release(path, descriptor)


def held(store: Path) -> list[str]:
    """The keys of the stages that live processes are computing, sorted."""
    return sorted(path.stem for path in files(store) if _is_held(path))


def files(store: Path) -> list[Path]:
    """The lock files that are there, held or not. What has another name than ``KEY.lock`` is none of ours."""
    return sorted(path for path in (store / FOLDER).glob("*.lock") if paths.is_key(path.stem))


def sweep(store: Path) -> None:
    """Remove the lock files that dead processes left behind."""
    for path in files(store):
        with suppress(OSError):
            descriptor = _acquire(paths.within(store, path), create=False)
            if descriptor is not None:
                _release(path, descriptor)


def _acquire(path: Path, *, create: bool = True) -> int | None:
    """A descriptor of the locked file, or None if another process holds the lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_CREAT if create else 0), 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_still_named(path, descriptor):
            return descriptor
    except BlockingIOError:
        pass
    except OSError as error:
        if error.errno in UNSUPPORTED:
            return descriptor
        os.close(descriptor)
        raise
    os.close(descriptor)  # another process holds it, or its owner removed it between our opening and locking it
    return None


def _is_still_named(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one that now has this path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _is_held(path: Path) -> bool:
    """Tries a shared lock, which does not keep others from doing the same."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
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


def _release(path: Path, descriptor: int) -> None:
    path.unlink(missing_ok=True)
    os.close(descriptor)
