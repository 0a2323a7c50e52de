"""Ctrl-C, SIGTERM and the death of the parent."""

import os
import signal
import time
from pathlib import Path

import pytest
import tiny

from bench.store.store import Store


def wait_for(folder: Path, wanted: str, seconds: float = 60) -> None:
    """Wait until a plugin has written down ``wanted``."""
    end = time.monotonic() + seconds
    while not tiny.log(folder)[wanted]:
        assert time.monotonic() < end, f"{wanted} was never called"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("signals", "status"),
    [
        pytest.param([signal.SIGINT], 130, id="once"),
        pytest.param([signal.SIGINT, signal.SIGINT], 130, id="twice"),
        pytest.param([signal.SIGTERM], 143, id="terminated", marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_run_leaves_a_store_that_resumes(tmp_path, signals, status):
    """Ctrl-C reaches the whole process group, as from a terminal."""
    options = {"attacks": "corner", "defenses": "halve[n=1|2|3,seconds=3]", "workers": 1}
    run = tiny.start(tmp_path, **options)
    wait_for(tmp_path, "halve[n=1]")
    for number in signals:
        os.killpg(run.pid, number) if number == signal.SIGINT else run.send_signal(number)
        time.sleep(0.3)
    began = time.monotonic()
    _, err = run.communicate(timeout=60)
    assert run.returncode == status, err
    assert tiny.gone(run.pid)
    store = Store(tmp_path / "store")
    if len(signals) == 1 and status == 130:
        assert "stopping after the stages in flight" in err
        assert store.count("cells") == 1
    else:
        assert time.monotonic() - began < 2.5
        assert store.count("cells") == 0
    assert "Traceback" not in err
    assert store.count("victims") == 1
    assert tiny.log(tmp_path) == {"corner[n=0]": 1, "halve[n=1]": 1}
    assert not any((store.root / "tmp").iterdir())


@pytest.mark.slow
def test_no_worker_outlives_its_parent(tmp_path):
    """Not even one that hangs in code that never lets another thread run.

    ``test_left_behind.py`` holds the same, of a frozen worker with copies: see the run that is killed there.
    """
    run = tiny.start(tmp_path, attacks="corner", defenses="bad[how=freeze]", workers=1)
    wait_for(tmp_path, "freeze")
    assert len(tiny.processes(run.pid)) >= 2
    run.kill()
    run.wait()  # and not for its output, which a worker would keep open
    survivors = [] if tiny.gone(run.pid) else tiny.processes(run.pid)
    for process in survivors:
        process.kill()
    assert not survivors


@pytest.mark.slow
def test_ctrl_c_while_workers_start_is_quiet(tmp_path):
    run = tiny.start(tmp_path, attacks="corner", defenses="halve", workers=1)
    while len(tiny.processes(run.pid)) < 2 and run.poll() is None:
        time.sleep(0.01)
    time.sleep(0.3)
    os.killpg(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Traceback" not in err
    assert tiny.gone(run.pid)
