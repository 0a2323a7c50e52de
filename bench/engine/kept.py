"""``--keep-networks`` on a store whose cells were done without it: what is not kept is said, not computed again."""

from collections.abc import Iterator, Mapping
from typing import cast

from bench.plan.plan import Plan
from bench.plugin.defense import Defense
from bench.plugin.repair import Repair
from bench.records import Record
from bench.store.schema import NETWORK
from bench.store.store import Store


def not_kept(plan: Plan, store: Store, records: Mapping[str, Record]) -> Iterator[str]:
    """A line for each repair with finished cells whose network is not in the store. ``records``: of these, by key."""
    counts: dict[str, int] = {}
    for cell in plan.cells:
        record = records.get(cell.key)
        if record is None or record.status != "done" or not _changes(cast(Defense, plan.plugin(cell.defense))):
            continue
        if not (store.folder("cells", cell.key) / NETWORK).exists():
            counts[cell.defense.name] = counts.get(cell.defense.name, 0) + 1
    for name, count in counts.items():
        what, kept = ("1 cell was", "its network is") if count == 1 else (f"{count} cells were", "their networks are")
        yield f"{name}: {what} done without --keep-networks, {kept} not kept; --refresh {name} computes again"


def _changes(defense: Defense) -> bool:
    return isinstance(defense, Repair) and not defense.changes_nothing
