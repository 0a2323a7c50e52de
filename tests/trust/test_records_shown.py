"""What a store says of itself is printed without steering the terminal, whoever wrote the store."""

import json
from pathlib import Path

import pytest
from hostile import PLAIN, STEERING, read
from rich.markup import escape
from rich.table import Table
from stores import bench

from bench.cli.output import complain, print_lines
from bench.records import to_frame
from bench.store.store import Store

KEY = "0123456789abcdef" * 2
SAID = STEERING.replace("\ud800", "") + "[red]x[/red]"


def mailed(folder: Path, **changed: object) -> Store:
    """A store with one failure, whose record holds what its author likes."""
    store = Store(folder / "mailed")
    record = json.dumps(PLAIN | {"key": KEY, "status": "failed", **changed})
    store.write("failures", KEY, {"record.json": record, "traceback.txt": f"Traceback\n  {SAID}"})
    return store


@pytest.mark.parametrize("command", [["show", KEY[:8]], ["status"], ["report"]])
def test_nothing_in_a_mailed_store_steers_the_terminal(command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = dict.fromkeys(("attack_label", "defense_label", "device", "command", "log", "commit"), SAID)
    store = mailed(tmp_path, reason=f"it said {SAID}", diagnostics=json.dumps({"x": SAID * 200}), **names)
    status, out, err = bench(capsys, *command, "--store", store.root)
    assert status == 0, err
    assert all(line.isprintable() for line in (out + err).split("\n"))
    if command[0] == "show":
        assert "it said \\x1b[31m" in out
        assert out.count("[red]x[/red]") >= 8  # markup is text
        assert "Traceback\n" in out


def test_complaints_are_one_printable_line(capsys):
    complain(f"a\nb{STEERING}{'x' * 20_000_000}")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("bench: a b\\x1b[31m")
    assert err.removesuffix("\n").isprintable()
    assert len(err) < 11_000


def test_lines_and_tables_are_printed_as_rich_prints_them_but_for_what_steers(capsys):
    table = Table("a", "b", title="t")
    table.add_row("1", escape("[red]") + "\x1b[2J\u202e")
    print_lines(["[bold]x[/bold]", "", f"{'long ' * 60}end", table])
    out = capsys.readouterr().out
    assert out.startswith(f"x\n\n{'long ' * 60}end\n")
    assert "[red]\\x1b[2J\\u202e" in out


def test_labels_that_pandas_cannot_hold_are_spelled_out_in_a_frame():
    record = read().model_copy(update={"attack_label": "a\ud800"})
    assert to_frame([record])["attack_label"].tolist() == ["a\\ud800"]
