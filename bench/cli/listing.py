"""What ``bench list``, ``show``, ``plan`` and ``status`` print: renderables for rich; of a plan plain lines."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.markup import escape
from rich.table import Table

from bench.errors import Damaged, RequestError
from bench.plan.registry import KINDS, Registry
from bench.plugin.parameters import bound

if TYPE_CHECKING:
    from bench.plan.plan import Plan
    from bench.plan.stages import CellStage, Stage
    from bench.plugin.base import Plugin
    from bench.store.merge import Merged
    from bench.store.store import Store
    from bench.store.waste import Waste


def plugin_lines(registry: Registry, kinds: list[str]) -> list[Any]:
    """A table a kind: name, what it is, where it comes from; broken ones say so."""
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
    wanted, _, plain = name.rpartition(":")
    kinds = [kind for kind in KINDS if wanted in ("", kind)]
    found = [kind for kind in kinds if any(entry.name == plain for entry in registry.entries(kind))]
    if found:
        lines: list[Any] = []
        for kind in found:
            lines += _plugin(kind, registry.load(kind, plain))
        return lines
    if len(name) >= 4 and all(sign in "0123456789abcdef" for sign in name):
        return _result(name, root)
    registry.entry("defense" if wanted not in KINDS else wanted, plain)  # says what is near
    raise RequestError(f"show {name}: expected a plugin's name, or the beginning of a result's key")


def _plugin(kind: str, plugin: "type[Plugin]") -> list[Any]:
    import inspect
    import sys

    from bench.plugin.parameters import spelled

    table = Table(box=None, pad_edge=False)
    for column in ("parameter", "default", "", "what"):
        table.add_column(column, header_style="dim", no_wrap=column != "what")
    properties = plugin.model_json_schema()["properties"]
    for parameter, field in plugin.model_fields.items():
        table.add_row(
            parameter,
            escape(spelled(field.default)),
            escape(bound(properties[parameter])),
            escape(field.description or ""),
        )
    text = inspect.cleandoc(plugin.__doc__ if "__doc__" in vars(plugin) and plugin.__doc__ else "")
    module = inspect.cleandoc(sys.modules[plugin.__module__].__doc__ or "")
    lines: list[Any] = [f"[bold]{kind} {plugin.name}[/bold]  version {plugin.version}  {escape(plugin.source)}", ""]
    lines += [escape(part) + "\n" for part in (module, text) if part]
    if plugin.model_fields:
        lines.append(table)
    return [*lines, ""]


def _result(prefix: str, root: Path) -> list[Any]:
    from bench.store.store import Store

    store = Store(root, create=False)
    keys = {key for section in ("cells", "failures") for key in store.keys(section) if key.startswith(prefix)}
    matching = [record for key in keys if (record := store.record(key) or store.failure(key))]
    if len(matching) != 1:
        raise RequestError(f"show {prefix}: expected the beginning of one result's key; {len(matching)} begin so")
    table = Table(box=None, show_header=False, pad_edge=False)
    for field, value in matching[0].model_dump().items():
        shown = f"{value:.4f}" if isinstance(value, float) else str(value)
        if field == "diagnostics":
            shown = json.dumps(json.loads(value), indent=1) if len(value) < 4000 else f"{value[:4000]}…"
        table.add_row(field, escape(shown))
    if matching[0].status not in ("failed", "timeout"):
        return [table]
    return [table, escape(store.read("failures", matching[0].key, "traceback.txt").decode())]


def plan_lines(plan: "Plan", store: "Store | None") -> list[str]:
    """A line a cell with its key and state, and the sums. Plain text: a rich table of 10,000 lines takes 6 s."""
    states: Counter[str] = Counter()
    rows = [("attack", "defense", "seed", "given", "key", "state")]
    for cell in plan.cells:
        try:
            record = store.record(cell.key) if store else None
        except Damaged:
            record = None
        state: str = record.status if record else "to do"
        reason = None if record else plan.unsupported(cell)
        if reason:
            state = f"not-applicable: {reason}"
        states[state.partition(":")[0]] += 1
        victim = cell.victim
        rows.append((victim.attack.label, cell.defense.label, str(victim.seed), cell.knowledge, cell.key[:12], state))
    victims = plan.victims
    missing = [victim for victim in victims if store is None or not store.has("victims", victim.key)]
    names = {(victim.dataset.label, victim.model.label) for victim in victims}
    return [
        *(f"{dataset} × {model}" for dataset, model in sorted(names)),
        *_aligned(rows),
        f"{len(plan.cells)} cells ({', '.join(f'{count} {state}' for state, count in states.items())}); "
        f"{len(missing)} of {len(victims)} victims to train",
    ]


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The rows as lines, their columns as wide as their widest text, the last one as it comes."""
    columns = []
    for column in list(zip(*rows, strict=True))[:-1]:
        widths = {text: cell_len(text) for text in set(column)}
        widest = max(widths.values())
        columns.append({text: text + " " * (widest - width) for text, width in widths.items()})
    return ["  ".join([*(padded[text] for padded, text in zip(columns, row, strict=False)), row[-1]]) for row in rows]


