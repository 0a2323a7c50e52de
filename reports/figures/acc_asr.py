"""The figure of accuracy against attack success."""

from math import isnan

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.reports.blocks import Block, Cell
from bench.reports.figures.letters import folded
from bench.reports.figures.marks import Look, Point, arrow, bare, key, lines, marks, ruled
from bench.reports.figures.placing import Label, place
from bench.reports.figures.sheet import sheet
from bench.reports.figures.spans import Span, span
from bench.reports.figures.style import LEAST, SOFT, looks
from bench.reports.names.shortened import figure_names
from bench.reports.names.titles import DisplayNames

_INVISIBLE = 1e-3  # percentage points; a smaller spread is not drawn
_LEAST_ACC = 2.0  # per cent that the axis spans: a difference of a tenth of a point must not look like a collapse
_MANY = 7  # with more attacks, those that still work are named in the panels, and what would hide them is left out
_WORKS = 20  # ASR in per cent from which on an attack is named
_NAMED = 6  # attacks in one panel
_LABEL = 56  # points: how wide a label is at most
_PATH, _SPREAD = "#bdbdbd", "#8c8c8c"

Changes = dict[str, tuple[Point, Point]]
"""By attack, the points before and after a defense."""


def acc_asr(block: Block) -> Figure | None:
    """ACC against ASR in per cent, a panel for each defense: hollow before it, filled after it, over the same seeds.

    An ACC far below all others is drawn at the end of the axis, with an arrow and its value. None where no attack and
    defense have both values. Defenses that only flag change neither and have no panel.
    """
    changing = [name for name in block.defenses if name not in block.detectors]
    changes = {name: _changes(block, name) for name in changing}
    drawn = [name for name in changing if changes[name]]
    attacks = [attack for attack in block.attacks if any(attack in own for own in changes.values())]
    if not drawn:
        return None
    look = looks(attacks)
    across = {1: 1, 2: 2, 4: 2}.get(len(drawn), 3 if len(drawn) <= 9 else 4 if len(drawn) <= 12 else 5)
    names = figure_names(block)
    keys = [key(names.attack(block.marked(attack)), *own) for attack, own in look.items()]
    many = len(attacks) > _MANY
    hollow = key("before (hollow)", SOFT, "o", hollow=True)
    before = key("before: where grey lines begin", _PATH, line="-") if many else hollow
    keys += [before, key("after (filled)", SOFT, "o")]
    high = {1: 200, 2: 150, 3: 115}.get(across, 95)
    made = sheet(
        names.heading, [*map(names.defense, drawn)], across, high, keys=keys, left=30, right=6, under=11, below=28
    )
    up = span([acc for own in changes.values() for both in own.values() for _, acc in both], least=_LEAST_ACC)
    for place_, (axes, defense) in enumerate(zip(made.panels, drawn, strict=True)):
        axes.set(xlim=(-4, 104), ylim=(up.low, up.high), xticks=[0, 25, 50, 75, 100] if across < 4 else [0, 50, 100])
        axes.locator_params("y", nbins=5)
        ruled(axes)
        bare(axes, x=not made.below(place_), y=not made.first(place_))
        if made.below(place_):
            made.under(place_, "ASR (%)")
        if made.first(place_):
            made.beside(place_, "ACC (%)")
        _panel(axes, block, defense, changes[defense], look, up, names)
    return made.figure


def _point(cell: Cell) -> Point | None:
    """(ASR, ACC) in per cent, or None where one of them is not defined."""
    asr, acc = 100 * cell.stat("asr").mean, 100 * cell.stat("acc").mean
    return None if isnan(asr) or isnan(acc) else (asr, acc)


def _changes(block: Block, defense: str) -> Changes:
    """By attack the points before and after a defense, over the seeds that it has, where both are defined."""
    found = {}
    for attack in block.attacks:
        after = _point(block.cells[attack, defense])
        asr, acc = (100 * block.undefended(attack, defense, metric) for metric in ("asr", "acc"))
        if after and not isnan(asr + acc):
            found[attack] = ((asr, acc), after)
    return found


def _panel(
    axes: Axes, block: Block, defense: str, changes: Changes, look: dict[str, Look], up: Span, names: DisplayNames
) -> None:
    after = {attack: end for attack, (_, end) in changes.items()}
    starts, ends = ([(x, up.held(y)) for x, y in own] for own in zip(*changes.values(), strict=True))
    lines(axes, zip(starts, ends, strict=True), _PATH, thick=0.6)
    own = [look[attack] for attack in after]
    if len(look) <= _MANY:
        lines(axes, [bar for attack in after for bar in _bars(block.cells[attack, defense], up)], _SPREAD, z=2.5)
        marks(axes, starts, own, hollow=True, size=4.2)
    marks(axes, ends, own, size=5, z=3.5)
    beyond = {attack: y for attack, (_, y) in after.items() if up.beyond(y)}
    labels = []
    for attack, y in beyond.items():
        arrow(axes, (after[attack][0], up.held(y)), (0, up.beyond(y)), look[attack][0])
    if beyond:
        low, high = (f"{value:.1f}" for value in (min(beyond.values()), max(beyond.values())))
        told = f"ACC {low}" if low == high else f"ACC {low} to {high}"
        lowest = min(beyond, key=lambda attack: beyond[attack])
        labels.append(Label((after[lowest][0], up.held(beyond[lowest])), told, first=True))
    if len(look) > _MANY:
        working = sorted((a for a in after if after[a][0] > _WORKS), key=lambda attack: -after[attack][0])[:_NAMED]
        labels += [
            Label((after[a][0], up.held(after[a][1])), folded(names.attack(a), _LABEL, LEAST, most=2)) for a in working
        ]
    place(axes, labels, starts + ends, far=False)


def _bars(after: Cell, up: Span) -> list[list[Point]]:
    """One standard deviation of both values, as far as the axis reaches."""
    if not (end := _point(after)):
        return []
    wide, high = (0 if isnan(std) else 100 * std for std in (after.stat("asr").std, after.stat("acc").std))
    if max(wide, high) <= _INVISIBLE or up.beyond(end[1]):
        return []
    x, y = end
    return [[(x - wide, y), (x + wide, y)], [(x, up.held(y - high)), (x, up.held(y + high))]]
