"""The figure of DER at a glance: defenses, the best first, against attacks."""

from collections.abc import Sequence
from itertools import pairwise
from math import isnan

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from bench.reports.blocks import AVERAGE, Block
from bench.reports.figures.der_grid import GAP, LINE, MEANINGS, Grid, grid
from bench.reports.figures.letters import folded, width
from bench.reports.figures.style import GRID, HEAD, LEAST, SMALL, SOFT, WIDTH

_NOTHING_GAINED = 50  # DER in per cent of a defense that changes nothing
_BRIGHT = 0.18  # luminance from which on black letters are read more easily than white ones
_EDGE = 4  # points, as all lengths here
_PAD = 5  # of a row, above and below its lines together
_WIDE = WIDTH * 72 - 2 * _EDGE
_SCALE = (110, 6)  # the bar of colours
_TOLD = f"DER (%); {_NOTHING_GAINED}: nothing gained"
_STEPS = 50  # of colours on the bar
_COLOURS = colormaps["cividis"]  # one that grows in lightness alone, the same for every colour vision

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, from the upper left corner of the figure."""


def der_map(block: Block) -> Figure | None:
    """DER in per cent as a map of defenses against attacks, in the groups of what the defenses were given.

    Within a group the highest average stands first. The best of an attack is bold, in a frame. None without any DER.
    """
    made = grid(block, _WIDE)
    if not made:
        return None
    across = max(made.label + made.field * max(map(len, made.parts)) + GAP, _SCALE[0] + width(_TOLD, SMALL) + 30)
    across = min(_WIDE, max(across, *(width(heading, SMALL) for heading, _ in made.groups)))
    title = folded(made.heading, across, HEAD)
    rows = sum(_high(made, name) for _, own in made.groups for name in own) + len(made.groups) * SMALL * 2
    notes = folded(_notes(made), across, LEAST, most=6)
    above = HEAD * LINE * (title.count("\n") + 1) + 6
    foot = 34 + LEAST * LINE * (notes.count("\n") + 1)
    tall = above + len(made.parts) * (_head(made) + rows + 8) + foot + 2 * _EDGE
    wide = across + 2 * _EDGE
    figure = Figure(figsize=(wide / 72, tall / 72))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, wide), ylim=(tall, 0))
    axes.set_axis_off()
    axes.text(wide / 2, _EDGE, title, ha="center", va="top", fontsize=HEAD)
    top = above + _EDGE
    for attacks in made.parts:
        top = _part(axes, made, attacks, top) + 8
    _foot(axes, made, notes, top + 4)
    return figure


def _high(made: Grid, name: str) -> float:
    """The height of a defense's row."""
    return SMALL * LINE * (made.names[name].count("\n") + 1) + _PAD - (2 if len(made.names) > 12 else 0)


def _head(made: Grid) -> float:
    """The height of the attacks' names."""
    if made.upright:
        return max(width(text, SMALL) for text in made.heads.values()) + 4
    return SMALL * LINE * max(text.count("\n") + 1 for text in made.heads.values()) + 4


def _part(axes: Axes, made: Grid, attacks: Sequence[str], top: float) -> float:
    """Draw the fields of some attacks below ``top``; where they end."""
    lefts = {
        attack: _EDGE + made.label + made.field * place + GAP * (attack == AVERAGE and len(attacks) > 1)
        for place, attack in enumerate(attacks)
    }
    top += _head(made)
    for attack, left in lefts.items():
        weight = "bold" if attack == AVERAGE else "normal"
        axes.text(
            left + made.field / 2, top - 2, made.heads[attack], ha="center", va="bottom", fontsize=SMALL,
            weight=weight, linespacing=1.0, rotation=90 if made.upright else 0,
        )  # fmt: skip
    boxes: dict[tuple[str, str], Box] = {}
    for heading, defenses in made.groups:
        axes.text(_EDGE, top + SMALL, folded(heading, _WIDE, SMALL, most=1), va="center", fontsize=SMALL, color=SOFT)
        top += 2 * SMALL
        for name in defenses:
            bottom = top + _high(made, name)
            axes.text(_EDGE, (top + bottom) / 2, made.names[name], va="center", fontsize=SMALL, linespacing=1.0)
            boxes |= {(attack, name): (left, top, left + made.field, bottom) for attack, left in lefts.items()}
            top = bottom
    _fields(axes, made, boxes)
    return top


