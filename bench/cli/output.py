"""What commands say: results on the standard output, complaints on the standard error."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.errors import Damaged, RequestError
from bench.records.texts import neutral, printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment


_LONGEST = 10_000  # characters of a complaint


def complain(line: str) -> None:
    """One line about something that is wrong."""
    print(f"bench: {printable(line, _LONGEST)}", file=sys.stderr)  # noqa: T201


def write_out(text: str) -> None:
    """A text on the standard output."""
    print(text)  # noqa: T201


def agreed(command: str) -> bool:
    """Whether a person wants what was listed to be removed; Ctrl-D is no. Raises RequestError where nobody can say."""
    if not sys.stdin.isatty():
        raise RequestError(f"{command}: not a terminal: pass --yes to remove this")
    try:
        return input("remove this? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:  # Ctrl-D, which ends no line
        write_out("")
        return False


def name_damaged(error: Damaged) -> None:
    """Say that something damaged is left out of what is printed."""
    complain(f"left out, damaged: {error}; bench run computes it again")


def print_lines(lines: list[Any]) -> None:
    """Lines and tables for rich; lines are never broken. Nothing in their texts steers the terminal."""
    from rich.console import Console

    console = Console()
    for line in lines:
        console.print(Neutral(line), highlight=False, soft_wrap=isinstance(line, str))


class Neutral:
    """Something for rich, printed as it is but for characters that would steer the terminal: these are spelled out."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[Segment]":
        from rich.segment import Segment

        content = console.render_str(self.content, highlight=False) if isinstance(self.content, str) else self.content
        for text, style, control in console.render(content, options):
            yield Segment(text if control else neutral(text), style, control)
