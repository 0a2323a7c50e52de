"""Drafts: what a process is about to put into a store, in ``tmp/`` and under a name that says whose it is.

A process that is killed leaves its drafts behind. Their names tell which processes of which machine made them, so the
next run can remove those of processes that are no longer there.
"""

import os
import platform
import re
import uuid
from pathlib import Path

import psutil

from bench.store import files, paths

FOLDER = "tmp"
_PID = re.compile(r"([0-9]{1,9})-")  # other digits and larger numbers are nobody's


def new(store: Path) -> Path:
    """A path for a draft of this process, where nothing lies yet."""
    return store / FOLDER / f"{os.getpid()}-{uuid.uuid4().hex}@{platform.node()}"


def leftovers(store: Path) -> list[Path]:
    """The drafts that dead processes of this machine left behind."""
    owners = {draft: _PID.match(draft.name) for draft in (store / FOLDER).glob(f"*-*@{platform.node()}")}
    return [draft for draft, pid in owners.items() if pid and not is_alive(int(pid[1]))]


def sweep(store: Path) -> None:
    """Remove the drafts that dead processes of this machine left behind."""
    for draft in leftovers(store):
        files.remove(paths.within(store, draft))


def is_alive(pid: int) -> bool:
    """Whether the process ``pid`` can still write. A zombie counts as dead: it can no longer write."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
