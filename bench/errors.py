"""The errors that callers can act on: a request that cannot be met, and a stored file that cannot be used."""

import traceback
from collections.abc import Iterable
from difflib import get_close_matches

from bench.records.texts import neutral, printable

_LOOKED_AT = 100_000  # characters of a message


class RequestError(ValueError):
    """A wrong request. The message is one line that names the value and what was expected."""


class OptionError(RequestError):
    """A wrong option. ``option`` is its name as ``bench.run`` takes it, or None if several do not go together."""

    def __init__(self, message: str, option: str | None = None) -> None:
        super().__init__(message)
        self.option = option


class Damaged(Exception):
    """A file of a stored stage is not what was written. The stage is to be dropped and computed again."""

    def __init__(self, section: str, key: str, name: str, why: str = "is not what was written") -> None:
        super().__init__(section, key, name, why)  # all arguments: a worker's error is pickled for its parent
        self.section, self.key, self.name, self.why = section, key, name, why

    def __str__(self) -> str:
        return f"{self.section}/{self.key}: {self.name} {self.why}"


def one_line(error: BaseException) -> str:
    """The type of an error and its message, on one printable line of bounded length, whatever the message holds."""
    kind = type.__getattribute__(type(error), "__name__")  # its class, and the class of that, may be anybody's
    try:
        message = " ".join(str(error)[:_LOOKED_AT].split())
    except BaseException:
        message = "its message cannot be read"
    return printable(f"{kind}: {message}".removesuffix(": "))


def whole_trace(error: BaseException) -> str:
    """The traceback of an error that is being handled, whatever its class does while it is looked at."""
    try:
        return "".join(traceback.format_exception(error))
    except BaseException:
        return f"{one_line(error)}\n(its traceback cannot be shown)\n"


def shortened(text: str, length: int = 200) -> str:
    """The text with its middle left out if it is longer than ``length`` characters, made safe for a terminal."""
    if len(text) > length:
        text = f"{text[: length // 2]}…{text[len(text) - length // 2 :]}"
    return neutral(text)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest of ``names``, or nothing if none is near."""
    near = get_close_matches(name, list(names), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
