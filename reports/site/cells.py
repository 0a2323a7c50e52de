"""The page of a cell: every field of its records, seed by seed, in words."""

import json
from dataclasses import dataclass
from math import isnan

from bench.records import Record, neutral, printable
from bench.reports.format import UNDEFINED
from bench.reports.site.contents import Contents, Shown

_LONGEST = 5000  # characters of a field that the page shows; the whole is in the file of records
_JSON = {"class_acc_before", "targets", "class_names", "packages", "fingerprints", "diagnostics", "recipe_params"}
_JSON |= {f"{kind}_params" for kind in ("dataset", "model", "attack", "defense")}
_RESULTS = ["status", "reason", "valid", "doubt"]
_RESULTS += ["acc", "asr", "ra", "der", "acc_target", "acc_before", "asr_before", "ra_before", "acc_target_before"]
_LINES = {"log", "victim_log"}


@dataclass(frozen=True)
class Field:
    """A field of a record: its name, and its value in words. ``block``: it has lines of its own."""

    name: str
    text: str
    block: bool = False


@dataclass(frozen=True)
class Entry:
    """One record: what it is headed by, and its fields: what came out, and all else."""

    head: str
    results: list[Field]
    others: list[Field]


@dataclass(frozen=True)
class CellPage:
    """The page of the records of one attack against one defense."""

    page: str
    shown: Shown
    attack: str
    column: str
    entries: list[Entry]


def cell_pages(contents: Contents) -> list[CellPage]:
    """A page for each cell that has a record; its records by seed."""
    pages = []
    for shown in contents.shown:
        index = shown.block.records.index
        for key, rows in shown.block.by_cell.items():
            attack, column = key
            own = sorted((contents.records[index[row]] for row in rows.positions), key=lambda one: (one.seed, one.key))
            entries = [_entry(record) for record in own]
            pages.append(CellPage(shown.cell_page(attack, column), shown, attack, column, entries))
    return pages


def _entry(record: Record) -> Entry:
    fields = {name: _field(name, getattr(record, name)) for name in Record.model_fields}
    results = [fields.pop(name) for name in _RESULTS]
    return Entry(f"seed {record.seed}: {record.status}", results, list(fields.values()))


def _field(name: str, value: object) -> Field:
    if name in _JSON:
        text = _cut(_indented(str(value)))
        return Field(name, text, block="\n" in text)
    if name in _LINES:
        text = neutral(str(value))
        return Field(name, text or UNDEFINED, block=bool(text))
    if value is None or value == "" or (isinstance(value, float) and isnan(value)):
        return Field(name, UNDEFINED)
    if isinstance(value, bool):
        return Field(name, "yes" if value else "no")
    return Field(name, f"{value:.6g}" if isinstance(value, float) else printable(str(value)))


def _indented(text: str) -> str:
    """JSON with a line for each entry, if it has many; what is in it stays escaped."""
    if len(text) < 80:
        return printable(text)
    return neutral(json.dumps(json.loads(text), indent=1))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\n… the whole is in the file of records"
