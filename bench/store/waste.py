"""Find what no record of a store needs, and remove it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.errors import Damaged, RequestError
from bench.store import drafts, files, locks, logs, paths, progress
from bench.store.store import SECTIONS, Section, Store


@dataclass(frozen=True)
class Waste:
    """Something to be removed. ``why``: what it is, in the plural; ``size``: bytes; ``stage``: if it is one."""

    why: str
    path: Path
    size: int
    stage: tuple[Section, str] | None = None


def waste(store: Store, damaged: list[Damaged]) -> list[Waste]:
    """What no record needs. Damaged records are added to ``damaged``; while there are any, all victims are needed.

    Raises RequestError while another process computes stages there: a victim that it has just made has no record yet.
    """
    if busy := locks.held(store.root):
        raise RequestError(f"--store {store.root}: {len(busy)} stages are being computed there; try again afterwards")
    return [Waste(why, path, files.size(path), stage) for why, path, stage in _waste(store, damaged)]


def _waste(store: Store, damaged: list[Damaged]) -> Iterator[tuple[str, Path, tuple[Section, str] | None]]:
    # a cell that is not applicable needs no victim
    needed = {record.victim_key for record in store.records(damaged.append) if record.status != "not-applicable"}
    if not damaged:  # a damaged record does not say which victim it needs
        for key in store.keys("victims"):
            if key not in needed:
                yield "victims that no record needs", store.folder("victims", key), ("victims", key)
        for key, facts in store.all_natural():
            if not {facts.victim, facts.benign} <= needed:
                yield "answers of benign networks that no record needs", store.folder("natural", key), ("natural", key)
    superseded: tuple[tuple[Section, Section, str], ...] = (
        ("checkpoints", "victims", "checkpoints of finished victims"),
        ("failures", "cells", "failures of finished cells"),
    )
    for section, finished, why in superseded:
        for key in store.keys(section):
            if store.has(finished, key):
                yield why, store.folder(section, key), (section, key)
    for draft in drafts.leftovers(store.root):
        yield "drafts of processes that died", draft, None
    for key, path in logs.files(store.root):
        if not any(store.has(section, key) for section in SECTIONS):
            yield "printed texts of stages that are gone", path, None
    for path in locks.files(store.root):
        yield "stale lock files", path, None


def discard(store: Store, wasted: list[Waste]) -> None:
    """Remove what ``waste`` found, but no lock that a process has taken since."""
    for one in wasted:
        if one.stage:
            store.forget(*one.stage)
        elif one.path.suffix != ".lock":
            files.remove(paths.within(store.root, one.path))
    locks.sweep(store.root)
    progress.sweep(store.root)
