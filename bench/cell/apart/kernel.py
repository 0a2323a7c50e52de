"""What Linux's kernel does for processes that depend on each other. Elsewhere these functions do nothing."""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def signal_with_the_parent(number: int) -> None:
    """Have this process sent the signal ``number`` when its parent dies, however that happens."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # it died just now
            os.kill(os.getpid(), number)


def adopt_orphans() -> None:
    """Let this process become the parent of what its descendants leave behind when they end."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
