"""``bench site``: stores and files of records in, a site out; wrong input is one line and writes nothing."""

import re
from pathlib import Path

import pytest
import torch
from site_records import lines, made

import bench
from bench.cli.main import main
from bench.errors import RequestError
from bench.results import Results
from bench.store.store import Store


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments)])
    return int(ended.value.code or 0)


def site(*arguments: object) -> int:
    return call("site", *arguments)


@pytest.fixture
def records(tmp_path) -> Path:
    file = tmp_path / "records.jsonl"
    file.write_text(lines())
    return file


def store_of(folder: Path) -> Path:
    """A store with the cells of one attack."""
    store = Store(folder)
    predictions = {f"{part}_logits": torch.zeros(2, 2) for part in ("clean", "triggered")}
    for record in made():
        if record.attack == "badnets":
            store.write("cells", record.key, {"record.json": record.to_json(), "predictions.safetensors": predictions})
    return folder


def files(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_store_and_a_file_give_one_site_and_what_both_hold_stands_once(tmp_path, capsys, records) -> None:
    stored = store_of(tmp_path / "store")
    assert site(stored, records, "--out", tmp_path / "both") == 0
    assert site(records, "--out", tmp_path / "alone") == 0
    assert files(tmp_path / "both") == files(tmp_path / "alone")
    assert site(stored, "--out", tmp_path / "stored") == 0
    attacks = {path.name for path in (tmp_path / "stored" / "attacks").iterdir()}
    assert attacks == {"badnets.html"}
    assert capsys.readouterr().out.splitlines()[-1].endswith(str(tmp_path / "stored" / "index.html"))


def test_python_makes_the_same_site_of_the_same_sources(tmp_path, records) -> None:
    stored = store_of(tmp_path / "store")
    said = {"title": "Ours", "url": "https://example.org", "license": "CC-BY-4.0", "creator": "Us"}
    options = [word for name, text in said.items() for word in (f"--{name}", text)]
    assert site(stored, records, "--out", tmp_path / "typed", "--with-invalid", *options) == 0
    index = bench.load(stored, records).site(tmp_path / "called", with_invalid=True, **said)
    assert index == tmp_path / "called" / "index.html"
    assert files(tmp_path / "called") == files(tmp_path / "typed")


def test_wrong_words_of_a_site_are_refused_in_python_too_and_nothing_is_written(tmp_path, records) -> None:
    for results, stated, expected in (
        (bench.load(records), {"url": "javascript:alert(1)"}, "site: url javascript.*: expected an address"),
        (Results([]), {}, "site: there are no results"),
    ):
        with pytest.raises(RequestError, match=expected):
            results.site(tmp_path / "out", **stated)
    assert not (tmp_path / "out").exists()


def test_a_site_is_made_of_all_files_that_a_report_reads(tmp_path, capsys, records) -> None:
    (tmp_path / "report").mkdir()
    bench.load(records).frame.to_parquet(tmp_path / "report" / "results.parquet")
    assert site(records, "--out", tmp_path / "lines") == 0
    assert site(tmp_path / "report", "--out", tmp_path / "rows") == 0
    assert files(tmp_path / "rows") == files(tmp_path / "lines")
    capsys.readouterr()
    assert site(tmp_path / "lines" / "table.csv", "--out", tmp_path / "means") == 0
    assert "holds means over seeds, not records" in capsys.readouterr().err


def test_what_is_said_of_a_site_stands_in_it(tmp_path, records) -> None:
    said = ["--title", "<Ours>\x1b", "--license", "CC-BY-4.0", "--creator", "Us", "--url", "https://example.org"]
    assert site(records, "--out", tmp_path / "out", *said) == 0
    assert "<title>&lt;Ours&gt;\\x1b</title>" in (tmp_path / "out" / "index.html").read_text()
    text = (tmp_path / "out" / "croissant.json").read_text()
    assert all(one in text for one in ("CC-BY-4.0", '"Us"', "https://example.org/records.jsonl"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{}", "line 1: has no key"),
        (b"\n\n[1]\n", "line 3: "),
        (b"\xff\xfe", "line 1: "),
        (re.sub('"acc": ?0', '"acc": 7', lines(), count=1).encode(), "line 1: acc: "),
        (b"", "holds no records"),
        (None, "cannot be read: No such file"),
    ],
)
def test_what_is_no_record_is_named_as_a_report_names_it_and_nothing_is_written(
    tmp_path, capsys, content, expected
) -> None:
    source = tmp_path / "records.jsonl"
    if content is not None:
        source.write_bytes(content)
    assert site(source, "--out", tmp_path / "out") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"bench: {source}")
    assert expected in line
    assert not (tmp_path / "out").exists()
    assert call("report", source, "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err.splitlines() == [line]


def test_a_folder_that_is_no_store_and_no_source_at_all_are_refused(tmp_path, capsys, records) -> None:
    (tmp_path / "something").mkdir()
    (tmp_path / "something" / "else.txt").write_text("mine")
    assert site(tmp_path / "something", "--out", tmp_path / "out") == 2
    assert "expected a store or records *.jsonl or *.parquet; this is something else" in capsys.readouterr().err
    assert site("--out", tmp_path / "out") == 2
    assert "expected a store or a file of records" in capsys.readouterr().err
    assert site(records, "--url", "javascript:alert(1)", "--out", tmp_path / "out") == 2
    assert "--url javascript:alert(1): expected an address" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["index.html", "records.jsonl"])
def test_a_file_of_ones_own_is_named_in_a_line_and_not_replaced(tmp_path, capsys, records, name) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    assert site(records, "--out", tmp_path / "out") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"--out {tmp_path}/out/{name}: is there already, and no list (bench-site.json) says" in line
    with pytest.raises(RequestError, match=f"^site: out {tmp_path}/out/{name}: is there already"):
        bench.load(records).site(tmp_path / "out")
    assert files(tmp_path / "out") == {Path(name): b"mine"}


def test_records_among_the_pages_of_their_site_can_be_read_and_the_site_renewed(tmp_path, records) -> None:
    assert site(records, "--out", tmp_path / "out") == 0
    before = files(tmp_path / "out")
    assert site(tmp_path / "out", "--out", tmp_path / "out") == 0
    assert files(tmp_path / "out") == before
