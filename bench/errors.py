"""The errors that callers can act on: a request that cannot be met, and a stored file that cannot be used."""

import signal
import traceback
from collections.abc import Iterable
from difflib import get_close_matches

from bench.records.texts import neutral, printable

_LOOKED_AT = 100_000  # characters of a message


class RequestError(ValueError):
    """A wrong request. The message is one line that names the value and what was expected."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows of it: that line, without the way through this package, where nothing is wrong."""
        return [f"{type(self).__name__}: {neutral(str(self))}"]


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


class Elsewhere(Exception):
    """What was raised in another process: ``line`` says what, and ``trace`` is the text of its whole traceback."""

    def __init__(self, line: str, trace: str = "") -> None:
        super().__init__(line, trace)
        self.line, self.trace = line, trace

    def __str__(self) -> str:
        return self.line


class MemoryElsewhere(Elsewhere, MemoryError):
    """Memory ran out in another process."""


class Died(Exception):
    """A process that worked for this one died with an exit code, negative for a signal, before it was done."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(what, code)
        self.what, self.code = what, code

    @property
    def killed(self) -> bool:
        """Whether it was killed, as the system does to processes when memory runs out."""
        return self.code == -signal.SIGKILL

    def __str__(self) -> str:
        return f"{self.what} died ({how_ended(self.code)})"


def how_ended(code: int) -> str:
    """An exit code in words; negative ones are signals."""
    if code >= 0:
        return f"exit code {code}"
    known = -code in set(signal.Signals)  # not all real-time signals have names
    name = f"signal {signal.Signals(-code).name if known else -code}"
    return f"{name}; out of memory?" if code == -signal.SIGKILL else name


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's own, a GPU's, or in torch's allocator on the CPU, which has no error class."""
    if isinstance(error, MemoryError):
        return True
    line = one_line(error)
    return isinstance(error, RuntimeError) and (line.startswith("OutOfMemoryError") or "DefaultCPUAllocator" in line)


def one_line(error: BaseException) -> str:
    """The type of an error and its message, on one printable line of bounded length, whatever the message holds."""
    if isinstance(error, Elsewhere | Died):
        return printable(str(error))
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
