"""What a defense costs and what it leaves, averaged over attacks: the marks of the overview."""

from dataclasses import dataclass
from math import isnan

import numpy as np

from bench.reports.blocks import AVERAGE, Block
from bench.reports.format import tally
from bench.reports.stats import RowSet, Stat

INTERVAL, OVER_ATTACKS, OVER_SEEDS = (
    "95 % intervals of mean ACC and ASR",
    "one standard deviation over attacks",
    "one standard deviation over seeds",
)
Bar = tuple[float, float]


@dataclass(frozen=True)
class Mean:
    """A defense's mean ASR and mean fall of ACC in per cent; what the bars span is said by ``kind``, "" for no bars.

    ``missing``: "7/8" where seven of eight attacks (of one attack: seeds) are done, else "".
    """

    name: str
    asr: float
    fall: float
    asr_bar: Bar
    fall_bar: Bar
    kind: str
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
    kind = "" if isnan(fall.std) else OVER_ATTACKS if len(falls) > 1 else OVER_SEEDS
    bars = (asr.mean - asr.std, asr.mean + asr.std), (fall.mean - fall.std, fall.mean + fall.std)
    if not isnan(cell.stat("asr").low + cell.stat("acc").low):
        kind, acc, own = INTERVAL, cell.stat("acc"), cell.stat("asr")
        fallen = fall.mean + 100 * (acc.mean - acc.high), fall.mean + 100 * (acc.mean - acc.low)
        bars = (100 * own.low, 100 * own.high), fallen
    return Mean(name, asr.mean, fall.mean, *bars, kind, tally(cell))


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


def _counted(block: Block, attack: str, name: str) -> RowSet | None:
    """The records that count in averages."""
    rows = block.by_cell.get((attack, name))
    return rows if rows is None or block.with_invalid else rows.at(rows["valid"])
