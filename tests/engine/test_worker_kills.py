"""A worker that is killed, alone or with its run: the run goes on, nothing is left, nobody waits for the dead."""

import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import tiny

from bench.store import locks
from bench.store.store import Store

DEFENSES = "none,halve[n=1|2,seconds=0.2],leaves[how=copies]"
CELLS, STAGES = 4, 5  # of each attack


def begun(folder: Path) -> int:
    """How many stages have begun that write something down."""
    return sum(count for line, count in tiny.log(folder).items() if not line.startswith("pid "))


def start(folder: Path, attacks: int, workers: int) -> subprocess.Popen[str]:
    numbers = "|".join(map(str, range(attacks)))
    return tiny.start_leaving(folder, DEFENSES, attacks=f"corner[n={numbers}]", workers=workers)


def kill(folder: Path, chance: random.Random, attacks: int, workers: int, *, parent: bool) -> subprocess.Popen[str]:
    """Start a run, and kill its parent or one of its workers: while these start, or after some stages have begun."""
    run = start(folder, attacks, workers)
    awaited = chance.randrange(attacks * (STAGES - 1))  # the control column writes nothing down
    while begun(folder) < awaited and run.poll() is None:
        time.sleep(0.005)
    time.sleep(chance.uniform(0, 0.3 if awaited else 5))
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(run.pid)
        living = [child for child in process.children() if "spawn_main" in " ".join(child.cmdline())]
        chance.choice([process] if parent or not living else living).send_signal(signal.SIGKILL)
    return run


def check(folder: Path, seed: int, attacks: int, *, parent: bool, workers: int = 2) -> float:
    """Kill, see that nothing is left, and resume; the seconds that resuming took."""
    run = kill(folder, random.Random(seed), attacks, workers, parent=parent)
    run.wait(timeout=240)
    killed = run.returncode == -signal.SIGKILL
    assert killed or run.returncode == 0, run.stderr.read()  # a run goes on without its worker
    assert tiny.gone(run.pid), tiny.processes(run.pid)
    assert not tiny.alive(tiny.children(folder))
    if (folder / "store" / "store.json").is_file():
        assert locks.held(folder / "store") == []
        if not killed:
            assert Store(folder / "store").count("cells") == attacks * CELLS
            assert not any((folder / "store" / "claims").iterdir())
    began = time.monotonic()
    again = start(folder, attacks, workers)
    _, err = again.communicate(timeout=240)
    assert again.returncode == 0, err
    assert "another run" not in err, err  # it has waited for nobody
    assert Store(folder / "store").count("cells") == attacks * CELLS
    assert not any((folder / "store" / "claims").iterdir())
    assert not tiny.alive(tiny.children(folder))
    return time.monotonic() - began


@pytest.mark.slow
def test_a_run_goes_on_without_its_only_worker(tmp_path):
    check(tmp_path, 0, attacks=1, parent=False, workers=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200, 225))
def test_a_run_goes_on_without_a_worker_that_is_killed(tmp_path, seed):
    check(tmp_path, seed, attacks=1 + seed % 2, parent=False)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(300, 325))
def test_nobody_waits_for_what_a_killed_run_left_behind(tmp_path, seed):
    check(tmp_path, seed, attacks=1 + seed % 2, parent=True)
