"""Records for tests of the site: made-up ones, copies of them with other texts, and pages read as a browser does."""

from functools import cache
from hashlib import sha256
from html.parser import HTMLParser
from itertools import product
from typing import Any

from report_frames import record

from bench.records import Record

EMPTY = ("meta", "link", "br")
_PARAMETERS = {f"{kind}_params": "{}" for kind in ("dataset", "model", "attack", "defense")}


@cache
def made() -> tuple[Record, ...]:
    """The control and two attacks against four defenses and the control, one seed."""
    cells = product(["none", "badnets", "blend"], ["none", "tac[beta=1.0]", "bna", "fine_pruning", "fire"])
    return tuple(_made(attack, defense) for attack, defense in cells)


def lines() -> str:
    """The same as a file has them, one a line."""
    return "".join(f"{one.to_json().replace(chr(10), '')}\n" for one in made())


def _made(attack: str, defense: str) -> Record:
    columns = record(attack, defense, 0) | _PARAMETERS
    keys = {name: sha256(columns[name].encode()).hexdigest()[:32] for name in ("key", "victim_key")}
    return Record.model_validate({**columns, **keys})


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
