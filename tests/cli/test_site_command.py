"""``bench site``: stores and files of records in, a site out; wrong input is one line and writes nothing."""

import re
from pathlib import Path

import pytest
import torch
from site_records import lines, made

from bench.cli.main import main
from bench.store.store import Store


def site(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["site", *map(str, arguments)])
    return int(ended.value.code or 0)


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


def test_what_is_said_of_a_site_stands_in_it(tmp_path, records) -> None:
    said = ["--title", "<Ours>\x1b", "--license", "CC-BY-4.0", "--creator", "Us", "--url", "https://example.org"]
    assert site(records, "--out", tmp_path, *said) == 0
    assert "<title>&lt;Ours&gt;\\x1b</title>" in (tmp_path / "index.html").read_text()
    text = (tmp_path / "croissant.json").read_text()
    assert all(one in text for one in ("CC-BY-4.0", '"Us"', "https://example.org/records.jsonl"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{}", "line 1: expected a record"),
        (b"\n\n[1]\n", "line 3: expected a record"),
        (b"\xff\xfe", "expected a text of records, one a line, in UTF-8"),
        (re.sub('"acc": ?0', '"acc": 7', lines(), count=1).encode(), "line 1: expected a record: acc"),
        (b"", "no results in"),
        (None, "no store there yet"),
    ],
)
def test_what_is_no_record_is_named_and_nothing_is_written(tmp_path, capsys, content, expected) -> None:
    source = tmp_path / "records.jsonl"
    if content is not None:
        source.write_bytes(content)
    assert site(source, "--out", tmp_path / "out") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("bench: site")
    assert expected in line
    assert str(source) in line
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_store_and_no_source_at_all_are_refused(tmp_path, capsys, records) -> None:
    (tmp_path / "something").mkdir()
    (tmp_path / "something" / "else.txt").write_text("mine")
    assert site(tmp_path / "something", "--out", tmp_path / "out") == 2
    assert "expected a store or a file of records" in capsys.readouterr().err
    assert site("--out", tmp_path / "out") == 2
    assert "expected a store or a file of records" in capsys.readouterr().err
    assert site(records, "--url", "javascript:alert(1)", "--out", tmp_path / "out") == 2
    assert "--url javascript:alert(1): expected an address" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
