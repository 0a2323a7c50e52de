"""What foreign code changes in the process that plans is put back at once, and told."""

import json
import os
import resource
import signal
import sys
import threading
import time
import types
from collections.abc import Callable
from contextlib import suppress

import forked
import pytest
import torch

from bench.engine import undoing
from bench.engine.process_state import Snapshot
from bench.engine.undoing import Undoing


def hide_modules() -> None:
    for name in ("torch", "json", "bench.plan.blame"):
        sys.modules[name] = types.ModuleType(name)


def lose_finders() -> None:
    sys.path[:] = []
    sys.meta_path[:] = []


def wake_up() -> None:
    signal.signal(signal.SIGALRM, lambda *_: torch.set_default_dtype(torch.float64))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)


def raise_often() -> None:
    def fail(*_: object) -> None:
        raise TypeError

    signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)


def close_streams() -> None:
    os.close(1)
    os.close(2)
    sys.stdout = sys.stderr = None


def redirect() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def use_up_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    while True:
        os.dup(0)


def forget() -> None:
    class Last:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            json.dumps = lambda *_: "{}"

    Last()


CHANGED = [f"umask changed ({0o777})", "working directory changed (/)"]
WAYS: dict[Callable[[], object], str] = {
    hide_modules: "loaded modules replaced (",
    lose_finders: "the finders of modules changed",
    wake_up: "a timer changed",
    raise_often: "signal handlers changed",
    close_streams: "standard descriptors changed",
    redirect: "standard descriptors changed (1)",
    use_up_descriptors: "limits of resources changed (RLIMIT_NOFILE)",
    forget: "json.dumps replaced",
}


def undone(do: Callable[[], object]) -> tuple[list[str], tuple[str, ...], list[tuple[int, int]]]:
    """The notes when a plugin did this, what is different then, and where the standard descriptors lead."""
    notes: list[str] = []
    before = Snapshot.take()
    with suppress(OSError, TypeError), Undoing(notes.append)("attack 'x'"):  # what it raises is passed on
        do()
    return notes, before.changes(), [os.fstat(number)[1:3] for number in (0, 1, 2)]


@pytest.mark.parametrize(("do", "words"), WAYS.items())
def test_what_foreign_code_changes_is_put_back_and_told(do, words):
    _, _, untouched = forked.result(lambda: undone(lambda: None))
    notes, changes, descriptors = forked.result(lambda: undone(do))
    assert changes == ()
    assert descriptors == untouched
    if do is not use_up_descriptors:
        [note] = notes
        assert note.startswith("attack 'x' left ")
        assert words in note
        assert note.endswith(" in the process that plans; put back")


def test_a_handler_that_raises_while_descriptors_are_put_back_leaves_nothing_undone():
    real = undoing._file

    def interrupted(descriptor: int) -> tuple[int, int] | None:
        undoing._file = real
        signal.raise_signal(signal.SIGALRM)
        return real(descriptor)

    def raise_once() -> None:
        raise_often()
        signal.setitimer(signal.ITIMER_REAL, 0)
        redirect()
        undoing._file = interrupted

    _, _, untouched = forked.result(lambda: undone(lambda: None))
    notes, changes, descriptors = forked.result(lambda: undone(raise_once))
    assert changes == ()
    assert descriptors == untouched
    assert len(notes) == 1


def test_a_copy_that_a_plugin_makes_of_the_process_ends_with_it(tmp_path):
    def copied() -> int:
        begun = os.getpid()
        with Undoing(lambda _: None)("attack 'x'"):
            copy = os.fork()
        (tmp_path / str(os.getpid())).touch()
        assert os.getpid() == begun
        return os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])

    assert forked.result(copied) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_plugin_is_named_once_for_one_thing_and_inside_another_by_the_outer():
    def noted() -> list[str]:
        notes: list[str] = []
        undoing = Undoing(notes.append)
        for plugin in ("attack 'x'", "attack 'x'", "model 'y'"):
            with undoing(plugin), undoing("defense 'z'"):
                os.umask(0o777)
        with suppress(ValueError), undoing("model 'y'"):
            os.chdir("/")
            raise ValueError
        return notes

    umask, cwd = (f"left the {what} in the process that plans; put back" for what in CHANGED)
    assert forked.result(noted) == [f"attack 'x' {umask}", f"model 'y' {umask}", f"model 'y' {cwd}"]


def test_what_cannot_be_put_back_is_named():
    def noted() -> list[str]:
        notes: list[str] = []
        with Undoing(notes.append)("attack 'x'"):
            threading.Thread(target=time.sleep, args=(60,), name="mine", daemon=True).start()
            os.chdir("/")
        return notes

    [note] = forked.result(noted)
    assert note.endswith("; put back, but this cannot be: 1 thread running (mine)")
