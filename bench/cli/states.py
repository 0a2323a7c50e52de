"""What a store holds and what is being computed there, as lines or as JSON."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from bench.cli.listing import mebibytes
from bench.errors import Damaged

if TYPE_CHECKING:
    from bench.plan.plan import Plan
    from bench.plan.stages import CellStage, Stage
    from bench.store.progress import Progress
    from bench.store.store import Store
    from bench.store.verify import Verified


@dataclass
class Status:
    """A store in numbers. running: the title of each stage that is computed, by its key, and how far it is."""

    root: str
    cells: dict[str, int]
    victims: int
    running: "dict[str, tuple[str, Progress | None]]"
    sizes: dict[str, int]
    verified: "Verified | None"
    changed: list[str]
    damaged: list[str]


def status_of(store: "Store", plan: "Plan | None" = None, *, keep: bool = False) -> Status:
    """Of all a store's cells, or of a plan's with those that wait.

    keep: whether what was made by other code than a plan's counts as done.
    """
    from bench.plan.stale import Stale, stale
    from bench.store import locks, progress, verify

    damaged: list[Damaged] = []
    records = {record.key: record for record in store.records(damaged.append)}
    states: dict[str, str] = {key: record.status for key, record in records.items()}
    states |= {error.key: "damaged" for error in damaged}
    made = {key: record for key, record in records.items() if record.status in ("done", "not-applicable")}
    changed = stale(plan, store, made) if plan else Stale()
    if not keep:
        states |= dict.fromkeys(changed.cells, "to compute again")
    running = {key: progress.read(store.root, key) for key in locks.held(store.root)}
    counts = Counter(states.values() if plan is None else (_state(cell, plan, states, running) for cell in plan.cells))
    stages: list[Stage] = [*plan.victims, *plan.cells, *plan.natural] if plan else []
    titles = {stage.key: stage.title for stage in stages}
    titles |= {key: far.title for key, far in running.items() if far is not None and key not in titles}
    return Status(
        str(store.root),
        dict(sorted(counts.items())),
        store.count("victims"),
        {key: (titles.get(key, key[:12]), running[key]) for key in sorted(running)},
        store.sizes(),
        verify.last(store),
        changed.lines(keep=keep),
        [str(error) for error in damaged],
    )


def status_lines(store: "Store", plan: "Plan | None" = None, *, keep: bool = False) -> list[Any]:
    """The status of a store, for rich."""
    from bench.store.store import SECTIONS

    found = status_of(store, plan, keep=keep)
    cells = ", ".join(f"{count} {state.replace('-', ' ')}" for state, count in found.cells.items()) or "none"
    sections = ", ".join(
        f"{section} {mebibytes(found.sizes[section])}" for section in SECTIONS if section in found.sizes
    )
    running = [f"{title}{_far(far)}" for title, far in found.running.values()]
    first, *more = running or ["none"]
    return [
        f"store     {escape(found.root)}",
        f"cells     {cells}",
        f"victims   {found.victims}",
        f"running   {escape(first)}",
        *(f"          {escape(line)}" for line in more),
        f"on disk   {mebibytes(sum(found.sizes.values()))} MiB" + (f": {sections}" if sections else ""),
        f"verified  {_last_verified(found.verified)}",
        *(escape(f"changed   {line}") for line in found.changed),
        *(f"damaged   {escape(line)}; bench run computes it again" for line in found.damaged),
    ]


def status_json(store: "Store", plan: "Plan | None" = None, *, keep: bool = False) -> dict[str, Any]:
    """The same for programs; ``docs/running.md`` lists the fields."""
    found = status_of(store, plan, keep=keep)
    running = [
        {
            "key": key,
            "title": title,
            "share": far.share if far else None,
            "epoch": far.epoch if far and far.epochs else None,
            "epochs": far.epochs if far and far.epochs else None,
            "seconds": round(far.seconds, 1) if far else None,
        }
        for key, (title, far) in found.running.items()
    ]
    noted = found.verified
    verified = noted and {
        "at": noted.at.isoformat(),
        "stages": noted.stages,
        "bytes": noted.bytes,
        "damaged": noted.damaged,
    }
    return {
        "store": found.root,
        "cells": found.cells,
        "victims": found.victims,
        "running": running,
        "bytes": found.sizes,
        "verified": verified,
        "changed": found.changed,
        "damaged": found.damaged,
    }


def _far(far: "Progress | None") -> str:
    """How far a stage is: epochs of a training, and the time so far."""
    from bench.engine.clock import spoken

    if far is None:
        return ""
    share = f", {far.share:.0%}" if far.share else ""
    epochs = f", epoch {far.epoch} of {far.epochs}" if far.epochs else ""
    return f"{share}{epochs}, for {spoken(far.seconds)}"


def _last_verified(noted: "Verified | None") -> str:
    from bench import provenance

    if noted is None:
        return "never; bench verify reads everything"
    where = "" if noted.host == provenance.host() else " on another machine"
    damaged = f"{noted.damaged} damaged" if noted.damaged else "none damaged"
    return f"{noted.at:%Y-%m-%d %H:%M} UTC{where}: {noted.stages} stages, {mebibytes(noted.bytes)} MiB, {damaged}"


def _state(cell: "CellStage", plan: "Plan", states: dict[str, str], running: "dict[str, Progress | None]") -> str:
    if cell.key in running:
        return "running"
    if cell.key in states:
        return states[cell.key]
    return "waiting" if plan.unsupported(cell) is None else "not-applicable"
