"""What commands say: results on the standard output, complaints on the standard error."""

import sys
from typing import Any

from bench.errors import Damaged


def complain(line: str) -> None:
    """One line about something that is wrong."""
    print(f"bench: {line}", file=sys.stderr)  # noqa: T201


def name_damaged(error: Damaged) -> None:
    """Say that something damaged is left out of what is printed."""
    complain(f"left out, damaged: {error}; bench run computes it again")


def print_lines(lines: list[Any]) -> None:
    """Lines and tables for rich; lines are never broken."""
    from rich.console import Console

    console = Console()
    for line in lines:
        console.print(line, highlight=False, soft_wrap=isinstance(line, str))
