"""Records for tests of the site: real ones of docs/results, and copies of them with other texts."""

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from bench.records import Record

FILE = Path(__file__).resolve().parents[1] / "docs" / "results" / "cifar10-small" / "records.jsonl"
EMPTY = ("meta", "link", "br")


@cache
def real() -> tuple[Record, ...]:
    """Two attacks against four defenses and the control, one seed."""
    return tuple(map(Record.model_validate_json, FILE.read_text().splitlines()))


def changed(record: Record, **columns: Any) -> Record:
    """A record with some other columns, checked as any record is."""
    return Record.model_validate(record.model_dump() | columns)


class Page(HTMLParser):
    """A page: its tags with their attributes, and the texts of its elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.seen.append(data.strip())

    @property
    def links(self) -> list[str]:
        return [value or "" for _, attrs in self.tags for name, value in attrs.items() if name in ("href", "src")]
