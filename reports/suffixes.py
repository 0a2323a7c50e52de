"""What tells the files of a report's blocks apart."""

import re
from collections.abc import Sequence

from bench.reports.blocks import Block


def suffixes(compared: Sequence[Block]) -> list[str]:
    """What is added to the names of each block's files: nothing for one block, else a number and its title."""
    if len(compared) == 1:
        return [""]
    titles = [re.sub(r"[^A-Za-z0-9]+", "-", block.title).strip("-")[:80] for block in compared]
    return [f"-{number}-{title}" for number, title in enumerate(titles, 1)]