def _fields(axes: Axes, made: Grid, boxes: dict[tuple[str, str], Box]) -> None:
    """The colours and texts of the fields, frames around the best, and a notch in those of which a part is missing."""
    colours = {key: _colour(made.fields[key].value) for key in boxes}
    axes.add_collection(
        PolyCollection(
            [_corners(box) for box in boxes.values()],
            facecolors=[*colours.values()],
            edgecolors="white",
            lw=0.5,
            clip_on=False,
        )
    )
    best = [key for key in boxes if made.fields[key].cell.best]
    frames = [_corners((x0 + 1, y0 + 1, x1 - 1, y1 - 1)) for x0, y0, x1, y1 in (boxes[key] for key in best)]
    if best:
        inks = [_ink(colours[key]) for key in best]
        axes.add_collection(PolyCollection(frames, facecolors="none", edgecolors=inks, lw=0.9))
    partly = [key for key in boxes if made.fields[key].cell.tally and not made.whole]
    if partly:
        notches = [[(x1 - 4, y0), (x1, y0), (x1, y0 + 4)] for _, y0, x1, _ in (boxes[key] for key in partly)]
        axes.add_collection(PolyCollection(notches, facecolors=[_ink(colours[key]) for key in partly]))
    for key, (x0, y0, x1, y1) in boxes.items():
        field = made.fields[key]
        axes.text(
            (x0 + x1) / 2, (y0 + y1) / 2, field.whole if made.whole else field.short, ha="center", va="center_baseline",
            fontsize=made.size, color=_ink(colours[key]), weight="bold" if field.cell.best else "normal",
        )  # fmt: skip


def _foot(axes: Axes, made: Grid, notes: str, top: float) -> None:
    """The bar of colours and what marks mean."""
    wide, high = _SCALE
    beside = wide + width(_TOLD, SMALL) + 18
    left = max(_EDGE + 8, min(_EDGE + made.label, axes.get_xlim()[1] - beside))
    edges = [left + wide * step / _STEPS for step in range(_STEPS + 1)]
    boxes = [_corners((x0, top, x1, top + high)) for x0, x1 in pairwise(edges)]
    shades = [_COLOURS((step + 0.5) / _STEPS) for step in range(_STEPS)]
    axes.add_collection(PolyCollection(boxes, facecolors=shades, edgecolors=shades, lw=0.2, clip_on=False))
    for value in (_NOTHING_GAINED, 75, 100):
        at = left + wide * (value - _NOTHING_GAINED) / (100 - _NOTHING_GAINED)
        told = f"≤ {value}" if value == _NOTHING_GAINED else str(value)
        axes.text(at, top + high + 1, told, ha="center", va="top", fontsize=LEAST)
    axes.text(left + wide + 8, top + high / 2, _TOLD, va="center", fontsize=SMALL)
    axes.text(_EDGE, top + high + 14, notes, va="top", fontsize=LEAST, linespacing=1.1)


def _notes(made: Grid) -> str:
    """What stands in fields and explains itself to nobody."""
    shown = [made.fields[attack, name] for attacks in made.parts for attack in attacks for name in made.names]
    notes = ["bold, in a frame: best of those that were given the same"] * any(one.cell.best for one in shown)
    if not made.whole:
        texts = {one.short for one in shown}
        notes += [f"{short}: {meaning}" for short, meaning in MEANINGS.items() if short in texts]
        notes += ["notch: some seeds are missing"] * any(one.cell.tally for one in shown)
    return "; ".join([*notes, "grey: no DER"] if any(isnan(one.value) for one in shown) else notes)


def _colour(value: float) -> tuple[float, ...] | str:
    return GRID if isnan(value) else _COLOURS((value - _NOTHING_GAINED) / (100 - _NOTHING_GAINED))


def _ink(colour: tuple[float, ...] | str) -> str:
    """Black or white letters, whichever are read more easily on a colour."""
    if isinstance(colour, str):
        return "black"
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3])
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > _BRIGHT else "white"


def _corners(box: Box) -> list[tuple[float, float]]:
    x0, y0, x1, y1 = box
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
