"""Ctrl-C, SIGTERM and the death of the parent."""

import os
import signal
import time
from pathlib import Path

import pytest
import tiny

from bench.engine.interruption import Interruption
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
        pytest.param([signal.SIGINT, signal.SIGINT], 130, id="twice", marks=pytest.mark.slow),
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


def test_sigterm_passes_through_a_stage_and_leaves_the_run_as_an_exit():
    def run() -> None:
        with Interruption(print):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)
            except KeyboardInterrupt:  # what bench.engine.worker.work does not take for a failure of the stage
                raise
            except BaseException as error:
                pytest.fail(f"{error!r} would be stored as a failure")

    with pytest.raises(SystemExit) as left:
        run()
    assert left.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_a_run_without_workers_of_its_own_that_is_terminated_stores_no_failure(tmp_path, executor):
    if executor == "ray":
        pytest.importorskip("ray")
    run = tiny.start(tmp_path, attacks="corner", defenses="halve[n=1|2,seconds=8]", workers=1, executor=executor)
    wait_for(tmp_path, "halve[n=1]")
    run.send_signal(signal.SIGTERM)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 143, err
    assert "Traceback" not in err
    store = Store(tmp_path / "store")
    assert (store.count("victims"), store.count("cells")) == (1, 0)


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