def status_lines(store: "Store", plan: "Plan | None" = None) -> list[Any]:
    """What a store holds, in numbers: of all cells in it, or of a plan's, with those that wait."""
    from bench.store import locks
    from bench.store.store import SECTIONS

    damaged: list[Damaged] = []
    known: dict[str, str] = {record.key: record.status for record in store.records(damaged.append)}
    known |= {error.key: "damaged" for error in damaged}
    running = set(locks.held(store.root))
    states = Counter(known.values() if plan is None else (_state(cell, plan, known, running) for cell in plan.cells))
    cells = ", ".join(f"{count} {state.replace('-', ' ')}" for state, count in sorted(states.items())) or "none"
    stages: list[Stage] = [*plan.victims, *plan.cells] if plan else []
    titles = {stage.key: stage.title for stage in stages}
    sizes = store.sizes()
    sections = ", ".join(f"{section} {_mebibytes(sizes[section])}" for section in SECTIONS if sizes.get(section))
    return [
        f"store     {escape(str(store.root))}",
        f"cells     {cells}",
        f"victims   {store.count('victims')}",
        f"running   {escape(', '.join(titles.get(key, key[:12]) for key in sorted(running))) or 'none'}",
        f"on disk   {_mebibytes(sum(sizes.values()))} MiB" + (f": {sections}" if sections else ""),
        *(f"damaged   {escape(str(error))}; bench run makes it again" for error in damaged),
    ]


def waste_lines(found: "list[Waste]", damaged: list[Damaged]) -> list[Any]:
    """What ``bench gc`` would remove: how many of each sort, and their bytes."""
    lines = [f"damaged   {escape(str(error))}; while it is, all victims stay" for error in damaged]
    for why in dict.fromkeys(one.why for one in found):
        sizes = [one.size for one in found if one.why == why]
        lines.append(f"{len(sizes):6}  {_mebibytes(sum(sizes)):>9} MiB  {why}")
    total = f"{len(found):6}  {_mebibytes(sum(one.size for one in found)):>9} MiB  in all"
    return [*lines, total if found else "nothing that no record needs"]


def merged_lines(made: "Merged") -> list[Any]:
    """What ``bench merge`` did with one store."""
    copied = ", ".join(f"{count} {section}" for section, count in made.copied.items()) or "nothing"
    again = f"; {made.repeated} stages are in both with the same results" if made.repeated else ""
    lines = [f"copied {copied}{again}", *(f"conflict: {line}" for line in made.conflicts)]
    return [escape(line) for line in [*lines, *(f"damaged: {line}" for line in made.damaged)]]


def _state(cell: "CellStage", plan: "Plan", known: dict[str, str], running: set[str]) -> str:
    if cell.key in running:
        return "running"
    if cell.key in known:
        return known[cell.key]
    return "waiting" if plan.unsupported(cell) is None else "not-applicable"


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f}"
