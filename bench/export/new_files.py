"""Files and directories that are written whole or not at all, and never over what is there."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import RequestError, shortened


def check_new(option: str, path: Path) -> None:
    """Raises RequestError unless ``path`` can be made: nothing is there but an empty directory, and its parent is."""
    named = f"{option} {shortened(str(path))}"
    if path.is_dir() and not path.is_symlink():
        if any(path.iterdir()):
            raise RequestError(f"{named}: is there already and not empty; expected a new place")
    elif os.path.lexists(path):
        raise RequestError(f"{named}: is there already, and nothing is overwritten; expected a new place")
    elif not path.parent.is_dir():
        raise RequestError(f"{named}: {shortened(str(path.parent))} is no directory")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A place for what is to be the file ``path``: it appears there when the context ends without an error."""
    draft = _draft(path)
    try:
        yield draft
        try:
            os.link(draft, path)  # unlike a rename, it does not replace what another process has put there meanwhile
        except FileExistsError:
            raise RequestError(f"{shortened(str(path))}: is there by now, and nothing is overwritten") from None
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A directory for what is to be in ``path``, which appears when the context ends without an error."""
    draft = _draft(path)
    draft.mkdir()
    try:
        yield draft
        draft.rename(path)  # over an empty directory at most
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
