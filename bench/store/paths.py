"""Which names and paths a store may have. A store may come from anybody, so nothing in it may lead out of it.

Names that come out of files are checked before they become paths, nothing in a store is a link, and what is written,
renamed or removed lies in the store.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from bench.errors import RequestError

KEY = re.compile(r"[0-9a-f]{32}")
_PREFIX = re.compile(r"[0-9a-f]{2}")
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def is_key(name: object) -> bool:
    """Whether this is the key of a stage: 32 hexadecimal digits, in lower case."""
    return isinstance(name, str) and KEY.fullmatch(name) is not None


def is_prefix(name: str) -> bool:
    """Whether this is the name of a directory in which stages lie: the first two digits of their keys."""
    return _PREFIX.fullmatch(name) is not None


def is_plain(name: object) -> bool:
    """Whether this is the name of a stage's file: letters, digits, ``_``, ``-`` and ``.``; none is hidden."""
    return isinstance(name, str) and _PLAIN.fullmatch(name) is not None


def within(root: Path, path: Path) -> Path:
    """``path``, which is to be written, renamed or removed. Raises RequestError if it does not lie in the store.

    A link is seen as itself: removing it does not touch what it leads to.
    """
    place = path.relative_to(root)
    if ".." in place.parts or os.path.realpath(path.parent) != str(Path(os.path.realpath(root)) / place.parent):
        raise RequestError(f"--store {root}: {path} leads out of the store")
    return path


def check(root: Path, sections: Iterable[str], drafts: str, locks: str) -> None:
    """Raises RequestError if the store at ``root`` has a link at the top or in one of its directories.

    ``sections``, ``drafts`` and ``locks``: the names of its directories. Stages are looked at when they are read.
    """
    directories = {*sections, drafts, locks}
    for entry in os.scandir(root):
        _refuse_link(root, entry)
        if entry.name not in directories:
            continue
        if not entry.is_dir(follow_symlinks=False):
            raise RequestError(f"--store {root}: {entry.name} is a file, expected a directory")
        for inner in os.scandir(entry.path):
            _refuse_link(root, inner)
            is_lock = entry.name == locks and inner.name.endswith(".lock")
            if is_lock and not inner.is_file(follow_symlinks=False) and Path(inner.path).exists():
                raise RequestError(f"--store {root}: {entry.name}/{inner.name} is no regular file, expected a lock")


def _refuse_link(root: Path, entry: "os.DirEntry[str]") -> None:
    if entry.is_symlink():
        place = os.path.relpath(entry.path, root)
        raise RequestError(f"--store {root}: {place} is a link to {Path(entry.path).readlink()}; a store has no links")
