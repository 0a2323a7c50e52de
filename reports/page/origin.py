"""Where the results of a page come from: the command lines, the day of the newest result, all names of classes."""

from collections.abc import Iterable

from bench.records import printable
from bench.reports.blocks import Block
from bench.reports.diagnostics import parsed

_LONGEST = 60  # characters of a class's name


def commands(block: Block) -> list[str]:
    """The command lines that made the records, each once, in the order in which their first results ended."""
    records = block.records
    if "command" not in records:
        return []
    told = records.sort_values("finished", kind="stable")["command"]
    return list(dict.fromkeys(printable(text) for text in told if isinstance(text, str) and text.strip()))


def newest(compared: Iterable[Block]) -> str:
    """The date and time at which the newest result was done; "" where no record says one.

    It is the date of the page too: the same records give the same page whenever it is written.
    """
    times = [text for block in compared for text in block.records["finished"] if text]
    return max(times, default="")


def all_class_names(block: Block) -> list[str]:
    """The names of a block's classes in the order of their numbers; none where no record has them."""
    known = [text for text in dict.fromkeys(block.records["class_names"]) if text not in ("", "[]")]
    names = parsed(known[0], []) if known else []
    return [printable(name, _LONGEST) for name in names] if all(isinstance(name, str) for name in names) else []
