"""Stages that are taken out of a store, under its locks: cells before their victim, never what is being computed."""

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.records import Record
from bench.store import locks
from bench.store.store import Section, Store


@dataclass(frozen=True)
class Removal:
    """What is to go: what each cell and each victim is, in words, by key.

    A cell's failure goes with it, and with a victim its checkpoint and what a benign network answered for it. ``size``:
    bytes of all of these.
    """

    cells: dict[str, str]
    victims: dict[str, str] = field(default_factory=dict)
    size: int = 0


def remove(store: Store, removal: Removal) -> list[str]:
    """Remove this; a line for each stage that stays because a process is computing it, or may need it.

    However it is interrupted, a cell that is left has its victim.
    """
    left = list[str]()
    for key, title in removal.cells.items():
        if not _forget(store, key, ("cells", "failures")):
            left.append(f"left: {title}: {locks.owner(store.root, key) or 'another process'} computes it")
    if not removal.victims:
        return left
    remaining = Counter(record.victim_key for record in store.records(lambda error: None) if _needs_victim(record))
    stored = {*store.keys("cells"), *store.keys("victims")}
    unknown = sum(key not in stored for key in locks.held(store.root))  # which victims these need, nothing says
    for key, title in removal.victims.items():
        if remaining[key]:
            left.append(f"left: {title}: {remaining[key]} of its cells stay")
        elif unknown:
            left.append(f"left: {title}: {unknown} stages are being computed that may need it; try again afterwards")
        elif not _forget_victim(store, key):
            left.append(f"left: {title}: {locks.owner(store.root, key) or 'another process'} computes it")
    return left


def _needs_victim(record: Record) -> bool:
    return record.status != "not-applicable"


def _forget(store: Store, key: str, sections: tuple[Section, ...]) -> bool:
    with locks.lock(store.root, key) as alone:
        if alone:
            for section in sections:
                store.forget(section, key)
        return alone


def _forget_victim(store: Store, key: str) -> bool:
    """Remove a victim and what was computed from it, unless a process is computing any of it."""
    with ExitStack() as held:
        if not held.enter_context(locks.lock(store.root, key)):
            return False
        answers = store.natural_of({key})
        if not all([held.enter_context(locks.lock(store.root, answer)) for answer in answers]):  # noqa: C419
            return False
        for answer in answers:
            store.forget("natural", answer)
        store.forget("victims", key)
        store.forget("checkpoints", key)
    return True
