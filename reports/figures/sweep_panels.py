"""What the figure of a sweep shows where: the curves of each panel."""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from bench.reports.records import HEADS
from bench.reports.sweeps import Line, Sweep

SHOWN = ("acc", "asr", "ra")
_MOST = 7  # curves of one panel that can be told apart
_MOST_ATTACKS = 8  # that have a row each


class Form(Enum):
    """One panel an attack, with a curve a metric; one an attack and metric, a curve a line; or one a line."""

    ATTACK = 1
    METRIC = 2
    LINE = 3


@dataclass(frozen=True)
class Curve:
    """A metric of a line over the values, under the label that its look has in the legend."""

    label: str
    line: Line
    metric: str


@dataclass(frozen=True)
class Panel:
    """One pair of axes, ``beside`` whose y axis this stands."""

    title: str
    beside: str
    curves: list[Curve]


def form(sweep: Sweep) -> Form:
    """The form in which no panel is crowded."""
    own = {line.label for lines in sweep.lines.values() for line in lines}
    if len(own) == 1 and max(map(len, sweep.lines.values())) == 1:
        return Form.ATTACK
    return Form.LINE if len(own) > _MOST or len(sweep.lines) > _MOST_ATTACKS else Form.METRIC


def across(sweep: Sweep, panels: int) -> int:
    """How many panels stand side by side."""
    if form(sweep) is Form.METRIC:
        return len(SHOWN)
    return min(panels, 3) if panels <= 9 else 5


def panels(sweep: Sweep) -> list[Panel]:
    """All panels, row by row; one without curves is a gap, as ASR is without an attack."""
    if form(sweep) is Form.ATTACK:
        return [
            Panel(heading, "ACC, ASR, RA (%)", [Curve(HEADS[metric], own[0], metric) for metric in SHOWN])
            for heading, own in sweep.lines.items()
        ]
    if form(sweep) is Form.METRIC:
        return [_of_metric(sweep, heading, metric) for heading in sweep.lines for metric in SHOWN]
    labels = dict.fromkeys(line.label for own in sweep.lines.values() for line in own)
    return [Panel(label, "ACC, ASR, RA (%)", _of_line(sweep, label)) for label in labels]


def _of_metric(sweep: Sweep, heading: str, metric: str) -> Panel:
    """A panel of a heading's lines."""
    own = sweep.lines[heading]
    if all(np.isnan(rows[metric]).all() for line in own for rows in line.rows.values()):
        return Panel("", "", [])
    return Panel(heading, f"{HEADS[metric]} (%)", [Curve(line.label, line, metric) for line in own])


def _of_line(sweep: Sweep, label: str) -> list[Curve]:
    """A line's curves against all attacks."""
    own = [line for lines in sweep.lines.values() for line in lines if line.label == label]
    return [Curve(HEADS[metric], line, metric) for metric in SHOWN for line in own]
