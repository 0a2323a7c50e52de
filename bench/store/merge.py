"""Merge one store into another, whoever made it: every stage passes every check before it is taken."""

from dataclasses import dataclass, field

from bench.errors import Damaged, RequestError
from bench.store.schema import NETWORK
from bench.store.store import REPLACED, Section, Store
from bench.store.verify import read_stage

SUPERSEDED_BY: dict[Section, Section] = {"failures": "cells", "checkpoints": "victims"}


@dataclass
class Merged:
    """What became of the stages of the other store.

    ``copied``: how many, by section. ``repeated``: how many both have with the same results; only times and machines
    differ. ``conflicts``: a line for each that both have with different results. ``damaged``: a line for each that is.
    """

    copied: dict[Section, int] = field(default_factory=dict)
    repeated: int = 0
    conflicts: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def merge(store: Store, other: Store) -> Merged:
    """Copy from ``other`` what ``store`` does not have, or has damaged, after every check of ``bench.store.verify``.

    What both have stays as ``store`` has it, unless only ``other`` has kept the network of a cell with the same
    results: then the cell is taken. A finished cell supersedes a failure, a finished victim its checkpoint.
    Raises RequestError if both are the same store, and OSError where the disk is full.
    """
    if store.root.resolve() == other.root.resolve():
        raise RequestError(f"merge {other.root}: expected another store than the one to merge into")
    merged = Merged()
    # never a cell before its victim
    sections: tuple[Section, ...] = ("victims", "cells", "natural", "failures", "checkpoints")
    for section in sections:
        for key in other.keys(section):
            if section in SUPERSEDED_BY and store.has(SUPERSEDED_BY[section], key):
                continue
            try:
                _take(store, other, section, key, merged)
            except FileNotFoundError:  # another process has removed it meanwhile
                continue
            except Damaged as error:
                merged.damaged.append(f"{other.root}: {error}")
    for section, finished in SUPERSEDED_BY.items():
        for key in store.keys(section):
            if store.has(finished, key):
                store.forget(section, key)
    return merged


def _take(store: Store, other: Store, section: Section, key: str, merged: Merged) -> None:
    if store.has(section, key):
        theirs = other.hashes(section, key)
        try:
            ours = store.hashes(section, key)
            read_stage(store, section, key)
        except Damaged as error:
            content = read_stage(other, section, key)
            merged.damaged.append(f"{store.root}: {error}; taken from {other.root}")
            store.forget(section, key)
        else:
            if ours == theirs or section in REPLACED:  # each store has its own last try: no conflict
                return
            if NETWORK in theirs and NETWORK not in ours and _results(ours) == _results(theirs):
                store.write(section, key, read_stage(other, section, key), replace=True)
                merged.copied[section] = merged.copied.get(section, 0) + 1
            elif _results(ours) == _results(theirs):
                merged.repeated += 1
            else:
                line = f"{section}/{key}: {store.root} and {other.root} differ; {store.root}'s is kept"
                merged.conflicts.append(line)
            return
    else:
        content = read_stage(other, section, key)
    store.write(section, key, content)
    merged.copied[section] = merged.copied.get(section, 0) + 1


def _results(hashes: dict[str, str]) -> dict[str, str]:
    """The hashes that two computations of a stage share: those of tensors. Records also hold times and machines.

    The network of a cell is left out: its answers are compared, and not every run keeps it.
    """
    results = {name: value for name, value in hashes.items() if name.endswith(".safetensors") and name != NETWORK}
    return results or hashes
