"""Records for tests of the site: made-up ones, and copies of them with other texts."""

from functools import cache
from hashlib import sha256
from itertools import product
from typing import Any

from report_frames import record

from bench.records import Record

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
