"""Results in Python: how they are shown, and what can be made of them."""

import hashlib
import re
import subprocess
import sys
import warnings

import pytest
from report_frames import record
from rich.console import Console

import bench
from bench.errors import RequestError
from bench.records import Record
from bench.reports import terminal_table
from bench.results import Results, Text
from bench.store.store import Store

FAILURE = {"status": "failed", "reason": "<b>it broke</b>"}


def made(*records: Record) -> Results:
    return Results(list(records))


def one(attack: str, defense: str, **changed) -> Record:
    row = record(attack, defense, 0, **changed)
    row |= {f"{kind}_params": "{}" for kind in ("dataset", "model", "attack", "defense")}
    row |= {"key": key_of(attack, defense), "victim_key": key_of(attack)}
    return Record(**{name: value for name, value in row.items() if name in Record.model_fields})


def key_of(*names: str) -> str:
    return hashlib.sha256(repr(names).encode()).hexdigest()[:32]


@pytest.fixture(scope="module")
def results() -> Results:
    cells = [one(attack, defense) for attack in ("none", "badnets") for defense in ("none", "bna")]
    return made(*cells, one("sig", "bna", **FAILURE), one("wanet", "bna", status="not-applicable", reason="no"))


def test_they_are_told_in_one_line(results):
    assert repr(results) == "<Results: 6 cells: 4 done, 1 failed, 1 not-applicable>"
    assert repr(made()) == "<Results: 0 cells>"
    assert len(results) == 6
    assert list(results) == results.records


def test_the_failed_are_a_part_of_them(results):
    assert [cell.reason for cell in results.failed] == [FAILURE["reason"]]
    assert not results.ok
    assert made(*results.records[:4]).ok
    assert not made(*results.records[:4]).failed


def test_the_table_is_the_one_that_a_run_prints(results):
    table = results.table(100)
    console = Console(width=100, file=sys.stdout)
    with console.capture() as captured:
        for part in terminal_table(results.frame, 100):
            console.print(part)
    assert table.split() == re.sub(r"\x1b\[[0-9;]*m", "", captured.get()).split()
    assert repr(table) == str(table)
    assert max(map(len, table.splitlines())) <= 100


def test_the_marks_of_a_table_are_by_what_became_of_every_test_image(results, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("bench.cell.outcomes.outcomes", lambda store, damaged: lambda *keys: asked.append(keys))
    Results(results.records, store=Store(tmp_path / "s").root).table(100)
    assert set(asked) == {(cell.key, cell.victim_key) for cell in results.records if cell.status == "done"}


def test_a_notebook_shows_the_table_and_no_markup_of_a_plugin(results):
    shown = results._repr_html_()
    assert "badnets" in shown
    assert "<b>" not in shown
    assert Text("<a>")._repr_html_().count("&lt;a&gt;") == 1


def test_figures_are_drawn_by_name(results):
    figure = results.plot("der")
    assert figure._repr_png_()[:4] == b"\x89PNG"
    for name, expected in {
        "acc": "plot: acc: expected one of overview, acc_asr, der",
        "stream": "plot: stream: there is nothing to draw",
        "sweep:beta": "plot: sweep:beta",
    }.items():
        with pytest.raises(RequestError, match=expected):
            results.plot(name)
    with pytest.raises(RequestError, match="block 1: expected one of 0: mnist5k"):
        results.plot(block=1)


def test_nothing_has_no_report_and_no_figure(tmp_path):
    for ask in (lambda: made().report(tmp_path / "r"), lambda: made().plot()):
        with pytest.raises(RequestError, match="there are no results"):
            ask()
    assert not (tmp_path / "r").exists()
    assert str(made().table()) == "no results"


@pytest.fixture(scope="module")
def store(tmp_path_factory, results) -> Store:
    made = Store(tmp_path_factory.mktemp("results") / "s")
    for cell in results.records[:4]:
        made.write("cells", cell.key, {"record.json": cell.model_dump_json()})
    return made


def test_a_store_is_loaded_and_a_damaged_record_left_out_with_a_warning(store, results):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = bench.load(store.root)
    assert {cell.key for cell in loaded} == {cell.key for cell in results.records[:4]}
    next(store.root.rglob(f"{results.records[0].key}/record.json")).write_text("{")
    with pytest.warns(UserWarning, match="left out, damaged: cells/"):
        assert len(bench.load(store.root)) == 3
    with pytest.raises(RequestError, match="nowhere"):
        bench.load(store.root / "nowhere")


def test_the_report_of_some_results_is_written(results, tmp_path):
    assert made(*results.records[:2]).report(tmp_path / "r") == tmp_path / "r" / "index.html"
    assert {path.name for path in (tmp_path / "r").iterdir()} >= {"index.html", "table.md", "results.parquet"}
    assert "badnets" not in (tmp_path / "r" / "table.md").read_text()


def test_neither_the_import_nor_loading_needs_torch(store):
    code = (
        "import sys, bench\n"
        "assert not {'torch', 'pandas', 'matplotlib', 'rich'} & set(sys.modules), 'import'\n"
        f"print(len(bench.load({str(store.root)!r})))\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3
