"""Whether a process of this machine is still at work."""

import psutil


def lives(pid: int) -> bool:
    """False also for one that was killed and that its parent has not taken note of yet: it writes nothing any more."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
