"""The text of every cell of a block's table. The formats only lay it out."""

from dataclasses import dataclass, field

from bench.reports.blocks import AVERAGE, Block
from bench.reports.format import UNDEFINED, percent, tally, word


@dataclass(frozen=True)
class CellText:
    """What a table says of one attack against one ``defense``; None is the undefended network.

    ``figures`` are the texts of the block's ``metrics``, of the undefended network those of its ``metrics_before``:
    "98.5" or "98.5±0.3", a dash where a metric is not defined. Of a cell that is not ``done`` the first is a word such
    as "failed", and dashes follow. ``best``: this defense has the best DER of the row among those that were given the
    same, or cannot be told from it; ``second``: the second best. ``ranked`` is the place of DER in ``figures``, None
    where it is not shown. ``tally`` is "2/3" where two of three seeds (in the average row: of the attacks) are done,
    and "" where all or none are.
    """

    defense: str | None
    figures: list[str]
    done: bool
    best: bool
    tally: str
    second: bool = False
    ranked: int | None = field(default=None, compare=False)

    @property
    def word(self) -> str:
        """What stands for all figures of a cell that is not done."""
        return self.figures[0]


@dataclass(frozen=True)
class Row:
    """A row of a block's table: ``heading`` is the attack, marked if it did not work.

    ``cells``: the undefended network, then each of the block's defenses.
    """

    attack: str
    heading: str
    cells: list[CellText]

    @property
    def average(self) -> bool:
        """Whether this is the average over attacks."""
        return self.attack == AVERAGE


def rows(block: Block) -> list[Row]:
    """A row for each attack, and one for the average where there is one."""
    defenses = [None, *block.defenses]
    return [
        Row(attack, block.marked(attack), [cell_text(block, attack, name) for name in defenses])
        for attack in block.row_names
    ]


def cell_text(block: Block, attack: str, defense: str | None) -> CellText:
    """The text of one cell. ``attack`` is one of the block's or the average."""
    cell = block.cell(attack, defense)
    metrics = block.metrics if defense else block.metrics_before
    if cell.status != "done":
        return CellText(defense, [word(cell), *[UNDEFINED] * (len(metrics) - 1)], done=False, best=False, tally="")
    figures = [percent(cell.stat(metric)) for metric in metrics]
    ranked = metrics.index("der") if "der" in metrics else None
    marks = block.marks(attack)
    best, second = (ranked is not None and defense in marked for marked in (marks.best, marks.second))
    return CellText(defense, figures, done=True, best=best, tally=tally(cell), second=second, ranked=ranked)
