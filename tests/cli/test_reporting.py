"""``bench report`` of some of the results: by selection, by study, and from files of records."""

import subprocess
import sys
from pathlib import Path

import pytest
from some_records import cell
from stores import bench

import bench as package
from bench.errors import RequestError
from bench.records import to_frame, write_records
from bench.reports import write
from bench.store.store import Store

CELLS = [cell(attack, defense) for attack in ("none", "badnets", "sig") for defense in ("none", "bna", "fire")]


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(write, "FIGURES", {})
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store() -> Store:
    made = Store(Path("bench-store"))
    for one in CELLS:
        made.write("cells", one.key, {"record.json": one.to_json()})
    return made


def table(folder: str = "bench-report") -> list[tuple[str, str]]:
    """The attacks and defenses of a report's table."""
    import pandas as pd

    return [*pd.read_csv(Path(folder) / "table.csv")[["attack", "defense"]].itertuples(index=False, name=None)]


def test_everything_is_shown_where_nothing_is_selected(store, capsys):
    status, out, _ = bench(capsys, "report")
    assert (status, len(table())) == (0, 9)
    assert out.splitlines()[-1] == "bench-report/index.html"
    assert "bench-report/records.jsonl" in out.splitlines()
    assert {one.key for one in package.load("bench-report/records.jsonl")} == {one.key for one in CELLS}


@pytest.mark.parametrize("by", ["options", "study"])
def test_a_selection_restricts_what_is_shown(store, capsys, by):
    Path("s.toml").write_text("attacks = ['sig', 'wanet']\ndefenses = 'none,fire'\nworkers = 3\n")
    options = {"options": ["--attacks", "sig,wanet", "--defenses", "none,fire"], "study": ["s.toml"]}[by]
    status, _, err = bench(capsys, "report", *options, "--out", "r")
    assert (status, err) == (0, "bench: --attacks wanet: no record\n")
    assert table("r") == [("sig", "none"), ("sig", "fire")]
    assert len(package.load("r/results.parquet")) == 2


def test_files_of_records_stand_in_the_place_of_a_store(capsys):
    write_records(CELLS[:3], Path("a.jsonl"))
    to_frame(CELLS[2:5]).to_parquet("b.parquet")
    assert bench(capsys, "report", "a.jsonl", "--records", "b.parquet")[0] == 0
    assert len(table()) == 5
    assert not Path("bench-store").exists()
    Path("folder").mkdir()
    Path("a.jsonl").rename("folder/records.jsonl")
    assert bench(capsys, "report", "folder", "--out", "r")[0] == 0
    assert len(table("r")) == 3


@pytest.mark.parametrize("other", ["b.jsonl", "bench-store"])
def test_a_cell_of_two_sources_is_taken_from_the_newest_and_both_are_named(store, capsys, other):
    write_records([one.model_copy(update={"finished": "2027", "acc": 0.5}) for one in CELLS[1:3]], Path("a.jsonl"))
    write_records(CELLS, Path("b.jsonl"))
    status, _, err = bench(capsys, "report", "a.jsonl", other, "a.jsonl")
    assert (status, len(table())) == (0, 9)
    assert err == (
        f"bench: {other}: 2 records left out, for a.jsonl has other figures of the same cells; "
        "what is done, newest and named first is taken\n"
    )
    assert [one.acc for one in package.load("bench-report")].count(0.5) == 2


def test_a_store_that_is_named_is_read_beside_files(store, capsys):
    write_records([cell("blend", "bna"), CELLS[0]], Path("a.jsonl"))
    assert bench(capsys, "report", "a.jsonl", "bench-store")[0] == 0
    assert len(table()) == 10
    assert bench(capsys, "report", "a.jsonl", "--out", "r")[0] == 0
    assert len(table("r")) == 2


