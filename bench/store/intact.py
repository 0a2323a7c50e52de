"""The files of one stage, each compared with its hash. Whatever is not what was written is Damaged."""

import errno
import os
import stat

from bench.errors import Damaged
from bench.store import files
from bench.store import hashes as manifest


def hashes(folder: str, section: str, key: str) -> dict[str, str]:
    """The SHA-256 of each file of the stage in ``folder``, by name. Raises FileNotFoundError if it is not there."""
    try:
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            raise Damaged(section, key, "the folder", "is a link or a file, expected a directory")
        present = {name for name in os.listdir(folder) if not name.startswith(".")}  # noqa: PTH208 - quicker
    except NotADirectoryError as error:  # a file has the name of the directory above
        raise FileNotFoundError(error.errno, error.strerror, folder) from None
    except OSError as error:
        raise _damage(error, section, key, "the folder") from None
    content = _read(folder, section, key, manifest.NAME)
    try:
        listed = manifest.unseal(content, f"{section}/{key}")
    except ValueError as error:
        raise Damaged(section, key, manifest.NAME, str(error)) from None
    if mismatched := present ^ {*listed, manifest.NAME}:
        name = min(mismatched)
        raise Damaged(section, key, *(name, "is missing") if name in listed else _foreign(name))
    return listed


def content(folder: str, section: str, key: str, name: str, listed: dict[str, str]) -> bytes:
    """The bytes of a file of the stage in ``folder``, whose hashes are ``listed``."""
    if name not in listed:
        raise Damaged(section, key, name, "is missing")
    found = _read(folder, section, key, name)
    if manifest.digest(found) != listed[name]:
        raise Damaged(section, key, name)
    return found


def _read(folder: str, section: str, key: str, name: str) -> bytes:
    try:
        return files.read(f"{folder}/{name}")
    except FileNotFoundError:
        raise Damaged(section, key, name, "is missing") from None
    except OSError as error:
        raise _damage(error, section, key, name) from None
    except files.NotPlain as error:
        raise Damaged(section, key, name, str(error)) from None


def _damage(error: OSError, section: str, key: str, name: str) -> Exception:
    """What to raise for a stage of which the system gives an error: others than these say nothing of this stage."""
    if error.errno in (errno.EACCES, errno.EPERM, errno.EIO):
        return Damaged(section, key, name, f"cannot be read: {error.strerror}")
    return error


def _foreign(name: str) -> tuple[str, str]:
    """How to name a file that is in no list: its name may be anything."""
    return ascii(name[:60])[1:-1], "does not belong there"
