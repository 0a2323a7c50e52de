"""Progress in Python, by who watches."""

import sys
from types import SimpleNamespace

import pytest

from bench.engine import watching
from bench.engine.display import Screen, Silent
from bench.engine.executor import Outcome
from bench.engine.watching import Notebook, watched


class Shown:
    """What a notebook shows, as IPython's ``display`` and its handle do."""

    def __init__(self):
        self.pictures = []

    def __call__(self, picture, *, raw, display_id):
        self.update(picture, raw=raw)
        return self

    def update(self, picture, *, raw):
        assert raw
        self.pictures.append(picture["text/plain"])


@pytest.fixture
def in_a_kernel(monkeypatch) -> Shown:
    shown, shell = Shown(), SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=shown))
    return shown


@pytest.mark.parametrize(("terminal", "expected"), [(True, Screen), (False, Silent)])
def test_a_terminal_is_watched_and_a_pipe_is_not(monkeypatch, terminal, expected):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    with watched(None) as listener:
        assert type(listener) is expected


def test_a_listener_that_is_given_is_the_one(in_a_kernel):
    given = Silent()
    with watched(given) as listener:
        assert listener is given
    assert in_a_kernel.pictures == []


def test_a_notebook_shows_one_picture_that_changes(in_a_kernel, plan, monkeypatch):
    monkeypatch.setattr(watching, "_EVERY", 0.0)
    cell = plan.cells[0]
    with watched(None) as listener:
        assert type(listener) is Notebook
        listener.begin([cell], 1)
        listener.started(0, cell)
        listener.tick([0.5])
        assert cell.title in in_a_kernel.pictures[-1]
        assert "50%" in in_a_kernel.pictures[-1]
        listener.ended(Outcome(0, cell, "done", 1.0))
        assert "1/1 stages" in in_a_kernel.pictures[-1]
        assert "left" not in in_a_kernel.pictures[-1]
    assert "\x1b" not in "".join(in_a_kernel.pictures)


def test_ipython_on_a_terminal_is_a_terminal(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace()))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with watched(None) as listener:
        assert type(listener) is Screen


def test_a_notebook_shows_no_picture_where_nothing_is_to_be_done(in_a_kernel):
    with watched(None) as listener:
        listener.note("all is there")
    assert in_a_kernel.pictures == []


def test_what_was_interrupted_does_not_seem_to_run_on_in_a_notebook(in_a_kernel, plan):
    cell = plan.cells[0]

    def interrupted():
        with watched(None) as listener:
            listener.begin([cell], 1)
            listener.started(0, cell)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "0/1 stages" in in_a_kernel.pictures[-1]
    assert "stopped" in in_a_kernel.pictures[-1]
    assert cell.title not in in_a_kernel.pictures[-1]