def test_a_table_of_means_is_rendered_and_says_what_it_lacks(store, capsys):
    bench(capsys, "report")
    status, _, err = bench(capsys, "report", "bench-report/table.csv", "--out", "r")
    assert status == 0
    assert err.startswith("bench: bench-report/table.csv: holds means over seeds, not records: no single seeds, ")
    assert err.count("\n") == 1
    assert table("r") == table()
    assert "From a table of means: over 1 seed each." in Path("r/table.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--attacks", "badnet"], "--attacks badnet: no record; there are badnets, none, sig; did you mean 'badnets'?"),
        (
            ["--metrics", "acc,aser"],
            "--metrics aser: expected some of acc, acc_target, asr, ra, der; did you mean 'asr'?",
        ),
        (["--order", "size"], "--order size: expected one of name, given, der"),
        (["--rows", "columns"], "--rows columns: expected one of attacks, defenses"),
        (["--latex-width", "3"], "--latex-width 3: expected 7 to 60 centimetres"),
        (["--latex-width", "nan"], "--latex-width nan: expected 7 to 60 centimetres"),
        (["--latex-columns", "3"], "--latex-columns 3: expected 1 or 2"),
        (["--rename", "bn=Ours"], "--rename bn=Ours: expected the name of an attack"),
        (["--rename", "bna=fire"], "--rename bna=fire: defense 'fire' would|would have the same name"),
        (["--rename", "fire=bna"], "--rename fire=bna: defense 'bna' would|would have the same name"),
        (["--figure", "sweep:beta"], "--figure sweep:beta"),
        (["gone.jsonl"], "gone.jsonl: cannot be read: No such file"),
        (["--out", ""], "--out '': expected a path, this is empty"),
        (["--out", " "], "--out '': expected a path, this is empty"),
        ([""], "argument '': expected a path, this is empty"),
        (["--records", ""], "--records '': expected a path, this is empty"),
        (["--rename", "bna=no defense"], "--rename bna=no defense: expected a name other than"),
        (["dir.jsonl"], "report dir.jsonl: a directory with none of these; expected a study *.toml, a store"),
        (["empty"], "report empty: a directory with none of these; expected a study *.toml, a store"),
        (["--out", "mine"], "--out mine/table.md: is there already, and no list (bench-report.json) says"),
        (["gone"], "report gone: expected a study *.toml, a store, or records *.jsonl, *.parquet or table.csv"),
        (["bench-store", "--store", "other"], "--store other: expected one store"),
        (["a.toml", "b.toml"], "report b.toml: expected one study"),
        (["--records", "d.jsonl"], "d.jsonl, line 1: is no record"),
        (["--order", "given"], "--order given: expected a selection of attacks or defenses"),
    ],
)
def test_what_cannot_be_shown_is_one_line_and_nothing_is_written(store, capsys, arguments, expected):
    Path("d.jsonl").write_text("{}}")
    Path("dir.jsonl").mkdir()
    Path("empty").mkdir()
    Path("mine").mkdir()
    Path("mine/table.md").write_text("mine")
    status, _, err = bench(capsys, "report", *arguments)
    assert (status, err.count("\n")) == (2, 1), err
    assert any(part in err for part in expected.split("|")), err
    assert not Path("bench-report").exists()
    assert [path.read_text() for path in Path("mine").iterdir()] == ["mine"]


@pytest.mark.parametrize("command", ["site", "scan x", "repair x", "export 3fa9", "new defense mine", "merge"])
def test_an_empty_path_is_not_the_current_directory(command, capsys):
    empty = [""] if command == "merge" else ["--out", ""]
    status, _, err = bench(capsys, *command.split(), *empty)
    assert (status, err.count("\n")) == (2, 1)
    assert "'': expected a path, this is empty" in err
    assert list(Path().iterdir()) == []


def test_recipes_of_records_are_selected_without_torch(tmp_path):
    recipes = ["quick", "paper[epochs=10]", "fast"]
    write_records([cell("sig", "bna", seed, recipe=name) for seed, name in enumerate(recipes)], Path("a.jsonl"))
    code = (
        "import sys; from pathlib import Path; from bench.records import read_records\n"
        "from bench.plan.request import Request\n"
        "from bench.plan.matching import matching\n"
        "records, _ = read_records(Path('a.jsonl'))\n"
        "found = matching(Request.read({'recipes': 'quick,paper[epochs=10]'}), records).records\n"
        "print(sorted(one.recipe for one in found), 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "['paper[epochs=10]', 'quick'] False\n"


def test_python_has_the_same_words(store, capsys):
    results = package.load("bench-store")
    chosen = results.select(attacks=["sig", "none"], defenses="none,fire,bna")
    page = chosen.report("r", order="given", metrics=["acc", "der"], rename={"bna": "Ours"}, rows="defenses")
    assert page == Path("r/index.html")
    assert {row for _, row in table("r")} == {"none", "fire", "Ours"}
    assert "Ours" in chosen.table(100, rename="bna=Ours")
    assert "Ours" not in chosen.table(100)
    for wrong, message in (
        ({"metrics": "acx"}, "table: metrics acx: expected some of"),
        ({"rename": {"x": "y"}}, "table: rename x=y: expected the name of"),
        ({"order": "given"}, "table: order given"),
    ):
        with pytest.raises(RequestError, match=message):
            results.table(100, **wrong)
    with pytest.raises(RequestError, match="--seeds 9: no record; there are 0"):
        results.select(seeds=9)
    assert [one.key for one in package.load(results.save("all.jsonl"))] == [one.key for one in results]


def test_a_verdict_is_derived_anew_from_files_or_stays_as_it_was_written(tmp_path):
    weak = cell("badnets", "bna", asr_before=0.2, asr=0.1, valid=True)
    [found] = package.load(write_records([weak], tmp_path / "r.jsonl"))
    assert (found.valid, "ASR 20.0% is below" in found.doubt) == (False, True)
    judged = cell("badnets", "bna", asr_before=1.0, acc_benign=0.99, valid=False, doubt="ACC 80.0% is low")
    [kept] = package.load(
        write_records([judged], tmp_path / "r.jsonl")
    )  # without the control row that it was judged by
    assert (kept.valid, kept.doubt, kept.acc_benign) == (False, "ACC 80.0% is low", 0.99)
