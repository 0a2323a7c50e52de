"""What no record of a store needs, and its removal."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.errors import Damaged, RequestError
from bench.store import files, locks
from bench.store.store import Room, Store

# --- what no record needs ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Waste:
    """Something to be removed: why, where it lies, its bytes, and its stage if it is one."""

    why: str
    path: Path
    size: int
    stage: tuple[Room, str] | None = None


def waste(store: Store, damaged: list[Damaged]) -> list[Waste]:
    """What no record needs; damaged records are added to ``damaged``, and while there are any, victims stay.

    Raises RequestError while somebody works on the store: what they make has no record yet.
    """
    if busy := locks.held(store.root):
        raise RequestError(f"--store {store.root}: {len(busy)} stages are being computed there; try again afterwards")
    return [Waste(why, path, files.size(path), stage) for why, path, stage in _waste(store, damaged)]


def _waste(store: Store, damaged: list[Damaged]) -> Iterator[tuple[str, Path, tuple[Room, str] | None]]:
    # a cell that is not applicable was never to have a victim
    needed = {record.victim_key for record in store.records(damaged.append) if record.status != "not-applicable"}
    if not damaged:  # else nobody knows which victims the damaged records need
        for key in store.keys("victims"):
            if key not in needed:
                yield "victims that no record needs", store.folder("victims", key), ("victims", key)
    over: tuple[tuple[Room, Room, str], ...] = (
        ("checkpoints", "victims", "checkpoints of finished victims"),
        ("failures", "cells", "failures of finished cells"),
    )
    for room, finished, why in over:
        for key in store.keys(room):
            if store.has(finished, key):
                yield why, store.folder(room, key), (room, key)
    for draft in store.leftovers():
        yield "drafts of processes that died", draft, None
    for path in sorted((store.root / locks.FOLDER).glob("*.lock")):
        yield "claims of nobody", path, None


def discard(store: Store, found: list[Waste]) -> None:
    """Remove what ``waste`` found; a claim that somebody has taken since stays."""
    for one in found:
        if one.stage:
            store.forget(*one.stage)
        elif one.path.suffix != ".lock":
            files.remove(one.path)
    locks.sweep(store.root)
