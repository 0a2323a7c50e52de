"""What ``bench list``, ``show``, ``plan``, ``status``, ``gc`` and ``merge`` print: lines for rich; a plan as text."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.markup import escape
from rich.table import Table

from bench.errors import Damaged, RequestError, did_you_mean
from bench.plan.registry import KINDS, Registry
from bench.records.texts import neutral

if TYPE_CHECKING:
    from bench.plan.plan import Plan
    from bench.plan.stages import CellStage, Stage
    from bench.plan.stale import Stale
    from bench.records import Record
    from bench.store.merge import Merged
    from bench.store.store import Store
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
    asked_kind, _, plain = name.rpartition(":")
    kinds = [kind for kind in KINDS if asked_kind in ("", kind)]
    names = {kind: [entry.name for entry in registry.entries(kind)] for kind in KINDS}
    matching = [kind for kind in kinds if plain in names[kind]]
    if matching:
        from bench.cli.plugin_pages import description

        described = (description(registry.load(kind, plain), registry.presets(kind, plain)) for kind in matching)
        return [line for lines in described for line in lines]
    if len(name) >= 4 and all(sign in "0123456789abcdef" for sign in name):
        return _result(name, root)
    if not kinds:
        raise RequestError(f"show {name}: unknown kind {asked_kind!r}; expected one of {', '.join(KINDS)}")
    hint = did_you_mean(plain, sorted({one for several in names.values() for one in several}))
    raise RequestError(f"show {name}: expected a plugin's name, or the beginning of a result's key{hint}")


def _result(prefix: str, root: Path) -> list[Any]:
    from bench.cell.validity import judged_within
    from bench.store.store import Store

    store = Store(root, create=False)
    keys = {key for section in ("cells", "failures") for key in store.keys(section) if key.startswith(prefix)}
    matching = [record for key in keys if (record := store.record(key) or store.failure(key))]
    if len(matching) != 1:
        raise RequestError(f"show {prefix}: expected the beginning of one result's key; {len(matching)} keys begin so")
    table = Table(box=None, show_header=False, pad_edge=False)
    [record] = judged_within(store, matching)
    for field, value in record.model_dump().items():
        shown = f"{value:.4f}" if isinstance(value, float) else str(value)
        if field == "diagnostics" and len(value) < MOST_SHOWN:
            shown = json.dumps(json.loads(value), indent=1)
        shown = shown if len(shown) < MOST_SHOWN else f"{shown[:MOST_SHOWN]}…"
        table.add_row(field, escape(neutral(shown)))
    if record.status not in ("failed", "timeout"):
        return [table]
    traceback = store.text("failures", record.key, "traceback.txt")
    return [table, escape(neutral(traceback[-MOST_TRACEBACK:]))]  # its end says what went wrong


def plan_lines(
    plan: "Plan", store: "Store | None", summaries: Mapping[str, str] | None = None, *, keep: bool = False
) -> list[str]:
    """A line for each cell with its key and state, the totals, and which plugins' code was changed.

    summaries: of the data sets, by label. keep: whether what was made by other code counts as done. As plain text: rich
    takes 6 s for 10,000 rows.
    """
    from bench.plan.stale import Stale, stale

    records, damaged = _records_of(plan, store)
    changed = stale(plan, store, records) if store else Stale()
    counted = Stale() if keep else changed
    rows, states = [("attack", "defense", "seed", "given", "key", "state")], Counter[str]()
    for cell in plan.cells:
        state = _planned(cell, plan, records.get(cell.key), counted, "damaged" if cell.key in damaged else "to do")
        states[state.partition(":")[0]] += 1
        victim = cell.victim
        rows.append((victim.attack.label, cell.defense.label, str(victim.seed), cell.knowledge, cell.key[:12], state))
    victims = plan.victims
    missing = [
        victim
        for victim in victims
        if store is None or victim.key in counted.victims or not store.has("victims", victim.key)
    ]
    return [
        *sorted({victim.setting for victim in victims}),
        *(f"{label}: {summary}" for label, summary in (summaries or {}).items()),
        *_aligned(rows),
        f"{len(plan.cells)} cells ({', '.join(f'{count} {state}' for state, count in states.items())}); "
        f"{len(missing)} of {len(victims)} victims to train{_shown(plan, store, counted)}",
        *changed.lines(keep=keep),
    ]


def _shown(plan: "Plan", store: "Store | None", changed: "Stale") -> str:
    """How many triggers are still to be shown to their benign network; nothing where the plan has no control row."""
    stages = plan.natural
    again = [any(parent.key in changed.victims for parent in stage.parents) for stage in stages]
    done = [store is not None and store.has(stage.section, stage.key) for stage in stages]
    count = sum(anew or not made for anew, made in zip(again, done, strict=True))
    return f"; {count} of {len(stages)} triggers to show to a benign network" if stages else ""


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


def _planned(cell: "CellStage", plan: "Plan", record: "Record | None", changed: "Stale", otherwise: str) -> str:
    """The state of a cell in a plan; ``otherwise``: of one that is neither stored nor not applicable."""
    again = changed.cells.get(cell.key, ())
    if record and not again and cell.key not in changed.undecided:
        return record.status
    if reason := plan.unsupported(cell):
        return f"not-applicable: {reason}"
    plugins = ", ".join(f"{ref.kind} {ref.name!r}" for ref in again)
    return f"to compute again: the code of {plugins} was changed" if again else otherwise


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The rows as lines. Every column is as wide as its widest text; the last one is not padded."""
    columns = []
    for column in list(zip(*rows, strict=True))[:-1]:
        widths = {text: cell_len(text) for text in set(column)}
        widest = max(widths.values())
        columns.append({text: text + " " * (widest - width) for text, width in widths.items()})
    return ["  ".join([*(padded[text] for padded, text in zip(columns, row, strict=False)), row[-1]]) for row in rows]


