"""What a defense costs and what it leaves, averaged over attacks: the marks of the overview."""

from dataclasses import dataclass
from math import isnan

import numpy as np

from bench.reports.blocks import AVERAGE, Block, Cell
from bench.reports.format import tally
from bench.reports.stats import RowSet, Stat

_ALIKE = 1e-6  # per cent
Bar = tuple[float, float]


@dataclass(frozen=True)
class Mean:
    """A defense's mean ASR and mean fall of ACC in per cent, with their 95 % intervals, None where there are none.

    The interval of the fall is that of ACC after the defense. ``missing``: "7/8" where seven of eight victims, the
    seeds of all attacks, are done, else "".
    """

    name: str
    asr: float
    fall: float
    asr_bar: Bar | None
    fall_bar: Bar | None
    missing: str

    @property
    def point(self) -> tuple[float, float]:
        return self.asr, self.fall


def mean(block: Block, name: str) -> Mean | None:
    """Over the attacks that count, of the means over seeds. None where no attack has both figures.

    ACC falls from what the same victim had before the defense.
    """
    falls, asrs = dict[str, Stat](), dict[str, Stat]()
    for attack in block.attacks:
        rows = _counted(block, attack, name)
        if rows is None or not len(rows.done) or np.isnan(rows.done["asr"] + rows.done["acc"]).all():
            continue
        before = rows.done["acc_before"]
        before = np.where(np.isnan(before), block.before[attack].stat("acc").mean, before)
        falls[attack], asrs[attack] = Stat.of(100 * (before - rows.done["acc"])), Stat.of(100 * rows.done["asr"])
    if not falls or any(isnan(stat.mean) for stat in falls.values()):
        return None
    [first] = list(falls)[:1]
    fall, asr = (Stat.of(stat.mean for stat in own.values()) if len(own) > 1 else own[first] for own in (falls, asrs))
    cell = block.cells.get((AVERAGE, name), block.cells[first, name])
    return Mean(name, asr.mean, fall.mean, *_bars(cell, asr.mean, fall.mean), tally(cell))


def undefended(block: Block) -> float:
    """The undefended network's ASR in per cent, over the attacks of ``mean``; NaN where there is none."""
    if AVERAGE in block.before or block.samples is None:
        return 100 * block.before.get(AVERAGE, Cell()).stat("asr").mean
    own = block.samples.figures["asr"]
    means = [Stat.of(own[attack, 0, seeds]).mean for attack, seeds in block.averaged]
    return 100 * Stat.of(means).mean


def front(means: list[Mean]) -> list[Mean]:
    """Those that no other beats in one figure without being beaten in the other, by their ASR.

    Means over other attacks than those of the others are no rivals.
    """
    means = [one for one in means if not one.missing]
    best = [
        one
        for one in means
        if not any(other.asr <= one.asr and other.fall <= one.fall and other.point != one.point for other in means)
    ]
    return sorted(best, key=lambda one: one.point)


def _bars(cell: Cell, asr: float, fall: float) -> tuple[Bar | None, Bar | None]:
    """The intervals of both means, as the tables have them, within 0 and 100 %.

    None of a cell of which some seeds do not count: its interval is of other networks than the mean.
    """
    own = cell.stat("asr"), cell.stat("acc")
    alike = abs(100 * own[0].mean - asr) < _ALIKE
    if not alike or isnan(sum(end for stat in own for end in (stat.low, stat.high))):
        return None, None
    (left, right), (low, high) = ((max(0.0, 100 * stat.low), min(100.0, 100 * stat.high)) for stat in own)
    acc = 100 * own[1].mean
    return (left, right), (fall + acc - high, fall + acc - low)


def _counted(block: Block, attack: str, name: str) -> RowSet | None:
    """The records that count in averages."""
    rows = block.by_cell.get((attack, name))
    return rows if rows is None or block.with_invalid else rows.at(rows["valid"])
