"""The tables of the site's pages, as rows of fields, each of which can lead to another page."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isnan

from bench.reports.blocks import AVERAGE, Block, Cell
from bench.reports.format import NO_DEFENSE, UNDEFINED, percent, tally, word
from bench.reports.records import BEFORE, HEADS
from bench.reports.site import addresses
from bench.reports.site.contents import Contents, Shown

SHOWN = ("acc", "asr", "ra", "der")  # the metrics that a page of a defense or an attack has columns of


@dataclass(frozen=True)
class Entry:
    """A field of a table. ``page`` is where it leads to, "" for nowhere; ``kind`` a class of its style."""

    text: str
    page: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """Heads, and groups of rows under a heading each, which may be ""; the first field of a row names it."""

    title: str
    heads: list[Entry]
    groups: list[tuple[str, list[list[Entry]]]] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not any(rows for _, rows in self.groups)


def matrix(shown: Shown, metric: str) -> Table:
    """Defenses by attacks, one metric.

    Within a group of equal knowledge those with the best DER of the last column, the average, come first. A column has
    a value or a word in at least one row. The undefended network stands above all where it has the metric.
    """
    block = shown.block
    columns = [
        name for name in block.row_names if any(_has(block.cell(name, one), metric) for one in _rows_of(block, metric))
    ]
    heads = [Entry("defense"), *(_attack_head(shown, name) for name in columns)]
    groups = [("", [_matrix_row(shown, columns, None, metric)])] if metric in BEFORE else []
    for group in block.groups:
        defenses = sorted(group.defenses, key=lambda name: _rank(shown, block.row_names[-1], name))
        groups.append((group.heading, [_matrix_row(shown, columns, name, metric) for name in defenses]))
    return Table(f"{HEADS[metric]}, in %", heads, groups if columns else [])


def of_defense(shown: Shown, name: str) -> Table:
    """Every attack against the defenses of this name; under each heading what it was given."""
    groups = [
        (
            f"{heading} · {group.heading}",
            [_line(shown, attack, heading, _attack_head(shown, attack)) for attack in shown.block.row_names],
        )
        for group in shown.block.groups
        for heading in group.defenses
        if shown.defense_names.get(heading) == name
    ]
    return Table(shown.title, [Entry("attack"), *_heads(), Entry("seeds", kind="n"), Entry("records")], groups)


def of_attack(shown: Shown, name: str) -> Table:
    """Every defense against the attacks of this name, the undefended network first, then group by group."""
    groups = []
    for attack in [heading for heading in shown.block.attacks if shown.attack_names.get(heading) == name]:
        groups.append((shown.block.marked(attack), [_line(shown, attack, None, _defense_head(shown, None))]))
        for group in shown.block.groups:
            defenses = sorted(group.defenses, key=lambda one: _rank(shown, attack, one))
            groups.append((group.heading, [_line(shown, attack, one, _defense_head(shown, one)) for one in defenses]))
    return Table(shown.title, [Entry("defense"), *_heads(), Entry("seeds", kind="n"), Entry("records")], groups)


def settings(contents: Contents) -> Table:
    """A line for each data set and architecture: what has been compared there."""
    rows = []
    for together in contents.settings:
        first = together[0]
        counts = [_count(together, kind) for kind in ("attack_names", "defense_names")]
        seeds = len({seed for one in together for seed in one.block.seeds})
        rows.append(
            [Entry(first.dataset, first.page), Entry(first.model), *map(_number, [len(together), *counts, seeds])]
        )
    heads = ["data set", "architecture", "tables", "attacks", "defenses", "seeds"]
    return Table("", [Entry(head, kind="n" if place > 1 else "") for place, head in enumerate(heads)], [("", rows)])


def plugins(contents: Contents, names: list[str], attribute: str, address: Callable[[str], str]) -> Table:
    """A line for each defense or attack: on how many data sets and architectures it was tried, how many records."""
    rows = []
    for name in names:
        own = [one for one in contents.shown if name in getattr(one, attribute).values()]
        column = "defense" if attribute == "defense_names" else "attack"
        cells = sum(int((one.block.records[column] == name).sum()) for one in own)
        rows.append([Entry(name, address(name)), _number(len({one.page for one in own})), _number(cells)])
    heads = [Entry("name"), Entry("data sets and architectures", kind="n"), Entry("records", kind="n")]
    return Table("", heads, [("", rows)])


def _rows_of(block: Block, metric: str) -> list[str | None]:
    return [*([None] if metric in BEFORE else []), *block.defenses]


def _has(cell: Cell, metric: str) -> bool:
    return cell.status in ("failed", "timeout") or not isnan(cell.stat(metric).mean)


def _matrix_row(shown: Shown, columns: list[str], defense: str | None, metric: str) -> list[Entry]:
    return [_defense_head(shown, defense), *(_value(shown, name, defense, metric) for name in columns)]


def _line(shown: Shown, attack: str, defense: str | None, head: Entry) -> list[Entry]:
    """A row of a plugin's page: its metrics, how many seeds are done, and the way to its records."""
    cell = shown.block.cell(attack, defense)
    page = "" if attack == AVERAGE else shown.cell_page(attack, defense)
    values = [_value(shown, attack, defense, metric, page="") for metric in SHOWN]
    done = Entry(f"{cell.done}/{cell.total}" if attack != AVERAGE else "", kind="n")
    return [head, *values, done, Entry("open" if page else "", page)]


def _value(shown: Shown, attack: str, defense: str | None, metric: str, page: str | None = None) -> Entry:
    cell = shown.block.cell(attack, defense)
    page = ("" if attack == AVERAGE else shown.cell_page(attack, defense)) if page is None else page
    if cell.status != "done":
        return Entry(word(cell), page, "bad" if cell.status in ("failed", "timeout") else "n")
    text = percent(cell.stat(metric))
    if metric == "der" and text != UNDEFINED and tally(cell):
        text += f" ({tally(cell)})"
    best = metric == "der" and defense in shown.block.best(attack)
    return Entry(text, page if text != UNDEFINED else "", "n best" if best else "n")


def _rank(shown: Shown, attack: str, defense: str) -> tuple[bool, bool, float, int]:
    """A key under which the best DER of a row comes first (``Cell.place``); what is alike stays in order."""
    return *shown.block.cells[attack, defense].place("der"), shown.block.defenses.index(defense)


def _attack_head(shown: Shown, attack: str) -> Entry:
    name = shown.attack_names.get(attack, "none")
    page = addresses.of_attack(name) if name != "none" and attack != AVERAGE else ""
    return Entry(attack if attack == AVERAGE else shown.block.marked(attack), page)


def _defense_head(shown: Shown, defense: str | None) -> Entry:
    if defense is None:
        return Entry(NO_DEFENSE)
    name = shown.defense_names.get(defense, "none")
    return Entry(defense, addresses.of_defense(name) if name != "none" else "")


def _heads() -> list[Entry]:
    return [Entry(HEADS[metric], kind="n") for metric in SHOWN]


def _count(together: list[Shown], attribute: str) -> int:
    return len({name for one in together for name in getattr(one, attribute)} - {"none"})


def _number(value: int) -> Entry:
    return Entry(str(value), kind="n")
