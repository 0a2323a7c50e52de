"""What the figure of DER says, and how large its fields must be. All lengths are in points."""

from dataclasses import dataclass
from math import ceil, isnan

import numpy as np

from bench.reports.blocks import AVERAGE, Block
from bench.reports.figures.letters import folded, width
from bench.reports.figures.style import LEAST, SMALL, TEXT
from bench.reports.format import percent, tally, word
from bench.reports.names.shortened import figure_names
from bench.reports.rows import CellText

LINE, GAP = 1.25, 5  # of the letters' size; before the average
_NARROWEST, _WIDEST, _USUAL = 17.3, 92, 40  # of a field: a bold 98.5 of 6 points; a whole 98.5±0.3 (2/3) with room
_PAD = 5  # of a field's text
_LABEL, _HEAD = 104, 80  # the longest line of a defense's name, and of an attack's
_SHORT = {"failed": "fail", "timeout": "time", "missing": "miss"}
MEANINGS = {"fail": "failed", "time": "timed out", "miss": "not run", "n/a": "not applicable"}


@dataclass(frozen=True)
class Field:
    """One field: its text as the tables have it, and its DER in per cent, NaN where there is none."""

    cell: CellText
    value: float

    @property
    def whole(self) -> str:
        """With the spread over seeds, and how many of them are done."""
        text = self.cell.figures[0] if self.cell.done else self.cell.word
        return text + (f" ({self.cell.tally})" if self.cell.tally else "")

    @property
    def short(self) -> str:
        """The mean alone; four letters of a word."""
        if not self.cell.done:
            return _SHORT.get(self.cell.word, self.cell.word)
        mean = self.cell.figures[0].partition("±")[0]
        return "100" if mean == "100.0" else mean


@dataclass(frozen=True)
class Grid:
    """Groups of defenses under their headings, the best first in each, against attacks, the average last.

    ``heading`` is that of the figure, and ``names`` and ``heads`` are what stands at its rows and columns.
    ``parts`` are the attacks that stand side by side: all, or some of them in each part of the figure, one under
    another. ``label`` and ``field`` are widths, ``size`` is that of the fields' letters. ``whole``: fields have their
    whole texts. ``upright``: attacks' names stand upright for want of room.
    """

    heading: str
    groups: list[tuple[str, list[str]]]
    fields: dict[tuple[str, str], Field]
    names: dict[str, str]
    heads: dict[str, str]
    parts: list[list[str]]
    label: float
    field: float
    size: float
    whole: bool
    upright: bool


def grid(block: Block, wide: float) -> Grid | None:
    """The fields of a block that has some DER, in a figure of this width."""
    fields = {(attack, name): _field(block, attack, name) for attack in block.row_names for name in block.defenses}
    attacks = [attack for attack in block.row_names if any(not isnan(fields[attack, d].value) for d in block.defenses)]
    if not attacks:
        return None
    own = figure_names(block)
    names = {name: folded(own.defense(name), _LABEL, SMALL) for name in block.defenses}
    label = max(width(name, SMALL) for name in names.values()) + 6
    room = (wide - label - GAP) / len(attacks)
    longest = max(width(one.whole, TEXT, bold=True) for one in fields.values()) + _PAD
    parts = [list(part) for part in np.array_split(attacks, ceil(_NARROWEST / room))]
    room = (wide - label - GAP) / max(map(len, parts))
    whole = longest <= room
    heads = {attack: folded(own.attack(block.marked(attack)), _HEAD, SMALL, most=3) for attack in attacks}
    head = max(width(text, SMALL) for text in heads.values()) + _PAD
    field = min(room, _WIDEST, max(longest, head, _USUAL))
    size = TEXT if whole else min(TEXT, LEAST * field / _NARROWEST)
    groups = [(group.heading, _sorted(group.defenses, attacks, fields)) for group in block.groups]
    return Grid(own.heading, groups, fields, names, heads, parts, label, field, size, whole, head > field)


def _field(block: Block, attack: str, name: str) -> Field:
    """Of DER, also where the block's table does not show it."""
    cell = block.cell(attack, name)
    if cell.status != "done":
        text = CellText(name, [word(cell)], done=False, best=False, tally="")
    else:
        best = name in block.marks(attack).best
        text = CellText(name, [percent(cell.stat("der"))], done=True, best=best, tally=tally(cell))
    return Field(text, 100 * cell.stat("der").mean)


def _sorted(defenses: list[str], attacks: list[str], fields: dict[tuple[str, str], Field]) -> list[str]:
    """By their average DER, the highest first; then those of which a part is missing, and those without any last."""

    def place(name: str) -> tuple[int, bool, float]:
        own = [fields[attack, name] for attack in ([AVERAGE] if AVERAGE in attacks else attacks)]
        present = [field.value for field in own if not isnan(field.value)]
        return -len(present), any(field.cell.tally for field in own), -sum(present) / max(len(present), 1)

    return sorted(defenses, key=place)
