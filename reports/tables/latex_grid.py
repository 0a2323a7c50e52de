"""Tables of known width: columns that do not fit beside each other go into further parts, never into a smaller font."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import NamedTuple

from bench.reports.tables.latex_text import Ink, heading, ink, measured, paragraph

GAP = 5.0  # points between two columns: twice \tabcolsep
SPACING = r"\setlength{\tabcolsep}{2.5pt}"
_NARROWEST = 48.0  # points of a column of texts whose lines are broken
_STUBS = (0.4, 0.3, 0.25, 0.2)  # shares of the width that the columns before the groups may take


@dataclass(frozen=True)
class Group:
    """Columns that belong together, with a head each. ``above``: what stands over all of them, the topmost first.

    ``texts``: a single column of texts, whose lines may be broken; else of figures.
    """

    heads: list[str]
    above: list[str] = field(default_factory=list)
    texts: bool = False


@dataclass(frozen=True)
class Line:
    """A row: the texts of its ``stubs``, and for each group the figures of its columns, or one word in their place.

    A column of texts has a text. ``rule``: whether a rule stands above. ``banner``: a text over the whole width, in
    the place of everything else.
    """

    stubs: list[str]
    cells: list[list[Ink] | str]
    rule: bool = False
    banner: str = ""


@dataclass(frozen=True)
class Grid:
    """A table: the columns that every part of it repeats, under ``stubs``, and ``groups`` of others."""

    stubs: list[str]
    groups: list[Group]
    lines: list[Line]


@dataclass(frozen=True)
class Part:
    """What fits beside each other: LaTeX of the column specification, of the heads and of the ``rows``.

    ``lines`` is the height of all of it, in lines of text, and ``width`` its width in points, at most.
    """

    columns: str
    heads: list[str]
    rows: list[str]
    lines: int
    width: float

    @property
    def tabular(self) -> str:
        """The part as one tabular."""
        body = "\n".join([r"\toprule", *self.heads, r"\midrule", *self.rows, r"\bottomrule"])
        return f"\\begin{{tabular}}{{{self.columns}}}\n{body}\n\\end{{tabular}}"


def parts(grid: Grid, width: float) -> list[Part]:
    """The parts of a table, each at most ``width`` points wide: as few as possible, of about as many groups each."""
    grid = _halved(grid, width * (1 - _STUBS[0]) - GAP)
    stubs, texts = _stub_widths(grid), _text_widths(grid)
    figures = [None if group.texts else _figure_widths(grid, index) for index, group in enumerate(grid.groups)]
    fixed = sum(_total(own) for own in figures if own) + GAP * (len(stubs) + len(grid.groups) - 1)
    cap = _cap([*stubs, *texts.values()], width - fixed)
    if cap is not None:  # all of it fits, with broken lines
        best = _laid_out(stubs, texts, figures, (cap, cap), width)
    else:  # the widest stubs with which there are fewest parts
        caps = [_cap(stubs, width * share) or _NARROWEST for share in _STUBS]
        layouts = [_laid_out(stubs, texts, figures, (cap, width), width) for cap in caps]
        best = min(layouts, key=lambda layout: len(layout.parts))
    return [_part(grid, best, chosen) for chosen in best.parts]


class _Layout(NamedTuple):
    """The widths of the stubs and of each group's columns; the groups of each part, by their places."""

    stubs: list[float]
    widths: list[list[float]]
    parts: list[list[int]]


def _laid_out(
    stubs: list[float],
    texts: dict[int, float],
    figures: list[list[float] | None],
    caps: tuple[float, float],
    width: float,
) -> _Layout:
    """``caps``: how wide a stub and a column of texts may be."""
    stubs = [min(one, caps[0]) for one in stubs]
    room = width - sum(stubs) - GAP * len(stubs)
    widths = [own or [min(texts[index], caps[1], room)] for index, own in enumerate(figures)]
    return _Layout(stubs, widths, _shared([_total(own) for own in widths], room))


def _part(grid: Grid, layout: _Layout, chosen: list[int]) -> Part:
    stubs, widths = layout.stubs, [layout.widths[index] for index in chosen]
    groups = [grid.groups[index] for index in chosen]
    heads, lines = _heads(grid.stubs, groups, stubs, widths)
    total = sum(stubs) + sum(map(_total, widths)) + GAP * (len(stubs) + len(groups) - 1)
    rows = []
    for line in grid.lines:
        if line.banner:
            own, height = _banner(line, len(stubs) + sum(len(group.heads) for group in groups), total)
        else:
            own, height = _row(
                line, [(line.cells[index], grid.groups[index], layout.widths[index]) for index in chosen], stubs
            )
        rows += own
        lines += height
    spec = "l" * len(stubs) + "".join("l" if group.texts else "r" * len(group.heads) for group in groups)
    return Part(f"@{{}}{spec}@{{}}", heads, rows, lines, total)


def _banner(line: Line, columns: int, width: float) -> tuple[list[str], int]:
    """The LaTeX of a row that is one text, and how many lines high it is."""
    text = paragraph(line.banner, width)
    rule = [r"\midrule"] if line.rule else []
    return [*rule, rf"\multicolumn{{{columns}}}{{@{{}}l@{{}}}}{{\itshape {text.tex}}} \\"], text.lines + len(rule)


