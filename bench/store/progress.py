"""How far the stages are that are being computed: ``claims/KEY.progress``, written by who computes them.

It is only for people: nothing follows from it, and it may be missing, old or, where somebody else wrote it, wrong.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.records.texts import printable
from bench.store import locks, paths
from bench.store.files import beginning

EVERY = 5.0  # seconds between two writings
LONGEST = 4000  # bytes of a file
ENDING = ".progress"


class Progress(BaseModel):
    """What a file says: of which stage, how much of it is done, when it began; epochs of a training, 0 of others."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    title: str
    share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    began: Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]  # seconds since 1970
    epochs: Annotated[int, Field(ge=0, le=10**9)] = 0

    @property
    def epoch(self) -> int:
        """The epoch that is being trained, from 1; 0 where there are none."""
        return min(self.epochs, int(self.share * self.epochs) + 1)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return max(0.0, time.time() - self.began)


@contextmanager
def written(store: Path, key: str, title: str, epochs: int = 0) -> Iterator[Callable[[float], None]]:
    """Gives a function that writes down the share of the stage ``key`` that is done; the file is gone afterwards.

    The function may be called as often as one likes. That the file cannot be written is no reason to fail.
    """
    path = _path(store, key)
    began, last = time.time(), 0.0

    def write(share: float) -> None:
        nonlocal last
        now = time.monotonic()
        if last and now - last < EVERY:
            return
        last = now
        said = {"title": printable(title, 1000), "share": min(1.0, max(0.0, share)), "began": began, "epochs": epochs}
        with suppress(OSError, ValueError):
            _put(path, json.dumps(said).encode())

    write(0.0)
    try:
        yield write
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def read(store: Path, key: str) -> Progress | None:
    """How far a stage is, as far as that was written down and can be read."""
    content = beginning(_path(store, key), LONGEST)
    if content is None:
        return None
    try:
        found = Progress.model_validate_json(content)
    except ValidationError:
        return None
    return found.model_copy(update={"title": printable(found.title, 1000)})


def sweep(store: Path) -> None:
    """Remove what processes that died have left behind."""
    running = set(locks.held(store))
    for path in (store / locks.FOLDER).glob(f"*{ENDING}"):
        if paths.is_key(path.stem) and path.stem not in running:
            with suppress(OSError):
                paths.within(store, path).unlink()


def _path(store: Path, key: str) -> Path:
    return store / locks.FOLDER / f"{key}{ENDING}"


def _put(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o666)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
