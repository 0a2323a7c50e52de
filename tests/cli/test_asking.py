"""Commands that ask before they remove: nothing goes without a yes, and no answer is a traceback."""

import ast
import inspect
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from stores import ABCD, bench, train

import bench as package
from bench.cli.main import app
from bench.store.store import Store

ASKING = {"gc": (), "rm": (ABCD,)}  # and what they are given


@pytest.fixture
def store(tmp_path) -> Store:
    """A store with a victim that no record needs."""
    made = Store(tmp_path / "s")
    train(made, SimpleNamespace(key=ABCD))
    return made


def asked(monkeypatch, answer: str | type[BaseException], *, terminal: bool = True) -> None:
    def answered(prompt: str) -> str:
        if isinstance(answer, type):
            raise answer
        return answer

    monkeypatch.setattr(sys.stdin, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr("builtins.input", answered)


def test_these_are_all_commands_that_ask():
    commands = {name: app[name].default_command for name in app if not name.startswith("-")}
    assert {name for name, made in commands.items() if "yes" in inspect.signature(made).parameters} == set(ASKING)
    files = [path for path in Path(package.__file__).parent.rglob("*.py") if _asks(path)]
    assert [path.name for path in files] == ["output.py"]


def _asks(path: Path) -> bool:
    calls = (one for one in ast.walk(ast.parse(path.read_text())) if isinstance(one, ast.Call))
    return any(isinstance(one.func, ast.Name) and one.func.id == "input" for one in calls)


@pytest.mark.parametrize("command", ASKING)
@pytest.mark.parametrize("answer", ["y", " YES ", "", "n", "yess", EOFError])
def test_only_a_yes_removes_and_the_end_of_the_input_is_a_no(store, capsys, monkeypatch, command, answer):
    asked(monkeypatch, answer)
    status, out, err = bench(capsys, command, *ASKING[command], "--store", store.root)
    assert (status, err) == (0, "")
    assert out.endswith("\n")
    assert store.has("victims", ABCD) == (answer not in ("y", " YES "))


@pytest.mark.parametrize("command", ASKING)
@pytest.mark.parametrize(("answer", "terminal", "expected"), [("y", False, 2), (KeyboardInterrupt, True, 130)])
def test_where_nobody_answers_it_is_one_line_and_nothing_goes(
    store, capsys, monkeypatch, command, answer, terminal, expected
):
    asked(monkeypatch, answer, terminal=terminal)
    status, _, err = bench(capsys, command, *ASKING[command], "--store", store.root)
    assert (status, err.count("\n")) == (expected, 1)
    assert store.has("victims", ABCD)
