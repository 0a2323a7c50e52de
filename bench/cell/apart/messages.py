"""What a worker and the processes that are forked for it say to each other."""

import io
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from threading import Lock
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.errors import Damaged, Elsewhere, MemoryElsewhere, is_out_of_memory, one_line, shortened, whole_trace

LONGEST_TRACEBACK = 100_000  # characters; beyond these its middle is left out
_SENDING = Lock()  # a plugin's threads may log while it answers, and a long message is written in parts


@dataclass(frozen=True)
class Progress:
    """The share of the work that is done, in [0, 1]."""

    share: float


@dataclass(frozen=True)
class Line:
    """What a plugin logged."""

    text: str


@dataclass(frozen=True)
class Raised:
    """What went wrong, in one line and as a whole. damaged: the arguments of a ``Damaged``, if it was one."""

    line: str
    trace: str
    memory: bool = False
    damaged: tuple[str, ...] | None = None

    @classmethod
    def of(cls, error: BaseException) -> "Raised":
        """The message about an error that is being handled."""
        damaged = tuple(map(str, error.args)) if isinstance(error, Damaged) else None
        trace = shortened(whole_trace(error), LONGEST_TRACEBACK)
        return cls(one_line(error), trace, is_out_of_memory(error), damaged)

    @property
    def error(self) -> Exception:
        """The error to raise here."""
        if self.damaged is not None:
            return Damaged(*self.damaged)
        return (MemoryElsewhere if self.memory else Elsewhere)(self.line, self.trace)


class Conversation(Protocol):
    """What is said to a process and by it; ``bench.cell.apart.forks.Forked`` is one.

    That the process is gone is for ``receive`` to say, after what the process said last: ``send`` raises nothing.
    """

    def send(self, message: Any) -> None: ...

    def receive(self) -> Any: ...


class Gone(Exception):
    """The other side of a conversation is no longer there."""


def send(connection: Connection, message: Any) -> None:
    """Send plain values, dataclasses and tensors; tensors arrive on the CPU. Raises Gone if nobody is there."""
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=5).dump(message)
    try:
        with _SENDING:
            connection.send_bytes(buffer.getbuffer())
    except OSError as error:
        raise Gone from error


def receive(connection: Connection) -> Any:
    """The next message. Raises Gone if none can come."""
    try:
        message = connection.recv_bytes()
    except (EOFError, OSError) as error:
        raise Gone from error
    return pickle.loads(message)  # it comes by a pair of sockets from a process that was started for this one


def reply(process: Conversation, progress: Callable[[float], None], log: Callable[[str], None]) -> Any:
    """The next message that is an answer; what a process says of its progress and its log meanwhile is handed on.

    Raises what the process has raised.
    """
    while True:
        match process.receive():
            case Progress(share):
                progress(share)
            case Line(text):
                log(text)
            case Raised() as raised:
                raise raised.error
            case answer:
                return answer


@contextmanager
def telling(connection: Connection) -> Iterator[None]:
    """Send whatever is raised inside as ``Raised``, unless the other side is gone."""
    try:
        yield
    except Gone:
        pass
    except BaseException as error:  # whatever a plugin raises
        with suppress(Gone):
            send(connection, Raised.of(error))


class _Pickler(pickle.Pickler):
    """Tensors by value: torch would send descriptors of shared memory, which outlive nobody."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, str):  # of a class that the receiver may not have
            return str, (str.__str__(value),)
        if not isinstance(value, Tensor):
            return NotImplemented
        if value.layout != torch.strided or value.is_quantized:
            return NotImplemented  # by its parts, which are tensors of numbers
        flat = value.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
        return _tensor, (flat.view(torch.uint8).numpy(), value.dtype, tuple(value.shape))


def _tensor(content: NDArray[np.uint8], dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(content).view(dtype).view(shape)
