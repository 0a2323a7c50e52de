"""What keeps a store in order: two become one, and what no record needs goes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import claims, files
from bench.errors import Damaged, RequestError
from bench.store import Room, Store

# --- merging -------------------------------------------------------------------------------------------


@dataclass
class Merged:
    """What became of the stages of another store: numbers by room of those copied, and lines on what was not."""

    copied: dict[Room, int] = field(default_factory=dict)
    repeated: int = 0  # in both, with the same results: only times and machines differ
    conflicts: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def merge(store: Store, other: Store) -> Merged:
    """Copy what ``store`` does not have, or has damaged, from ``other``, comparing every hash on the way.

    What both have stays as ``store`` has it. A finished cell wins over a failure, a finished victim over its
    checkpoint. Raises RequestError for a store and itself.
    """
    if store.root.resolve() == other.root.resolve():
        raise RequestError(f"merge {other.root}: expected another store than the one to merge into")
    made = Merged()
    over: dict[Room, Room] = {"failures": "cells", "checkpoints": "victims"}
    rooms: tuple[Room, ...] = ("victims", "cells", "failures", "checkpoints")  # a cell never before its victim
    for room in rooms:
        for key in other.keys(room):
            if room in over and store.has(over[room], key):
                continue
            try:
                _take(store, other, room, key, made)
            except Damaged as error:
                made.damaged.append(f"{other.root}: {error}")
    for room, finished in over.items():
        for key in store.keys(room):
            if store.has(finished, key):
                store.forget(room, key)
    return made


def _take(store: Store, other: Store, room: Room, key: str, made: Merged) -> None:
    if store.has(room, key):
        theirs = other.hashes(room, key)
        try:
            ours = store.hashes(room, key)
            if ours == theirs:
                store.contents(room, key)
                return
            if room in ("failures", "checkpoints"):  # the last try of each: nothing to hold against the other
                return
            store.contents(room, key)
        except Damaged as error:
            content = other.contents(room, key)
            made.damaged.append(f"{store.root}: {error}; taken from {other.root}")
            store.forget(room, key)
        else:
            if _results(ours) == _results(theirs):
                made.repeated += 1
            else:
                made.conflicts.append(f"{room}/{key}: {store.root} and {other.root} differ; {store.root}'s is kept")
            return
    else:
        content = other.contents(room, key)
    store.write(room, key, content)
    made.copied[room] = made.copied.get(room, 0) + 1


def _results(hashes: dict[str, str]) -> dict[str, str]:
    """The hashes of what two computations of a stage share: tensors, and neither times nor the names of machines."""
    return {name: value for name, value in hashes.items() if name.endswith(".safetensors")} or hashes


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
    if busy := claims.held(store.root):
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
    for path in sorted((store.root / claims.FOLDER).glob("*.lock")):
        yield "claims of nobody", path, None


def discard(store: Store, found: list[Waste]) -> None:
    """Remove what ``waste`` found; a claim that somebody has taken since stays."""
    for one in found:
        if one.stage:
            store.forget(*one.stage)
        elif one.path.suffix != ".lock":
            files.remove(one.path)
    claims.sweep(store.root)