def status_lines(store: "Store", plan: "Plan | None" = None, *, keep: bool = False) -> list[Any]:
    """What a store holds, in numbers: of all its cells, or of a plan's with those that wait.

    keep: whether what was made by other code than a plan's counts as done.
    """
    from bench.plan.stale import Stale, stale
    from bench.store import locks
    from bench.store.store import SECTIONS

    damaged: list[Damaged] = []
    records = {record.key: record for record in store.records(damaged.append)}
    states: dict[str, str] = {key: record.status for key, record in records.items()}
    states |= {error.key: "damaged" for error in damaged}
    made = {key: record for key, record in records.items() if record.status in ("done", "not-applicable")}
    changed = stale(plan, store, made) if plan else Stale()
    if not keep:
        states |= dict.fromkeys(changed.cells, "to compute again")
    running = set(locks.held(store.root))
    counts = Counter(states.values() if plan is None else (_state(cell, plan, states, running) for cell in plan.cells))
    cells = ", ".join(f"{count} {state.replace('-', ' ')}" for state, count in sorted(counts.items())) or "none"
    stages: list[Stage] = [*plan.victims, *plan.cells, *plan.natural] if plan else []
    titles = {stage.key: stage.title for stage in stages}
    sizes = store.sizes()
    sections = ", ".join(f"{section} {_mebibytes(sizes[section])}" for section in SECTIONS if sizes.get(section))
    return [
        f"store     {escape(str(store.root))}",
        f"cells     {cells}",
        f"victims   {store.count('victims')}",
        f"running   {escape(', '.join(titles.get(key, key[:12]) for key in sorted(running))) or 'none'}",
        f"on disk   {_mebibytes(sum(sizes.values()))} MiB" + (f": {sections}" if sections else ""),
        f"verified  {_last_verified(store)}",
        *(escape(f"changed   {line}") for line in changed.lines(keep=keep)),
        *(f"damaged   {escape(str(error))}; bench run computes it again" for error in damaged),
    ]


def _last_verified(store: "Store") -> str:
    from bench import provenance
    from bench.store import verify

    noted = verify.last(store)
    if noted is None:
        return "never; bench verify reads everything"
    where = "" if noted.host == provenance.host() else " on another machine"
    damaged = f"{noted.damaged} damaged" if noted.damaged else "none damaged"
    return f"{noted.at:%Y-%m-%d %H:%M} UTC{where}: {noted.stages} stages, {_mebibytes(noted.bytes)} MiB, {damaged}"


def verified_lines(found: "Found") -> list[Any]:
    """What ``bench verify`` has read, and what of it is damaged."""
    lines = [escape(f"damaged   {line}") for line in found.damaged]
    read = f"read {found.stages} stages, {found.files} files, {_mebibytes(found.bytes)} MiB"
    return [*lines, f"{read}; {len(found.damaged) or 'none'} damaged"]


def waste_lines(unneeded: "list[Waste]", damaged: list[Damaged]) -> list[Any]:
    """What ``bench gc`` would remove: how many of each sort, and their bytes."""
    lines = [f"damaged   {escape(str(error))}; all victims stay until it is computed again" for error in damaged]
    for why in dict.fromkeys(one.why for one in unneeded):
        sizes = [one.size for one in unneeded if one.why == why]
        lines.append(f"{len(sizes):6}  {_mebibytes(sum(sizes)):>9} MiB  {why}")
    total = f"{len(unneeded):6}  {_mebibytes(sum(one.size for one in unneeded)):>9} MiB  in all"
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


def _state(cell: "CellStage", plan: "Plan", states: dict[str, str], running: set[str]) -> str:
    if cell.key in running:
        return "running"
    if cell.key in states:
        return states[cell.key]
    return "waiting" if plan.unsupported(cell) is None else "not-applicable"


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f}"
