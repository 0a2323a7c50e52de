"""A worker's side of its keeper: processes that are forked when they are needed, and ended when they are not."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import Pipe, connection, reduction
from multiprocessing.connection import Connection
from typing import Any

from bench.cell.apart.keeper import Begin, End, Ended, Fork
from bench.cell.apart.messages import Gone, receive, send
from bench.errors import Died

_START = "import sys; sys.path[:] = {path!r}; from bench.cell.apart.keeper import main; main({descriptor})"


class Forks:
    """Forks processes by a keeper, which starts with the first of them. ``set_up`` prepares each process."""

    def __init__(self, set_up: Callable[[], None]) -> None:
        self._set_up = set_up
        self._keeper: subprocess.Popen[bytes] | None = None
        self._orders: Connection | None = None
        self._open: set[int] = set()  # processes whose ``with`` has not ended
        self._ended: dict[int, int] = {}  # exit codes of processes that have ended, by their number

    @contextmanager
    def process(
        self, function: str, what: str, modules: Sequence[str] = (), further: Sequence[Connection] = ()
    ) -> Iterator["Forked"]:
        """A new process that runs ``function``, "module:name", with its connections; it is ended with the ``with``.

        what: the process, for messages. modules: of this project, to be loaded before. further: connections beside the
        one of ``Forked``. Raises Died if the keeper is gone.
        """
        orders = self._started()
        ours, theirs = Pipe()
        with ours:
            with theirs:
                given = [theirs, *further]
                try:
                    send(orders, Fork(function, modules, len(given)))
                    for descriptor in (1, 2, *(one.fileno() for one in given)):
                        reduction.send_handle(orders, descriptor, 0)
                except (Gone, ConnectionError) as error:
                    raise self._lost() from error
                pid = self._answer(orders)
            self._open.add(pid)
            try:
                yield Forked(self, ours, pid, what)
            finally:
                ours.close()
                self._end(pid)

    def start(self) -> None:
        """Start the keeper and wait until it is ready, which takes a second or two. Raises Died if it does not live."""
        self._started()

    @property
    def keeper(self) -> int | None:
        """The number of the keeper's process; None if it does not run."""
        return None if self._keeper is None or self._keeper.poll() is not None else self._keeper.pid

    def close(self) -> None:
        """End the keeper and whatever it has forked."""
        if self._keeper is not None and self._orders is not None:
            self._orders.close()
            self._keeper.wait()
        self._keeper = self._orders = None

    def exit_code(self, pid: int, wait: float | None = None) -> int | None:
        """The exit code of a forked process, if it has ended within ``wait`` seconds, or None.

        Raises Died if the keeper is gone, and everything that it has forked with it.
        """
        orders = self.news()
        while pid not in self._ended and orders.poll(wait):
            self._note(orders)
        return self._ended.get(pid)

    def news(self) -> Connection:
        """What becomes ready when there is news of a process that has ended. Raises Died if the keeper was closed."""
        if self._orders is None:
            raise self._lost()
        return self._orders

    def _started(self) -> Connection:
        """The connection to the keeper; to a new one if it is gone and nobody waits for what it has forked."""
        if self._orders is None or self._keeper is None or self._keeper.poll() is not None:
            if self._open:
                raise self._lost()
            if self._orders is not None:
                self._orders.close()
            self._orders, theirs = Pipe()
            code = _START.format(path=sys.path, descriptor=theirs.fileno())
            self._keeper = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # it outlives the worker's group, and ends what it has forked
            )
            theirs.close()
            self._ended.clear()
            with suppress(Gone):  # its answer says so
                send(self._orders, Begin(self._set_up))
            self._message(self._orders)
        return self._orders

    def _answer(self, orders: Connection) -> int:
        while not isinstance(message := self._message(orders), int):
            self._ended[message.pid] = message.status
        return message

    def _note(self, orders: Connection) -> None:
        message = self._message(orders)
        if isinstance(message, Ended):
            self._ended[message.pid] = message.status

    def _message(self, orders: Connection) -> Any:
        try:
            return receive(orders)
        except Gone as error:
            raise self._lost() from error

    def _lost(self) -> Died:
        return Died("the process that starts others", self._keeper.wait() if self._keeper else 1)

    def _end(self, pid: int) -> None:
        self._open.discard(pid)
        if self._ended.pop(pid, None) is None and self._orders is not None:
            with suppress(Gone, Died):
                send(self._orders, End(pid))
                while pid not in self._ended:
                    self._note(self._orders)
        self._ended.pop(pid, None)


class Forked:
    """A process that was forked for this one."""

    def __init__(self, forks: Forks, ours: Connection, pid: int, what: str) -> None:
        self._forks, self.connection, self.pid, self._what = forks, ours, pid, what

    def send(self, message: Any) -> None:
        """If the process is gone, ``receive`` says so, after what the process said last, which may tell why."""
        with suppress(Gone):
            send(self.connection, message)

    def receive(self) -> Any:
        """Its next message. Raises Died if it ends without one."""
        while not self.connection.closed:
            ready = connection.wait([self.connection, self._forks.news()])
            if self.connection in ready:
                try:
                    return receive(self.connection)
                except Gone as error:
                    raise self.died() from error
            if self._forks.exit_code(self.pid, 0) is not None and not self.connection.poll():
                break
        raise self.died()

    def died(self) -> Died:
        """The error that says how it died; waits until it has, which it does when nobody is there to talk to."""
        self.connection.close()
        code = self._forks.exit_code(self.pid)
        return Died(self._what, 1 if code is None else code)
