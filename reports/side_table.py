"""A table beside the results, whatever it is of."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SideTable:
    """A plain table: ``lines`` of texts under ``heads``; the first ``texts`` columns hold words, the rest numbers.

    ``note`` says under the table how it is to be read.
    """

    title: str
    heads: list[str]
    lines: list[list[str]]
    texts: int
    note: str = ""
