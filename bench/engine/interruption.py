"""What Ctrl-C and SIGTERM mean while stages run."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

SAID = "stopping after the stages in flight; Ctrl-C once more stops at once"


class Interruption:
    """Within it, the first Ctrl-C only sets ``asked``, the second raises KeyboardInterrupt, and SIGTERM exits with 143.

    ``say`` is told when the first one comes, in a thread of its own: a signal may come in the middle of another
    line's printing. Handlers that somebody else has set, and threads that cannot set any, are left alone.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.asked = False
        self._say = say
        self.over = False  # from then on, what is being closed down is not interrupted again
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

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.over:
            return
        if self.asked:
            self.over = True
            raise KeyboardInterrupt
        self.asked = True
        threading.Thread(target=self._say, args=(SAID,)).start()

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        if not self.over:
            self.over = True
            raise SystemExit(128 + number)
