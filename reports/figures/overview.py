"""The overview: what each defense costs and what it leaves, averaged over attacks, one mark a defense."""

from math import isnan

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.reports.blocks import Block
from bench.reports.figures.letters import folded
from bench.reports.figures.marks import Look, Point, arrow, key, lines, marks, ruled
from bench.reports.figures.means import Mean, front, mean, undefended
from bench.reports.figures.placing import Label, place
from bench.reports.figures.sheet import sheet
from bench.reports.figures.spans import Span, span
from bench.reports.figures.style import LEAST, SOFT, looks
from bench.reports.format import NO_DEFENSE
from bench.reports.knowledge import Group
from bench.reports.names.shortened import figure_names
from bench.reports.names.titles import DisplayNames

_LEAST_FALL, _LEAST_ASR = 2.0, 10.0  # per cent: what an axis spans at least
_FEW, _LOW, _HIGH = 6, 200, 290  # points: how high the panel is with few defenses and with more
_LABEL = 110  # points: how wide a label is at most
_MOST_BARS = 12  # defenses of which intervals can be drawn without hiding anything
_FRONT = "Pareto front of those that were given the same"
_PARTLY = "small: some victims are missing, such as (2/3): a mean over other victims, so no part of the front"
_BARS = "bars: 95 % intervals of ASR and of ACC after the defense"
_NO_BARS = f"no intervals: more than {_MOST_BARS} defenses; the tables have them"
_UNKNOWN = "no intervals: these records alone tell none of these means"


def overview(block: Block) -> Figure | None:
    """Mean fall of ACC against mean ASR after the defense, over the attacks that count in the block's averages.

    In each group of equal knowledge the defenses that no other of it beats in both are joined. Oracles are hollow, and
    means of which a part is missing are small. Bars are 95 % intervals, left out where they would hide the marks. None
    where there are no means. Defenses that only flag change neither and have no mark.
    """
    names = figure_names(block)
    means = {name: own for name in block.defenses if name not in block.detectors and (own := mean(block, name))}
    before = undefended(block)
    if not means or isnan(before):
        return None
    drawn = [(group, [means[name] for name in group.defenses if name in means]) for group in block.groups]
    drawn = [(group, of_group) for group, of_group in drawn if of_group]
    bars = len(means) <= _MOST_BARS
    own_looks = list(looks([f"{number}" for number in range(len(drawn))]).values())
    high, keys = _HIGH if len(means) > _FEW else _LOW, _keys(drawn, own_looks, bars=bars)
    made = sheet(names.heading, [""], 1, high, keys=keys, left=24, right=10, below=26)
    [axes] = made.panels
    across, up = _spans(list(means.values()), before, bars=bars)
    axes.set(xlim=(across.low, across.high), ylim=(up.low, up.high))
    made.under(0, "mean ASR after the defense (%), lower is better")
    made.beside(0, "mean fall of ACC (points), lower is better")
    ruled(axes)
    axes.axhline(0, color=SOFT, lw=0.6, zorder=1)
    # drawn over a defense that changes nothing
    marks(axes, [(across.held(before), up.held(0.0))], [("black", "*")], size=9, z=4)
    labels = [_label(axes, NO_DEFENSE, (before, 0.0), "black", across, up)]
    fronts = [_front_line(of_group, group, across, up) for group, of_group in drawn]
    for (group, of_group), look, line in zip(drawn, own_looks, fronts, strict=True):
        lines(axes, [line] if line else [], look[0], thick=0.7, z=1.8)
        labels += _draw(axes, of_group, group, look, names, across, up)
        if bars:
            _intervals(axes, of_group, look[0], across, up)
    avoided = [[(across.low, 0.0), (across.high, 0.0)], *filter(None, fronts)]
    place(axes, labels, [label.point for label in labels], lines=avoided, far=True)
    return made.figure


def _spans(means: list[Mean], before: float, *, bars: bool) -> tuple[Span, Span]:
    """The axes of ASR and of the fall of ACC: to all means and to the ends of their bars, but for those far away."""
    ends = [(one.asr_bar, one.fall_bar) for one in means if bars and one.asr_bar and one.fall_bar]
    across = span([before, *(one.asr for one in means), *(end for asr, _ in ends for end in asr)], least=_LEAST_ASR)
    up = span([0.0, *(one.fall for one in means), *(end for _, fall in ends for end in fall)], least=_LEAST_FALL)
    return Span(min(across.low, -0.03 * across.high), across.high), up


def _draw(
    axes: Axes, means: list[Mean], group: Group, look: Look, names: DisplayNames, across: Span, up: Span
) -> list[Label]:
    """The marks of a group; the labels that are still to be written."""
    colour = look[0]
    for partly, size in ((False, 6), (True, 4)):
        own = [one for one in means if bool(one.missing) == partly]
        points = [(across.held(one.asr), up.held(one.fall)) for one in own]
        marks(axes, points, [look] * len(points), hollow=group.oracles, size=size)
    texts = [
        folded(names.defense(one.name), _LABEL, LEAST, most=3) + f" ({one.missing})" * bool(one.missing)
        for one in means
    ]
    return [_label(axes, text, one.point, colour, across, up) for text, one in zip(texts, means, strict=True)]


def _front_line(means: list[Mean], group: Group, across: Span, up: Span) -> list[Point]:
    """The line of steps along the axes that joins those that no other beats in both, by its points; [] for none."""
    if not _has_front(group, means):
        return []
    steps = [(across.held(one.asr), up.held(one.fall)) for one in front(means)]
    corners = [(x, y) for (x, _), (_, y) in zip(steps[1:], steps, strict=False)]
    joined = [point for pair in zip(steps, [*corners, steps[-1]], strict=True) for point in pair]
    return [(steps[0][0], up.high), *joined, (across.high, steps[-1][1])]


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


def _intervals(axes: Axes, means: list[Mean], colour: str, across: Span, up: Span) -> None:
    """The intervals of marks, pale, for they cross each other; an arrow where one goes on beyond an axis."""
    pale = f"{colour}66"
    for one in means:
        x, y = across.held(one.asr), up.held(one.fall)
        if one.asr_bar and not across.beyond(one.asr):
            lines(axes, [[(across.held(end), y) for end in one.asr_bar]], pale, thick=0.8)
            for end in filter(across.beyond, one.asr_bar):
                arrow(axes, (across.held(end), y), (across.beyond(end), 0), pale)
        if one.fall_bar and not up.beyond(one.fall):
            lines(axes, [[(x, up.held(end)) for end in one.fall_bar]], pale, thick=0.8)
            for end in filter(up.beyond, one.fall_bar):
                arrow(axes, (x, up.held(end)), (0, up.beyond(end)), pale)


def _keys(drawn: list[tuple[Group, list[Mean]]], own_looks: list[Look], *, bars: bool) -> list[Artist]:
    keys = [
        key(group.heading + " (oracles)" * group.oracles, *look, hollow=group.oracles)
        for (group, _), look in zip(drawn, own_looks, strict=True)
    ]
    means = [one for _, own in drawn for one in own]
    if any(_has_front(group, own) for group, own in drawn):
        keys.append(key(_FRONT, SOFT, line="-"))
    if any(one.missing for one in means):
        keys.append(key(_PARTLY, SOFT, "o", size=3.5))
    if not any(one.asr_bar for one in means):
        return [*keys, key(_UNKNOWN, SOFT)]
    return [*keys, key(_BARS, "#999999", line="-") if bars else key(_NO_BARS, SOFT)]
