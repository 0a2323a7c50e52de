"""What a run would do: the state of every cell of a plan, the totals and how long it may take; as lines, or as JSON."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from bench.errors import Damaged

if TYPE_CHECKING:
    from bench.engine.estimate import Estimate
    from bench.engine.options import RunOptions
    from bench.plan.plan import Plan
    from bench.plan.stages import CellStage, NaturalStage, Stage, VictimStage
    from bench.plan.stale import Stale
    from bench.records import Record
    from bench.store.store import Store

TO_DO = ("to do", "damaged", "to compute again")


@dataclass
class Planned:
    """A plan beside a store. states: of every cell, in the order of the plan, with what is to be said of it, or "".

    missing: the victims that are to be trained. natural: the triggers that are to be shown to a benign network.
    records: of the cells that the store holds as done.
    """

    plan: "Plan"
    states: "list[tuple[CellStage, str, str]]"
    missing: "list[VictimStage]"
    natural: "list[NaturalStage]"
    changed: "Stale"
    records: "dict[str, Record]" = field(default_factory=dict)

    @property
    def stages(self) -> "list[Stage]":
        """What a run would compute, victims first. A victim that no cell waits for is not made."""
        cells = [cell for cell, state, _ in self.states if state in TO_DO]
        waited_for = {cell.victim.key for cell in cells}
        victims = [victim for victim in self.missing if victim.key in waited_for]
        made = {victim.key for victim in self.plan.victims if victim.key not in {one.key for one in self.missing}}
        there = made | {victim.key for victim in victims}
        natural = [stage for stage in self.natural if there.issuperset(parent.key for parent in stage.parents)]
        return [*victims, *cells, *natural]


def planned(plan: "Plan", store: "Store | None", *, keep: bool = False) -> Planned:
    """What a run of ``plan`` would find. keep: whether what was made by other code counts as done."""
    from bench.plan.stale import Stale, stale

    records, damaged = _records_of(plan, store)
    changed = stale(plan, store, records) if store else Stale()
    counted = Stale() if keep else changed
    states = []
    for cell in plan.cells:
        otherwise = "damaged" if cell.key in damaged else "to do"
        states.append((cell, *_planned(cell, plan, records.get(cell.key), counted, otherwise)))
    missing = [
        victim
        for victim in plan.victims
        if store is None or victim.key in counted.victims or not store.has("victims", victim.key)
    ]
    natural = [
        stage
        for stage in plan.natural
        if store is None
        or any(parent.key in counted.victims for parent in stage.parents)
        or not store.has(stage.section, stage.key)
    ]
    return Planned(plan, states, missing, natural, changed, records)


def plan_lines(
    plan: "Plan", store: "Store | None", summaries: Mapping[str, str] | None = None, *, keep: bool = False
) -> list[str]:
    """A line for each cell with its key and state, the totals, and which plugins' code was changed.

    summaries: of the data sets, by label. keep: whether what was made by other code counts as done.
    """
    return planned_lines(planned(plan, store, keep=keep), summaries or {}, keep=keep)


def planned_lines(found: Planned, summaries: Mapping[str, str], *, keep: bool = False) -> list[str]:
    """As ``plan_lines``. As plain text: rich takes 6 s for 10,000 rows."""
    plan = found.plan
    rows, states = [("attack", "defense", "seed", "given", "key", "state")], Counter[str]()
    for cell, state, said in found.states:
        states[state] += 1
        shown = f"{state}: {said}" if said else state
        labels = cell.victim.attack.label, cell.defense.label, str(cell.victim.seed)
        rows.append((*labels, cell.knowledge, cell.key[:12], shown))
    naturals = len(plan.natural)
    triggers = f"; {len(found.natural)} of {naturals} triggers to show to a benign network" if naturals else ""
    return [
        *sorted({victim.setting for victim in plan.victims}),
        *(f"{label}: {summary}" for label, summary in summaries.items()),
        *_aligned(rows),
        f"{len(plan.cells)} cells ({', '.join(f'{count} {state}' for state, count in states.items())}); "
        f"{_victims(plan, found)}{triggers}",
        *found.changed.lines(keep=keep),
    ]


def _victims(plan: "Plan", found: Planned) -> str:
    """How many victims are still to be trained, and how many that were made elsewhere to be read."""
    from bench.plan.stages import ImportedVictim

    elsewhere = [victim for victim in plan.victims if isinstance(victim, ImportedVictim)]
    to_read = sum(isinstance(victim, ImportedVictim) for victim in found.missing)
    own = len(plan.victims) - len(elsewhere)
    parts = [f"{len(found.missing) - to_read} of {own} victims to train"] if own else []
    parts += [f"{to_read} of {len(elsewhere)} victims from elsewhere to read"] if elsewhere else []
    return ", ".join(parts)


def planned_json(
    found: Planned, summaries: Mapping[str, str], estimate: "tuple[Estimate, int]", *, keep: bool = False
) -> dict[str, Any]:
    """The same for programs; ``docs/running.md`` lists the fields."""
    guess, slots = estimate
    seconds = guess.seconds(found.stages, slots)
    cells = [
        {
            "key": cell.key,
            "victim": cell.victim.key,
            "dataset": cell.victim.dataset.label,
            "model": cell.victim.model.label,
            "attack": cell.victim.attack.label,
            "defense": cell.defense.label,
            "seed": cell.victim.seed,
            "given": cell.knowledge,
            "state": state,
            "why": said or None,
        }
        for cell, state, said in found.states
    ]
    return {
        "cells": cells,
        "victims": {"total": len(found.plan.victims), "to_train": [victim.key for victim in found.missing]},
        "natural": {"total": len(found.plan.natural), "to_show": [stage.key for stage in found.natural]},
        "datasets": dict(summaries),
        "changed": found.changed.lines(keep=keep),
        "estimate": {
            "seconds": None if seconds is None or not math.isfinite(seconds) else round(seconds, 1),
            "stages": len(found.stages),
            "slots": slots,
            "or_more": guess.open_ended(found.stages),
            "source": guess.source(found.stages),
        },
    }


def estimated(found: Planned, store: "Store | None", data: Path, how: "RunOptions") -> "tuple[Estimate, int]":
    """How long a run may take with these options, and with how many stages at a time."""
    from bench.engine import devices
    from bench.engine.clock import Clock
    from bench.engine.estimate import estimate, others

    stages, clock = found.stages, Clock()
    on_a_cluster = how.executor == "ray"
    places = ["?"] if on_a_cluster else devices.slots(how.device, how.workers, how.threads, how.gpu_share)
    slots = (how.workers or 1) if on_a_cluster else 1 if how.executor == "inline" else len(places)
    if stages:
        clock.remember([*found.records.values(), *(others(store, found.records) if store else [])])
    made = estimate(clock, found.plan, stages, data, places, how.threads)
    return made, max(1, min(slots, len(stages)))


def _records_of(plan: "Plan", store: "Store | None") -> "tuple[dict[str, Record], set[str]]":
    """The records of a plan's finished cells by key, and the keys of those that are damaged."""
    records, damaged = {}, set()
    for cell in plan.cells if store else ():
        try:
            record = store.record(cell.key) if store else None
        except Damaged:
            damaged.add(cell.key)
        else:
            if record is not None:
                records[cell.key] = record
    return records, damaged


def _planned(
    cell: "CellStage", plan: "Plan", record: "Record | None", changed: "Stale", otherwise: str
) -> tuple[str, str]:
    """The state of a cell in a plan, and why; ``otherwise``: of one that is neither stored nor not applicable."""
    again = changed.cells.get(cell.key, ())
    if record and not again and cell.key not in changed.undecided:
        return record.status, ""
    if reason := plan.unsupported(cell):
        return "not-applicable", reason
    plugins = ", ".join(f"{ref.kind} {ref.name!r}" for ref in again)
    return ("to compute again", f"the code of {plugins} was changed") if again else (otherwise, "")


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The rows as lines. Every column is as wide as its widest text; the last one is not padded."""
    columns = []
    for column in list(zip(*rows, strict=True))[:-1]:
        widths = {text: cell_len(text) for text in set(column)}
        widest = max(widths.values())
        columns.append({text: text + " " * (widest - width) for text, width in widths.items()})
    return ["  ".join([*(padded[text] for padded, text in zip(columns, row, strict=False)), row[-1]]) for row in rows]