def _row(
    line: Line, cells: list[tuple[list[Ink] | str, Group, list[float]]], stubs: list[float]
) -> tuple[list[str], int]:
    """The LaTeX of a row, and how many lines high it is."""
    rule = [r"\midrule"] if line.rule else []
    made = [paragraph(text, width) for text, width in zip(line.stubs, stubs, strict=True)]
    for cell, group, widths in cells:
        if isinstance(cell, list):
            made += cell
        elif group.texts:
            made.append(paragraph(cell, widths[0]))
        else:
            made.append(_spanning(len(group.heads), ink(cell)))
    return [*rule, " & ".join(cell.tex for cell in made) + r" \\"], max(cell.lines for cell in made) + len(rule)


def _heads(
    stub_heads: list[str], groups: list[Group], stubs: list[float], widths: list[list[float]]
) -> tuple[list[str], int]:
    """The lines of headings over some groups, and how many lines of text they take."""
    made, height = [], 0
    for level in range(max((len(group.above) for group in groups), default=0)):
        spans = [(group.above[level], len(group.heads), _total(own)) for group, own in zip(groups, widths, strict=True)]
        joined = [(text, list(run)) for text, run in groupby(spans, key=lambda span: span[0])]
        rules, cells, column = [], [Ink("", 0)] * len(stubs), len(stubs) + 1
        for text, run in joined:
            count = sum(one[1] for one in run)
            cells.append(_spanning(count, heading(text, sum(one[2] for one in run) + GAP * (len(run) - 1))))
            if text:
                rules.append(rf"\cmidrule(lr){{{column}-{column + count - 1}}}")
            column += count
        made += [" & ".join(cell.tex for cell in cells) + r" \\", *([" ".join(rules)] if rules else [])]
        height += max(cell.lines for cell in cells)
    names = [heading(text, width) for text, width in zip(stub_heads, stubs, strict=True)]
    for group, own in zip(groups, widths, strict=True):
        names += [heading(text, width) for text, width in zip(group.heads, own, strict=True)]
    return [*made, " & ".join(name.tex for name in names) + r" \\"], height + max(name.lines for name in names)


def _spanning(count: int, text: Ink) -> Ink:
    return text._replace(tex=rf"\multicolumn{{{count}}}{{c}}{{{text.tex}}}")


def _halved(grid: Grid, room: float) -> Grid:
    """The grid with groups of figures that are wider than ``room`` cut into two, and these again."""
    for index, group in enumerate(grid.groups):
        if not group.texts and len(group.heads) > 1 and _total(_figure_widths(grid, index)) > room:
            half = (len(group.heads) + 1) // 2
            pair = [replace(group, heads=group.heads[:half]), replace(group, heads=group.heads[half:])]
            groups = [*grid.groups[:index], *pair, *grid.groups[index + 1 :]]
            lines = [_cut(line, index, half) for line in grid.lines]
            return _halved(Grid(grid.stubs, groups, lines), room)
    return grid


def _cut(line: Line, index: int, half: int) -> Line:
    if line.banner:
        return line
    cell = line.cells[index]
    pair = [cell[:half], cell[half:]] if isinstance(cell, list) else [cell, cell]
    return replace(line, cells=[*line.cells[:index], *pair, *line.cells[index + 1 :]])


def _stub_widths(grid: Grid) -> list[float]:
    rows = [line.stubs for line in grid.lines if not line.banner]
    return [max(map(measured, column)) for column in zip(grid.stubs, *rows, strict=True)]


def _text_widths(grid: Grid) -> dict[int, float]:
    """The widths of the columns of texts, by group."""
    return {
        index: max([_head_width(group.heads[0]), *(measured(str(line.cells[index])) for line in _own(grid))])
        for index, group in enumerate(grid.groups)
        if group.texts
    }


def _figure_widths(grid: Grid, index: int) -> list[float]:
    """The widths of a group's columns of figures, with room for the words of their heads and for what stands above."""
    group = grid.groups[index]
    widths = list(map(_head_width, group.heads))
    words = 0.0
    for line in _own(grid):
        cell = line.cells[index]
        if isinstance(cell, str):
            words = max(words, measured(cell))
        else:
            widths = [max(pair) for pair in zip(widths, (one.width for one in cell), strict=True)]
    above = max([words, *(min(measured(text), max(_NARROWEST, _total(widths))) for text in group.above)])
    widths[-1] += max(0.0, above - _total(widths))  # as LaTeX does it
    return widths


def _own(grid: Grid) -> Iterable[Line]:
    return (line for line in grid.lines if not line.banner)


def _head_width(text: str) -> float:
    return min(_NARROWEST, max(map(measured, text.split()), default=0.0))


def _total(widths: Sequence[float]) -> float:
    return sum(widths) + GAP * (len(widths) - 1)


def _cap(widths: Sequence[float], room: float) -> float | None:
    """The largest width of a column with which columns of ``widths`` fit into ``room``; None if there is none."""
    widest = max(widths, default=0.0)
    if sum(widths) <= room:
        return widest
    low, high = 0.0, widest
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(min(one, middle) for one in widths) <= room else (low, middle)
    return low if low >= min(_NARROWEST, widest) else None


def _shared(widths: list[float], room: float) -> list[list[int]]:
    """The columns of ``widths``, by their place, in as few runs as fit into ``room``, of about as many each."""
    if not widths:
        return [[]]
    runs = _packed(widths, room, len(widths))
    even = _packed(widths, room, -(-len(widths) // len(runs)))
    return even if len(even) == len(runs) else runs


def _packed(widths: list[float], room: float, most: int) -> list[list[int]]:
    runs: list[list[int]] = [[]]
    used = 0.0
    for index, width in enumerate(widths):
        if runs[-1] and (used + GAP + width > room or len(runs[-1]) == most):
            runs.append([])
        used = width if not runs[-1] else used + GAP + width
        runs[-1].append(index)
    return runs
