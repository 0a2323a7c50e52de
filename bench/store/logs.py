"""What a stage printed, ``logs/KEY.txt`` in a store: for people, and for nothing else.

It is of the last try of the stage by a worker that could be read, and may be removed at any time.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bench.records.texts import neutral
from bench.store import paths
from bench.store.files import beginning

FOLDER = "logs"
LARGEST = 2**19  # bytes of one that are read


def path(store: Path, key: str) -> Path:
    """Where it lies, or would lie."""
    return store / FOLDER / f"{key}.txt"


def put(store: Path, key: str, content: bytes) -> Path | None:
    """Keep it, in place of what was there; where. None if that was not possible, which is no reason to fail."""
    place = path(store, key)
    try:
        place.parent.mkdir(exist_ok=True)
        paths.within(store, place)
        place.unlink(missing_ok=True)
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    except OSError:
        return None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError:
        return None
    return place


def read(store: Path, key: str) -> str | None:
    """What it says, without what would steer a terminal; None where there is nothing."""
    content = beginning(path(store, key), LARGEST)
    return neutral(content.decode(errors="replace")) or None if content is not None else None


def files(store: Path) -> Iterator[tuple[str, Path]]:
    """All of them, by the key of the stage."""
    with suppress(OSError):
        for one in sorted((store / FOLDER).glob("*.txt")):
            if paths.is_key(one.stem):
                yield one.stem, one
