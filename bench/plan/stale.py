"""Stored results that were made by other code than what is installed: found by the fingerprints that they carry.

What carries no fingerprint of a plugin counts as made by its code of now.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from bench.errors import Damaged
from bench.plan.plan import Plan
from bench.plan.stages import NaturalStage, Ref, Stage, VictimStage
from bench.records import Record
from bench.store.store import Store

Changed = tuple[Ref, ...]  # the plugins whose code was changed since a stage was made


@dataclass(frozen=True)
class Stale:
    """Stages of a plan that other code has made, by key. ``undecided``: cells that other code said not to apply to.

    A stale victim makes its cells stale. Victims are looked at only where cells are still to be made.
    """

    victims: dict[str, Changed] = field(default_factory=dict)
    cells: dict[str, Changed] = field(default_factory=dict)
    undecided: frozenset[str] = frozenset()

    def lines(self, *, keep: bool = False) -> list[str]:
        """For each plugin that was changed a line that says what it had made, and what becomes of that."""
        victims, cells = _by_plugin(self.victims.values()), _by_plugin(self.cells.values())
        lines = []
        for name in cells | victims:
            count, what = (victims[name], "victim") if name in victims else (cells[name], "cell")
            they, their, were, are = ("it", "its", "was", "is") if count == 1 else ("they", "their", "were", "are")
            if what == "victim":
                they, are = f"{they} and {their} cells", "are"
            then = "kept (--stale keep)" if keep else "computed again (--stale keep keeps them)"
            made = f"{count} of these {what}s {were} made"
            lines.append(f"{name}: its code was changed since {made}; {they} {are} {then}")
        return lines


def stale(plan: Plan, store: Store, records: Mapping[str, Record]) -> Stale:
    """What of a plan's stages other code has made. ``records``: of its cells that are in the store, by key."""
    cells: dict[str, Changed] = {}
    undecided = set()
    for cell in plan.cells:
        record = records.get(cell.key)
        if record is None or not (changed := _changed(cell.refs, _codes(record.fingerprints))):
            continue
        if record.status == "done":
            cells[cell.key] = changed
        else:
            undecided.add(cell.key)
    open_keys = {cell.key for cell in plan.cells if cell.key not in records} | undecided
    needed = {
        cell.victim.key: cell.victim
        for cell in plan.cells
        if cell.key in cells or (cell.key in open_keys and plan.unsupported(cell) is None)
    }
    victims = {key: changed for key, victim in needed.items() if (changed := _changed_since(victim, store))}
    for cell in plan.cells:
        record = records.get(cell.key)
        if record is not None and record.status == "done" and cell.victim.key in victims:
            own = [ref for ref in cells.get(cell.key, ()) if ref.kind == "defense"]
            cells[cell.key] = (*victims[cell.victim.key], *own)
    return Stale(victims, cells, frozenset(undecided))


def outdated(stage: Stage, store: Store) -> bool:
    """Whether the stage is in the store, made by other code; False for what is damaged."""
    return bool(_changed_since(stage, store))


def _changed_since(stage: Stage, store: Store) -> Changed:
    """The plugins that were changed since the stored stage was made."""
    try:
        if isinstance(stage, VictimStage):
            return _changed(stage.refs, store.facts(stage.key).fingerprints)
        if isinstance(stage, NaturalStage):
            return _changed(stage.refs, store.natural(stage.key).codes)
        record = store.record(stage.key)
    except (Damaged, FileNotFoundError):
        return ()
    return () if record is None else _changed(stage.refs, _codes(record.fingerprints))


def _changed(refs: Mapping[str, Ref], made_by: Mapping[str, str]) -> Changed:
    return tuple(
        ref for kind, ref in refs.items() if ref.fingerprint and made_by.get(kind, ref.fingerprint) != ref.fingerprint
    )


@lru_cache(1000)
def _codes(fingerprints: str) -> dict[str, str]:
    codes: dict[str, str] = json.loads(fingerprints)
    return codes


def _by_plugin(stages: Iterable[Changed]) -> dict[str, int]:
    """How many of the stages each plugin makes stale."""
    counts: dict[str, int] = {}
    for changed in stages:
        for ref in changed:
            name = f"{ref.kind} {ref.name!r}"
            counts[name] = counts.get(name, 0) + 1
    return counts
