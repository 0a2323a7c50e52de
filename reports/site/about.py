"""What a site says of itself and no record knows."""

from dataclasses import dataclass
from typing import TypedDict, Unpack

from bench.records import printable
from bench.reports.chosen import WrongChoice

UNKNOWN = "not stated"


class Stated(TypedDict, total=False):
    """What may be stated of a site; ``About`` says what each of these is."""

    title: str
    url: str
    license: str
    creator: str


@dataclass(frozen=True)
class About:
    """``url`` is where the site will lie, "" where that is not decided. ``license``, ``creator``: of the results."""

    title: str = "Backdoor defenses compared"
    url: str = ""
    license: str = UNKNOWN
    creator: str = UNKNOWN


def about(**stated: Unpack[Stated]) -> About:
    """What was stated, made printable. Raises WrongChoice for an address that a browser would run."""
    made = About(**{name: printable(str(text)) for name, text in stated.items()})
    if made.url and not made.url.startswith(("https://", "http://")):
        raise WrongChoice(f"url {printable(made.url, 100)}: expected an address that begins with https://")
    return made
