"""Which stages of a plan are still to be done, and the records of those that are not."""

import json
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Literal

from bench import provenance
from bench.errors import Damaged
from bench.plan.plan import Plan
from bench.plan.stages import CellStage, NaturalStage, Stage, VictimStage
from bench.plan.stale import Stale, outdated, stale
from bench.records import Record
from bench.store import locks
from bench.store.store import Section, Store


@dataclass
class Work:
    """The stages that are still to be done: the victims to be made first, and the cells by the key of their victim.

    natural: benign networks to be shown a trigger. keep: whether what other code has made counts as done. made_on: for
    each victim that other code has made, the keys of all cells in the store that are made on it.
    """

    victims: deque[VictimStage] = field(default_factory=deque)
    cells: dict[str, deque[CellStage]] = field(default_factory=dict)
    natural: deque[NaturalStage] = field(default_factory=deque)
    keep: bool = False
    made_on: dict[str, list[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.victims or self.natural) or any(self.cells.values())

    @property
    def stages(self) -> list[Stage]:
        """All of them, victims first."""
        return [*self.victims, *(cell for cells in self.cells.values() for cell in cells), *self.natural]

    def add(self, stage: Stage) -> None:
        """Put a stage at the end of its queue."""
        if isinstance(stage, VictimStage):
            self.victims.append(stage)
        elif isinstance(stage, NaturalStage):
            self.natural.append(stage)
        else:
            self.cells.setdefault(stage.victim.key, deque()).append(stage)

    def pop_natural(self, victim: VictimStage) -> list[NaturalStage]:
        """Take out, and return, all benign networks under a trigger that need this victim."""
        popped = [stage for stage in self.natural if victim.key in {parent.key for parent in stage.parents}]
        for stage in popped:
            self.natural.remove(stage)
        return popped

    def found(self, stage: Stage, store: Store) -> Literal["done", "busy"] | None:
        """What is to be known before a stage is started: done if another run has made it, busy if one may be at it.

        What other code has made is removed here, as late as can be, so that a run that is interrupted before loses
        nothing; and under the stage's lock, so that it is never what another run has made anew. A victim goes last,
        after what was made on it: whatever is left by a crash still says by which code it was made.
        """
        if not store.has(stage.section, stage.key):
            return None
        if self.keep or not outdated(stage, store):
            return "done"
        with locks.lock(store.root, stage.key) as alone:
            if not alone:
                return "busy"
            if not outdated(stage, store):
                return "done"
            for key in store.natural_of({stage.key}) if isinstance(stage, VictimStage) else ():
                store.forget("natural", key)
            for key in self.made_on.get(stage.key, ()):
                store.forget("cells", key)
                store.forget("failures", key)
            store.forget(stage.section, stage.key)
        return None


def outstanding(
    plan: Plan,
    store: Store,
    note: Callable[[str], None],
    *,
    retry: str | None = None,
    only: str | None = None,
    fresh: Collection[str] = (),
    keep: bool = False,
) -> tuple[Work, dict[str, Record]]:
    """What is to be done, and the records of what is not, by key.

    A damaged record is removed, and its cell is to be done; ``note`` is called with a line that says so. A cell that is
    not applicable gets its record here. What other code has made is to be done again, unless ``keep``; ``note`` is
    called with a line for each plugin whose code was changed. ``retry="failed"``: of the others, only cells that have
    failed; ``only="missing"``: only cells that have not. Cells whose keys are in ``fresh`` are to be done in any case.
    Victims with the most waiting defenses come first.
    """
    stored = {cell.key: read_record(store, "cells", cell.key, note) for cell in plan.cells}
    done = {key: record for key, record in stored.items() if record is not None}
    changed = stale(plan, store, done)
    for line in changed.lines(keep=keep):
        note(line)
    if keep:
        changed = Stale()
    work = Work(keep=keep, made_on=_made_on(changed, plan, store, note))
    again = {*changed.cells, *changed.undecided}
    for cell in plan.cells:
        if cell.key in done and cell.key not in again:
            continue
        done.pop(cell.key, None)
        if (reason := plan.unsupported(cell)) is not None:
            if cell.key in again:
                store.forget("cells", cell.key)
            done[cell.key] = _not_applicable(cell, reason)
            put_record(store, "cells", done[cell.key], {}, note)
        elif cell.key in again or cell.key in fresh or _wanted(cell, store, retry, only):
            work.add(cell)
    waited_for = [victim for victim in plan.victims if victim.key in work.cells]
    missing = [one for one in waited_for if one.key in changed.victims or not store.has("victims", one.key)]
    work.victims.extend(sorted(missing, key=lambda victim: -len(work.cells[victim.key])))
    work.natural.extend(_unanswered(plan, store, {victim.key for victim in missing}, keep=keep, note=note))
    return work, done


def _unanswered(
    plan: Plan, store: Store, to_make: set[str], *, keep: bool, note: Callable[[str], None]
) -> Iterator[NaturalStage]:
    """The benign networks that are still to be shown a trigger; ``to_make``: the keys of the victims to be made.

    No victim is made for this alone.
    """
    for stage in plan.natural:
        missing = [parent.key for parent in stage.parents if not store.has("victims", parent.key)]
        anew = to_make.intersection(parent.key for parent in stage.parents)
        if to_make.issuperset(missing) and (anew or _to_be_shown(stage, store, keep=keep, note=note)):
            yield stage


def _to_be_shown(stage: NaturalStage, store: Store, *, keep: bool, note: Callable[[str], None]) -> bool:
    """Whether the answers to a trigger are not in the store, damaged (then they are removed), or of other code."""
    try:
        store.natural(stage.key)
    except FileNotFoundError:
        return True
    except Damaged as error:
        note(f"damaged: {error}; dropped")
        store.forget("natural", stage.key)
        return True
    return not keep and outdated(stage, store)


def _wanted(cell: CellStage, store: Store, retry: str | None, only: str | None) -> bool:
    return not (retry or only) or store.has("failures", cell.key) == (retry is not None)


def _not_applicable(cell: CellStage, reason: str) -> Record:
    origin = provenance.Maker(provenance.current_command()).columns()
    codes = json.dumps(cell.codes, sort_keys=True)
    return Record(**cell.columns, **origin, status="not-applicable", reason=reason, fingerprints=codes)


def _made_on(changed: Stale, plan: Plan, store: Store, note: Callable[[str], None]) -> dict[str, list[str]]:
    """The keys of all cells on victims that other code has made. Those of other requests can stay no longer, either."""
    made_on: dict[str, list[str]] = {}
    for record in store.records(lambda error: None) if changed.victims else ():
        if record.victim_key in changed.victims:
            made_on.setdefault(record.victim_key, []).append(record.key)
    others = {key for keys in made_on.values() for key in keys} - {cell.key for cell in plan.cells}
    if others:
        cells = "1 cell of other requests is" if len(others) == 1 else f"{len(others)} cells of other requests are"
        note(f"{cells} made on these victims, to be removed with them")
    return made_on


def read_record(store: Store, section: Section, key: str, note: Callable[[str], None]) -> Record | None:
    """A cell's record from the section ``cells`` or ``failures``; None where there is none.

    A damaged one is removed, ``note`` is called with a line that says so, and the result is None, too.
    """
    try:
        return store.record(key) if section == "cells" else store.failure(key)
    except Damaged as error:
        note(f"damaged: {error}; dropped")
        store.forget(section, key)
        return None


def put_record(
    store: Store, section: Section, record: Record, files: dict[str, str], note: Callable[[str], None]
) -> bool:
    """Store a record that this process makes itself, with further ``files`` by name; return whether that worked.

    A full disk does not end the run: ``note`` is called with a line that says so.
    """
    content = {"record.json": record.to_json(), **files}
    try:
        store.write(section, record.key, content, durable=False)  # it costs nothing to make again
    except OSError as error:
        note(f"{record.attack_label} × {record.defense_label}: its {record.status} could not be kept: {error}")
        return False
    return True
