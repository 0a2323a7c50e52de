"""A grid that takes a moment, of the plugins in ``plugins/tiny_plugins.py``, and the ways to run it."""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil

from bench.engine.executor import WorkerSettings
from bench.engine.options import RunOptions
from bench.plan.plugin_files import read
from bench.store.store import Store

PLUGIN_FOLDER = Path(__file__).with_name("plugins")
GRID = {"datasets": "dots", "models": "linear", "reference": 8, "suspects": 4}
MEASURED = ["acc", "asr", "ra", "der", "acc_target", "acc_before", "asr_before", "ra_before"]
NAMES = ["dataset", "model", "attack_label", "defense_label", "seed", "status"]


def plugins(folder: Path) -> Path:
    """The file of the plugins, copied to ``folder``; what they write down goes to the file ``log`` beside it."""
    os.environ["TINY_LOG"] = str(folder / "log")
    return Path(shutil.copy(PLUGIN_FOLDER / "tiny_plugins.py", folder))


def log(folder: Path) -> Counter[str]:
    """How often each plugin was called."""
    return Counter((folder / "log").read_text().split("\n")[:-1]) if (folder / "log").exists() else Counter()


def settings(folder: Path, **options) -> WorkerSettings:
    """Those of a worker with the plugins in ``folder``, on the store beside them, which is made."""
    Store(folder / "store")
    return WorkerSettings(folder / "store", folder, (read(folder / "tiny_plugins.py"),), RunOptions(**options))


def command(folder: Path, store: str = "store", **options: object) -> list[str]:
    """``bench run`` of the tiny grid with these options."""
    words = [sys.executable, "-m", "bench", "run", "--plugin", str(plugins(folder)), "--store", str(folder / store)]
    for name, value in {**GRID, **options}.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def start(folder: Path, store: str = "store", **options: object) -> subprocess.Popen[str]:
    """The command in a session of its own, so that it can be signalled with all its workers."""
    return popen(command(folder, store, **options))


def popen(words: list[str]) -> subprocess.Popen[str]:
    """A command in a session of its own."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(words, text=True, start_new_session=True, **pipes)


def with_leaves(folder: Path) -> list[Path]:
    """The files of the plugins and of ``leaves.py``, a defense that leaves something behind."""
    return [plugins(folder), Path(shutil.copy(PLUGIN_FOLDER / "leaves.py", folder))]


def start_leaving(folder: Path, defenses: str, **options: object) -> subprocess.Popen[str]:
    """As ``start``, with the plugins of ``with_leaves``; one worker on one victim unless the options say otherwise."""
    _, file = with_leaves(folder)
    chosen = {"attacks": "corner", "workers": 1, **options, "defenses": defenses}
    return popen([*command(folder, **chosen), "--plugin", str(file)])


def children(folder: Path) -> list[int]:
    """The processes that plugins have started, as they wrote them down."""
    return [int(line.split()[1]) for line in log(folder) if line.startswith("pid ")]


def alive(pids: list[int], seconds: float = 10) -> list[int]:
    """Those that are still there after at most so many seconds."""
    end = time.monotonic() + seconds
    while True:
        left = []
        for pid in pids:
            with suppress(psutil.NoSuchProcess):
                left += [pid] if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE else []
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.05)


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """What two runs must agree on to the last digit."""
    return frame[NAMES + MEASURED]


def processes(session: int) -> list[psutil.Process]:
    """All live processes of a session."""
    live = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                live.append(process)
    return live


def gone(session: int, seconds: float = 10) -> bool:
    """Whether no process of the session is left, after at most so many seconds."""
    end = time.monotonic() + seconds
    while processes(session) and time.monotonic() < end:
        time.sleep(0.05)
    return not processes(session)
