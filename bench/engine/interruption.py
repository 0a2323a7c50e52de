"""What Ctrl-C and SIGTERM mean while stages run."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

NOTE = "stopping after the stages in flight; Ctrl-C once more stops at once"


class Interruption:
    """Inside the ``with``, the first Ctrl-C only sets ``asked``, and the second raises KeyboardInterrupt.

    SIGTERM raises KeyboardInterrupt too, which passes through a stage, where SystemExit would be taken for a plugin's
    doing, and the ``with`` is left by SystemExit with status 143. On the first Ctrl-C ``say`` is called with a line for
    the user, in a thread of its own: the signal may interrupt the printing of another line. Handlers that somebody else
    has set stay, and in a thread that cannot set any nothing happens. Once ``over`` is set, signals are ignored.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.asked = False
        self._say = say
        self.over = False  # set while workers are being stopped, which is not to be interrupted
        self._terminated = False  # whatever the exception has become on its way, such as through Ray
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number, usual, handler in (
                (signal.SIGINT, signal.default_int_handler, self._interrupt),
                (signal.SIGTERM, signal.SIG_DFL, self._terminate),
            ):
                if signal.getsignal(number) == usual:
                    self._before[number] = signal.signal(number, handler)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._terminated:
            raise SystemExit(128 + signal.SIGTERM) from None

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.over:
            return
        if self.asked:
            self.over = True
            raise KeyboardInterrupt
        self.asked = True
        threading.Thread(target=self._say, args=(NOTE,)).start()

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        if not self.over:
            self.over = self._terminated = True
            raise KeyboardInterrupt
