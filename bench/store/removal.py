"""Stages that are taken out of a store, under its locks: cells before their victim, never what is being computed."""

from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.store import locks
from bench.store.store import Section, Store


@dataclass(frozen=True)
class Removal:
    """What is to go. ``cells``: what each is, by key, in words; ``victims``: the same; ``of_victim``: its cells' keys.

    A cell's failure goes with it, and with a victim its checkpoint and what a benign network answered for it. ``size``:
    bytes of all of these.
    """

    cells: dict[str, str]
    victims: dict[str, str] = field(default_factory=dict)
    of_victim: dict[str, frozenset[str]] = field(default_factory=dict)
    size: int = 0


def remove(store: Store, removal: Removal) -> list[str]:
    """Remove this; a line for each stage that stays because a process is computing it, or may need it.

    However it is interrupted, a cell that is left has its victim.
    """
    left, kept = list[str](), set[str]()
    for key, title in removal.cells.items():
        if not _forget(store, key, ("cells", "failures")):
            kept.add(key)
            left.append(f"left: {title}: {locks.owner(store.root, key) or 'another process'} computes it")
    if not removal.victims:
        return left
    unknown = _unknown(store, removal)
    for key, title in removal.victims.items():
        if inside := kept & removal.of_victim.get(key, frozenset()):
            left.append(f"left: {title}: {len(inside)} of its cells stay")
        elif unknown:
            left.append(f"left: {title}: {unknown} stages are being computed that may need it; try again afterwards")
        elif not _forget_victim(store, key):
            left.append(f"left: {title}: {locks.owner(store.root, key) or 'another process'} computes it")
    return left


def _unknown(store: Store, removal: Removal) -> int:
    """How many stages are being computed of which the store cannot tell that they are of other victims.

    A stage that is computed for the first time is not in the store yet, so nothing says which victim it needs.
    """
    gone = removal.cells.keys() | removal.victims.keys()
    known = [key for key in locks.held(store.root) if key not in gone and store.has("victims", key)]
    return sum(key not in gone and key not in known for key in locks.held(store.root))


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
