"""The errors that mean something to a caller: a request that cannot be met, and a stored file that cannot be used."""

from collections.abc import Iterable
from difflib import get_close_matches


class RequestError(ValueError):
    """A wrong request. The message is one line that names the value and what was expected."""


class Damaged(Exception):
    """A file of a stored stage is not what was written: to be dropped with its stage and made again, never used."""

    def __init__(self, section: str, key: str, name: str, why: str = "is not what was written") -> None:
        super().__init__(section, key, name, why)  # all of them: what is raised in a worker is sent to its parent
        self.section, self.key, self.name, self.why = section, key, name, why

    def __str__(self) -> str:
        return f"{self.section}/{self.key}: {self.name} {self.why}"


def one_line(error: BaseException) -> str:
    """The kind of an error and what it says, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def meant(name: str, known: Iterable[str]) -> str:
    """What is put behind a complaint about a name that is not known: the one that is most like it, if any is."""
    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
