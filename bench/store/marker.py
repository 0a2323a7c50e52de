"""The file ``store.json``, which says that a directory is a store, and of which version."""

import json
from pathlib import Path

from bench.errors import RequestError
from bench.store import drafts, files, paths

NAME = "store.json"
FORMAT = {"format": "defensebench store", "version": 2}


def make(root: Path) -> None:
    """Make an empty store at ``root``. Raises RequestError where it cannot be written."""
    draft = drafts.new(root)
    try:
        draft.parent.mkdir(parents=True, exist_ok=True)
        try:
            files.write(draft, json.dumps(FORMAT).encode(), durable=True)
            draft.replace(paths.within(root, root / NAME))
        finally:
            files.remove(draft)
    except OSError as error:
        raise RequestError(f"--store {root}: cannot be made: {error}") from error


def check(root: Path) -> None:
    """Raises RequestError if the marker of the store at ``root`` is damaged, or of another version."""
    marker = root / NAME
    try:
        content = json.loads(files.read(str(marker)))
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(f"--store {root}: {marker} cannot be read: {error}") from error
    if content == FORMAT:
        return
    is_ours = isinstance(content, dict) and content.get("format") == FORMAT["format"]
    if is_ours and content.get("version") == 1:
        raise RequestError(
            f"--store {root}: made by an older version, whose results have no hashes to check; "
            "expected a new directory, or an empty one"
        )
    raise RequestError(f"--store {root}: {marker} is not the one of a store that this version reads")
