"""What a report says of a block, made once for all formats."""

from dataclasses import dataclass

from bench.reports.blocks import Block
from bench.reports.happened import plugin_messages, unfinished
from bench.reports.published_tables import published_tables
from bench.reports.rows import Row, rows
from bench.reports.side_table import SideTable
from bench.reports.side_tables import side_tables


@dataclass(frozen=True)
class Section:
    """A block with the rows of its table and the tables beside it. ``unfinished`` and ``messages`` may be empty."""

    block: Block
    rows: list[Row]
    side_tables: list[SideTable]
    unfinished: SideTable
    messages: SideTable


def section(block: Block, *, published: bool = False) -> Section:
    """What every format says of ``block``; ``published``: with published figures beside the measured ones."""
    beside = [*side_tables(block), *(published_tables(block) if published else [])]
    return Section(block, rows(block), beside, unfinished(block), plugin_messages(block))
