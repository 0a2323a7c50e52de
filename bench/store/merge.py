"""Two stores become one."""

from dataclasses import dataclass, field

from bench.errors import Damaged, RequestError
from bench.store.store import Room, Store

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
