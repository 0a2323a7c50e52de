"""The overview: what each defense costs and what it leaves, averaged over attacks, one mark a defense."""

from collections.abc import Iterable
from math import isnan

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.reports.blocks import AVERAGE, Block
from bench.reports.figures.letters import folded
from bench.reports.figures.marks import Look, arrow, key, lines, marks, ruled
from bench.reports.figures.means import Mean, front, mean
from bench.reports.figures.placing import Label, place
from bench.reports.figures.sheet import sheet
from bench.reports.figures.spans import Span, span
from bench.reports.figures.style import LEAST, SOFT, looks
from bench.reports.format import NO_DEFENSE
from bench.reports.knowledge import Group

_LEAST_FALL, _LEAST_ASR = 2.0, 10.0  # per cent: what an axis spans at least
_FEW, _LOW, _HIGH = 6, 200, 290  # points: how high the panel is with few defenses and with more
_LABEL = 110  # points: how wide a label is at most
_FRONT = "Pareto front of those that were given the same"


def overview(block: Block) -> Figure | None:
    """Mean fall of ACC against mean ASR after the defense, over the attacks that count in the block's averages.

    In each group of equal knowledge the defenses that no other of it beats in both are joined. Oracles are hollow. Bars
    are what the legend says. None where there are no means. Defenses that only flag change neither and have no mark.
    """
    means = {name: own for name in block.defenses if name not in block.detectors and (own := mean(block, name))}
    before = _asr_before(block)
    if not means or isnan(before):
        return None
    drawn = [(group, [means[name] for name in group.defenses if name in means]) for group in block.groups]
    drawn = [(group, of_group) for group, of_group in drawn if of_group]
    own_looks = list(looks([f"{number}" for number in range(len(drawn))]).values())
    high, keys = _HIGH if len(means) > _FEW else _LOW, _keys(drawn, own_looks)
    made = sheet(block.title, [""], 1, high, keys=keys, left=24, right=10, below=26)
    [axes] = made.panels
    across = span([before, *(one.asr for one in means.values())], least=_LEAST_ASR)
    across = Span(min(across.low, -0.03 * across.high), across.high)
    up = span([0.0, *(one.fall for one in means.values())], least=_LEAST_FALL)
    axes.set(xlim=(across.low, across.high), ylim=(up.low, up.high))
    made.under(0, "mean ASR after the defense (%), lower is better")
    made.beside(0, "mean fall of ACC (points), lower is better")
    ruled(axes)
    axes.axhline(0, color=SOFT, lw=0.6, zorder=1)
    marks(axes, [(across.held(before), up.held(0.0))], [("black", "*")], size=9, z=2.5)
    labels = [_label(axes, NO_DEFENSE, (before, 0.0), "black", across, up)]
    for (group, of_group), look in zip(drawn, own_looks, strict=True):
        labels += _draw(axes, of_group, group, look, across, up)
    place(axes, labels, [label.point for label in labels], far=True)
    return made.figure


def _asr_before(block: Block) -> float:
    """The undefended network's ASR in per cent, as the average row has it, or the only attack's."""
    cells = [block.before[AVERAGE]] if AVERAGE in block.before else block.before.values()
    return next((100 * cell.stat("asr").mean for cell in cells if not isnan(cell.stat("asr").mean)), float("nan"))


def _draw(axes: Axes, means: list[Mean], group: Group, look: Look, across: Span, up: Span) -> list[Label]:
    """The marks, bars and front of a group; the labels that are still to be written."""
    colour = look[0]
    points = [(across.held(one.asr), up.held(one.fall)) for one in means]
    marks(axes, points, [look] * len(points), hollow=group.oracles, size=6)
    bars = [bar for one in means if one.kind for bar in _bars(one, across, up)]
    lines(axes, bars, f"{colour}66", thick=0.8)  # pale: they cross each other
    if _has_front(group, means):
        steps = [(across.held(one.asr), up.held(one.fall)) for one in front(means)]
        corners = [(x, y) for (x, _), (_, y) in zip(steps[1:], steps, strict=False)]
        joined = [point for pair in zip(steps, [*corners, steps[-1]], strict=True) for point in pair]
        lines(axes, [[(steps[0][0], up.high), *joined, (across.high, steps[-1][1])]], colour, thick=0.7, z=1.8)
    texts = [folded(one.name, _LABEL, LEAST, most=3) + f" ({one.missing})" * bool(one.missing) for one in means]
    return [_label(axes, text, one.point, colour, across, up) for text, one in zip(texts, means, strict=True)]


def _label(axes: Axes, text: str, at: tuple[float, float], colour: str, across: Span, up: Span) -> Label:
    """The label of a mark, with both figures where it lies beyond an axis, and an arrow there."""
    right, above = across.beyond(at[0]), up.beyond(at[1])
    held = across.held(at[0]), up.held(at[1])
    if right or above:
        text += f"\nASR {at[0]:.1f}, fall {at[1]:.1f}"
        arrow(axes, held, (0, above) if above else (right, 0), colour)
    return Label(held, text)


def _has_front(group: Group, means: list[Mean]) -> bool:
    """Whether there are two that can be compared."""
    return group.ranked and sum(not one.missing for one in means) > 1


def _bars(one: Mean, across: Span, up: Span) -> Iterable[list[tuple[float, float]]]:
    """The bars of a mark as far as the axes reach."""
    x, y = across.held(one.asr), up.held(one.fall)
    if not across.beyond(one.asr):
        yield [(across.held(end), y) for end in one.asr_bar]
    if not up.beyond(one.fall):
        yield [(x, up.held(end)) for end in one.fall_bar]


def _keys(drawn: list[tuple[Group, list[Mean]]], own_looks: list[Look]) -> list[Artist]:
    keys = [
        key(group.heading + " (oracles)" * group.oracles, *look, hollow=group.oracles)
        for (group, _), look in zip(drawn, own_looks, strict=True)
    ]
    if any(_has_front(group, own) for group, own in drawn):
        keys.append(key(_FRONT, SOFT, line="-"))
    kinds = dict.fromkeys(one.kind for _, own in drawn for one in own if one.kind)
    return [*keys, *(key(f"bars: {kind}", "#999999", line="-") for kind in kinds)]
