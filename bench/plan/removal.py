"""``bench rm``: which cells and victims of a store keys and selections mean."""

import json
from collections.abc import Callable
from typing import Any

from bench.errors import Damaged, RequestError, shortened
from bench.plan.matching import OF_CELLS, matching, selecting
from bench.plan.request import Request
from bench.records import Record
from bench.store import files
from bench.store.facts import MadeOf
from bench.store.removal import Removal
from bench.store.store import Section, Store

SHORTEST = 4  # digits of a key that are taken for its beginning
_WITH: dict[str, tuple[Section, ...]] = {"cell": ("cells", "failures"), "victim": ("victims", "checkpoints")}


def removal_of(
    store: Store, request: Request, keys: list[str], damaged: Callable[[Damaged], object]
) -> tuple[Removal, list[str]]:
    """What the keys, or their beginnings, and the selections of a request mean, and lines about selections.

    Selections that say something of defenses mean cells; all others mean victims, with all their cells. Damaged records
    are handed to ``damaged``; a key can mean one of them. Raises RequestError where there is no such thing.
    """
    if not keys and not selecting(request):
        raise RequestError("rm: expected the keys of cells or victims, or a selection such as --defenses NAME")
    records = list(store.records(damaged))
    cells, victims = _of_keys(store, keys)
    notes: list[str] = []
    if selecting(request):
        victims_too = not selecting(request) & OF_CELLS
        there = records + (_without_cells(store, records) if victims_too else [])
        if not there:
            raise RequestError(f"--store {store.root}: holds no results")
        matched = matching(request, there)
        notes = matched.notes
        cells |= {record.key for record in matched.records if record.key}
        if victims_too:
            victims |= {record.victim_key for record in matched.records if store.has("victims", record.victim_key)}
    cells |= {record.key for record in records if record.victim_key in victims}
    return _removal(store, {record.key: record for record in records}, cells, victims), notes


def _removal(store: Store, records: dict[str, Record], cells: set[str], victims: set[str]) -> Removal:
    stages = [(section, key) for key in cells for section in _WITH["cell"]]
    stages += [(section, key) for key in victims for section in _WITH["victim"]]
    stages += [("natural", key) for key in store.natural_of(victims)] if victims else []
    named = {record.victim_key: _victim_title(record) for record in [*_without_cells(store, []), *records.values()]}
    return Removal(
        {key: _cell_title(key, records.get(key)) for key in sorted(cells, key=lambda key: _place(records.get(key)))},
        {key: f"victim {key[:12]}  {named.get(key, 'of unknown origin')}" for key in sorted(victims)},
        sum(files.size(store.folder(section, key)) for section, key in stages if store.has(section, key)),
    )


def _of_keys(store: Store, beginnings: list[str]) -> tuple[set[str], set[str]]:
    cells, victims = set[str](), set[str]()
    for text in beginnings:
        named = f"rm {shortened(text)}"
        if len(text) < SHORTEST or not all(sign in "0123456789abcdef" for sign in text):
            raise RequestError(f"{named}: expected the beginning of a key, {SHORTEST} or more hexadecimal digits")
        found = {
            kind: {key for section in sections for key in store.keys(section) if key.startswith(text)}
            for kind, sections in _WITH.items()
        }
        count = sum(map(len, found.values()))
        if count != 1:
            raise RequestError(f"{named}: expected the beginning of one key of a cell or victim; {count} begin so")
        cells |= found["cell"]
        victims |= found["victim"]
    return cells, victims


def _without_cells(store: Store, records: list[Record]) -> list[Record]:
    """For each victim that no record is of, and whose folder says what it is made of, a record without a key."""
    have = {record.victim_key for record in records}
    found = []
    for key in store.keys("victims"):
        if key in have:
            continue
        try:
            made = store.facts(key).made_of
        except (Damaged, FileNotFoundError):
            continue
        if made is not None:
            found.append(_as_record(key, made))
    return found


def _as_record(key: str, made: MadeOf) -> Record:
    values: dict[str, Any] = {"key": "", "victim_key": key, "defense": "", "defense_label": "", "defense_params": "{}"}
    for kind in ("dataset", "model", "attack"):
        part = getattr(made, kind)
        values |= {kind: part.name, f"{kind}_label": part.label, f"{kind}_params": json.dumps(part.parameters)}
    return Record.model_construct(
        **values,
        profile=made.profile,
        recipe=made.recipe.name,
        seed=made.seed,
        evaluated_on=made.evaluated_on,
        reference=0,
        suspects=0,
    )


def _cell_title(key: str, record: Record | None) -> str:
    if record is None:
        return f"cell {key[:12]}  damaged"
    return f"cell {key[:12]}  {_victim_title(record)} × {record.defense_label}, {record.status}"


def _victim_title(record: Record) -> str:
    return f"{record.dataset_label} {record.model_label} {record.attack_label} seed {record.seed}"


def _place(record: Record | None) -> tuple[str, ...]:
    return () if record is None else (_victim_title(record), record.defense_label)
