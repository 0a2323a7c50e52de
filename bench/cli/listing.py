"""What ``bench list``, ``show``, ``verify``, ``gc``, ``measure`` and ``merge`` print: lines for rich."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from bench.errors import Damaged, RequestError, did_you_mean
from bench.plan.registry import KINDS, Registry
from bench.records.texts import neutral
from bench.store import logs

if TYPE_CHECKING:
    from bench.records import Record
    from bench.store.merge import Merged
    from bench.store.verify import Found
    from bench.store.waste import Waste

MOST_SHOWN, MOST_TRACEBACK = 4000, 50_000  # characters of a column, and of a traceback, that ``bench show`` prints


def plugin_lines(registry: Registry, kinds: list[str]) -> list[Any]:
    """A table for each kind: name, what it is, where it comes from; of a broken plugin what is wrong with it."""
    lines: list[Any] = []
    for kind in kinds:
        table = Table(title=f"{kind}s", title_justify="left", title_style="bold", box=None, pad_edge=False)
        for column in ("name", "", "from"):
            table.add_column(column, header_style="dim", no_wrap=column == "name")
        for entry in registry.entries(kind):
            what = f"[red]broken: {escape(entry.problem)}[/red]" if entry.problem else escape(entry.summary)
            table.add_row(entry.name, what, escape(entry.origin))
        lines += [table, ""]
    return lines


def show_lines(name: str, registry: Registry, root: Path) -> list[Any]:
    """A plugin's documentation and parameters, or the record of the result whose key begins with ``name``."""
    if matching := plugins_named(name, registry):
        from bench.cli.plugin_pages import description

        described = (description(registry.load(*one), registry.presets(*one)) for one in matching)
        return [line for lines in described for line in lines]
    record, traceback = result_named(name, root)
    printed = logs.read(root, record.key)
    said = ["", "printed:", escape(printed[-MOST_TRACEBACK:])] if printed else []
    table = Table(box=None, show_header=False, pad_edge=False)
    for field, value in record.model_dump().items():
        shown = f"{value:.4f}" if isinstance(value, float) else str(value)
        if field == "diagnostics" and len(value) < MOST_SHOWN:
            shown = json.dumps(json.loads(value), indent=1)
        shown = shown if len(shown) < MOST_SHOWN else f"{shown[:MOST_SHOWN]}…"
        table.add_row(field, escape(neutral(shown)))
    if traceback is None:
        return [table, *said]
    return [table, escape(neutral(traceback[-MOST_TRACEBACK:])), *said]  # its end says what went wrong


def plugins_named(name: str, registry: Registry) -> list[tuple[str, str]]:
    """Kind and name of the plugins that ``name`` may mean; none for what may be a result's key.

    Raises RequestError for what is neither.
    """
    asked_kind, _, plain = name.rpartition(":")
    kinds = [kind for kind in KINDS if asked_kind in ("", kind)]
    names = {kind: [entry.name for entry in registry.entries(kind)] for kind in KINDS}
    matching = [(kind, plain) for kind in kinds if plain in names[kind]]
    if matching or (len(name) >= 4 and all(sign in "0123456789abcdef" for sign in name)):
        return matching
    if not kinds:
        raise RequestError(f"show {name}: unknown kind {asked_kind!r}; expected one of {', '.join(KINDS)}")
    hint = did_you_mean(plain, sorted({one for several in names.values() for one in several}))
    raise RequestError(f"show {name}: expected a plugin's name, or the beginning of a result's key{hint}")


def result_named(prefix: str, root: Path) -> "tuple[Record, str | None]":
    """The record of the one result whose key begins so, with its verdict; and the traceback of one that has failed."""
    from bench.cell.validity import judged_within
    from bench.store.store import Store

    store = Store(root, create=False)
    keys = {key for section in ("cells", "failures") for key in store.keys(section) if key.startswith(prefix)}
    matching = [record for key in keys if (record := store.record(key) or store.failure(key))]
    if len(matching) != 1:
        raise RequestError(f"show {prefix}: expected the beginning of one result's key; {len(matching)} keys begin so")
    [record] = judged_within(store, matching)
    failed = record.status in ("failed", "timeout")
    return record, store.text("failures", record.key, "traceback.txt") if failed else None


def verified_lines(found: "Found") -> list[Any]:
    """What ``bench verify`` has read, and what of it is damaged."""
    lines = [escape(f"damaged   {line}") for line in found.damaged]
    read = f"read {found.stages} stages, {found.files} files, {mebibytes(found.bytes)} MiB"
    return [*lines, f"{read}; {len(found.damaged) or 'none'} damaged"]


def waste_lines(unneeded: "list[Waste]", damaged: list[Damaged]) -> list[Any]:
    """What ``bench gc`` would remove: how many of each sort, and their bytes."""
    lines = [f"damaged   {escape(str(error))}; all victims stay until it is computed again" for error in damaged]
    for why in dict.fromkeys(one.why for one in unneeded):
        sizes = [one.size for one in unneeded if one.why == why]
        lines.append(f"{len(sizes):6}  {mebibytes(sum(sizes)):>9} MiB  {why}")
    total = f"{len(unneeded):6}  {mebibytes(sum(one.size for one in unneeded)):>9} MiB  in all"
    return [*lines, total if unneeded else "nothing to remove"]


def measured_lines(changed: "Iterable[tuple[Record, Record]]") -> list[Any]:
    """What ``bench measure`` changed: of every record, each column with its old and its new value."""
    lines = []
    for before, after in changed:
        old, new = before.model_dump(), after.model_dump()
        columns = [f"{name} {old[name]} → {new[name]}" for name in new if str(old[name]) != str(new[name])]
        lines.append(escape(f"{after.key[:12]} {after.attack_label} × {after.defense_label}: {', '.join(columns)}"))
    return [*lines, f"{len(lines)} records measured anew differ from what was stored" if lines else "nothing differs"]


def merged_lines(merged: "Merged") -> list[Any]:
    """What ``bench merge`` did with one store."""
    copied = ", ".join(f"{count} {section}" for section, count in merged.copied.items()) or "nothing"
    repeated = f"; {merged.repeated} stages are in both with the same results" if merged.repeated else ""
    lines = [f"copied {copied}{repeated}", *(f"conflict: {line}" for line in merged.conflicts)]
    return [escape(line) for line in [*lines, *(f"damaged: {line}" for line in merged.damaged)]]


def mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f}"
