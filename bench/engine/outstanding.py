"""Which stages of a plan are still to be done, and the records of those that are not."""

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from bench import provenance
from bench.errors import Damaged
from bench.plan.plan import Plan
from bench.plan.stages import CellStage, Stage, VictimStage
from bench.records import Record
from bench.store.store import Section, Store


@dataclass
class Work:
    """The stages that are still to be done: the victims to be made first, and the cells by the key of their victim."""

    victims: deque[VictimStage] = field(default_factory=deque)
    cells: dict[str, deque[CellStage]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.victims) or any(self.cells.values())

    @property
    def stages(self) -> list[Stage]:
        """All of them, victims first."""
        return [*self.victims, *(cell for cells in self.cells.values() for cell in cells)]

    def add(self, stage: Stage) -> None:
        """Put a stage at the end of its queue."""
        if isinstance(stage, VictimStage):
            self.victims.append(stage)
        else:
            self.cells.setdefault(stage.victim.key, deque()).append(stage)


def outstanding(
    plan: Plan,
    store: Store,
    note: Callable[[str], None],
    *,
    retry: str | None = None,
    only: str | None = None,
    fresh: Collection[str] = (),
) -> tuple[Work, dict[str, Record]]:
    """What is to be done, and the records of what is not, by key.

    A damaged record is removed, and its cell is to be done; ``note`` is called with a line that says so. A cell that is
    not applicable gets its record here. ``retry="failed"``: of the others, only cells that have failed;
    ``only="missing"``: only cells that have not. Cells whose keys are in ``fresh`` are to be done in any case. Victims
    with the most waiting defenses come first.
    """
    work, done = Work(), {}
    for cell in plan.cells:
        if (record := read_record(store, "cells", cell.key, note)) is not None:
            done[cell.key] = record
        elif (reason := plan.unsupported(cell)) is not None:
            origin = provenance.Maker(provenance.current_command()).columns()
            done[cell.key] = Record(**cell.columns, **origin, status="not-applicable", reason=reason)
            put_record(store, "cells", done[cell.key], {}, note)
        elif not (retry or only) or cell.key in fresh or store.has("failures", cell.key) == (retry is not None):
            work.add(cell)
    missing = [victim for victim in plan.victims if victim.key in work.cells and not store.has("victims", victim.key)]
    work.victims.extend(sorted(missing, key=lambda victim: -len(work.cells[victim.key])))
    return work, done


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
