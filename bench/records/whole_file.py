"""A file that is complete or not there, whatever ends the process that writes it."""

import os
from collections.abc import Iterable
from pathlib import Path


def write_whole(path: Path, parts: Iterable[bytes]) -> Path:
    """Write ``parts`` to ``path``, in place of a file of that name, and make its folder; returns the path.

    The file is complete or as it was. Raises OSError where it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.writelines(parts)
        return draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
