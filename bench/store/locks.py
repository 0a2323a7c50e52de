"""Which process computes which stage: an OS-level lock for every stage that is being computed, ``claims/KEY.lock``.

The operating system frees the lock of a process that dies, however it dies, so nobody ever waits for a dead process.
The file is removed when the lock is released; a killed process leaves a file behind, which locks nothing.

A lock is a POSIX record lock (``fcntl.lockf``): it belongs to one process, and no child inherits it, unlike ``flock``,
which lives on in every copy that a killed worker leaves behind. Two things follow. A process drops its lock when it
closes any descriptor of the file, so a file that this process holds is never opened again. And threads of one process
do not keep each other out, so what this process holds is remembered here. A library's lock would do neither; nor does
any remove its file in the only safe way, while it holds the lock and sees that the file it has open still has the name.

The owner writes into the file who it is: host, process, and when that process started. A process of this machine that
is gone, or is a zombie, owns nothing, even if the system still says so.
"""

import errno
import fcntl
import functools
import json
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from bench.records.texts import printable
from bench.store import paths

FOLDER = "claims"  # the name by which stores made earlier, and runs of earlier versions, know it
UNSUPPORTED = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
REFUSED = (errno.EACCES, errno.EAGAIN)  # POSIX allows both
HELD, DOOR = 0, 1  # the bytes that are locked: by the owner; by who is about to take it, one at a time
LONGEST = 1000  # bytes of what an owner writes

_own: set[str] = set()  # the lock files that this process holds
_one_at_a_time = threading.Lock()  # of this process's threads opens lock files that it does not hold


def _in_a_fork() -> None:
    _own.clear()
    _one_at_a_time.release()


os.register_at_fork(before=_one_at_a_time.acquire, after_in_parent=_one_at_a_time.release, after_in_child=_in_a_fork)


@contextmanager
def lock(store: Path, key: str) -> Iterator[bool]:
    """Gives whether this process alone may compute the stage ``key`` until the end of the ``with``; never waits.

    On a file system without locks the answer is always yes: a stage still appears whole. Raises OSError if the file
    cannot be made. A forked copy of this process does not hold the lock, and does not release it.
    """
    if not paths.is_key(key):
        raise ValueError(f"{key!r}: expected a key of 32 hexadecimal digits")
    path = store / FOLDER / f"{key}.lock"
    path.parent.mkdir(exist_ok=True)
    paths.within(store, path)
    with _taken(path, create=True) as taken:
        yield taken


def held(store: Path) -> list[str]:
    """The keys of the stages that live processes are computing, sorted."""
    return sorted(path.stem for path in files(store) if _is_held(path))


def owner(store: Path, key: str) -> str | None:
    """Who computes the stage ``key``, as a person would say it; None if nobody does or the owner cannot be told."""
    path = store / FOLDER / f"{key}.lock"
    with _one_at_a_time:
        if _name(path) in _own:
            return f"process {os.getpid()}, this one"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        found = _read(descriptor)
        os.close(descriptor)
    return None if found is None else f"process {found.pid} on {printable(found.host, 100)}"


def files(store: Path) -> list[Path]:
    """The lock files that are there, held or not. What has another name than ``KEY.lock`` is none of ours."""
    return sorted(path for path in (store / FOLDER).glob("*.lock") if paths.is_key(path.stem))


def sweep(store: Path) -> None:
    """Remove the lock files that dead processes left behind."""
    for path in files(store):
        paths.within(store, path)
        with suppress(OSError), _taken(path, create=False):
            pass  # what was taken is removed when it is released


# --- owners --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Owner:
    """A process. ``space``: of process numbers, which containers on one host do not share."""

    host: str
    space: str
    pid: int
    started: float

    @property
    def is_dead(self) -> bool:
        """Whether it is known to be gone: of another machine or container that cannot be told."""
        if (self.host, self.space) != (platform.node(), _space()):
            return False
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) > 2 or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False


@functools.cache
def _space() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not on Linux
        return ""


def _myself() -> _Owner:
    return _Owner(platform.node(), _space(), os.getpid(), psutil.Process().create_time())


def _read(descriptor: int) -> _Owner | None:
    """The owner that a lock file names, which anybody may have written; None if it names none."""
    try:
        host, space, pid, started = json.loads(os.pread(descriptor, LONGEST, 0)).values()
        return _Owner(str(host), str(space), int(pid), float(started)) if 0 < pid < 2**31 else None
    except (ValueError, TypeError, AttributeError, RecursionError, OSError):
        return None


# --- files ---------------------------------------------------------------------------------------------


@contextmanager
def _taken(path: Path, *, create: bool) -> Iterator[bool]:
    """Whether the lock is this process's until the end of the ``with``. Its file is removed then."""
    name, process = _name(path), os.getpid()
    with _one_at_a_time:
        descriptor = None if name in _own else _acquire(path, create=create)
        if descriptor is not None:
            _own.add(name)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None and os.getpid() == process:
            with _one_at_a_time:
                _release(path, descriptor)
                _own.discard(name)


def _name(path: Path) -> str:
    return f"{os.path.realpath(path.parent)}/{path.name}"


def _acquire(path: Path, *, create: bool) -> int | None:
    """A descriptor of the locked file, or None if another process holds the lock."""
    for must_make in (create, True):
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_CREAT if must_make else 0), 0o666)
        try:
            taken = _take(path, descriptor)
        except OSError as error:
            if error.errno in UNSUPPORTED:
                return descriptor
            os.close(descriptor)
            raise
        if taken:
            return descriptor
        os.close(descriptor)
        if taken is False:
            break
    return None


def _take(path: Path, descriptor: int) -> bool | None:
    """Whether the open file is locked now. None: its owner is dead, and it has no longer this name.

    A file stays locked without an owner where a network disk has not noticed the death.
    """
    if not _lock(descriptor, DOOR):
        return False  # another process is taking it
    held = _lock(descriptor, HELD)
    if not held and ((found := _read(descriptor)) is None or not found.is_dead):
        return False
    held = held or _lock(descriptor, HELD)  # an owner that died just now has freed it
    if not _is_still_named(path, descriptor):  # asked last: its owner removes it while it holds it
        return False
    if held:
        _sign(descriptor)
        fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, DOOR)
        return True
    path.unlink(missing_ok=True)  # nobody else can take this file meanwhile: the door is ours, and its owner is dead
    return None


def _lock(descriptor: int, byte: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
    except OSError as error:
        if error.errno in REFUSED:
            return False
        raise
    return True


def _sign(descriptor: int) -> None:
    """Write down whose lock this is, unless the file has another name elsewhere. A full disk is no reason to fail."""
    if os.fstat(descriptor).st_nlink > 1:
        return
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(_myself())).encode(), 0)


def _is_still_named(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one that now has this path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _is_held(path: Path) -> bool:
    """Tries a shared lock, which does not keep others from doing the same."""
    with _one_at_a_time:
        if _name(path) in _own:
            return True
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, HELD)
        except OSError as error:
            found = _read(descriptor)
            return error.errno in REFUSED and (found is None or not found.is_dead)
        finally:
            os.close(descriptor)
    return False


def _release(path: Path, descriptor: int) -> None:
    if _is_still_named(path, descriptor):  # else it was taken from us, as from a process that was thought to be dead
        path.unlink(missing_ok=True)
    os.close(descriptor)
