"""The directory of a report: what others wrote there stays, what the last report wrote goes."""

import json
from pathlib import Path

import pytest
from report_frames import grid, one_attack

from bench.reports import WrongChoice, write_report
from bench.reports.directory import REPORT, write_files

FILES = {"index.html": b"<title>Backdoor defenses compared</title>", "table.md": b"m", "table.csv": b"c",
         "table.tex": b"% needs \\usepackage{booktabs}", "results.parquet": b"p", "references.bib": b"@misc{a}",
         "paper.tex": b"% an example: pdflatex paper", "tables/main.tex": b"% needs \\usepackage{booktabs}",
         "figures/der.png": b"f", "records.jsonl": b"{}"}  # fmt: skip
MANIFEST = REPORT.manifest


def held(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, but for the list of files."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: data for name, data in found.items() if name != MANIFEST}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_no_report_wrote_is_named_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(
        WrongChoice, match=f"^out {tmp_path}/{name}: .*no list .{MANIFEST}. says that a report wrote it"
    ):
        write_files(tmp_path, FILES)
    assert held(tmp_path) == {name: b"mine"}


@pytest.mark.parametrize("name", FILES)
def test_of_the_last_report_every_file_is_replaced_or_removed_and_others_stay(name: str, tmp_path: Path) -> None:
    write_files(tmp_path, FILES)
    (tmp_path / "figures" / "mine.png").write_bytes(b"mine")
    (tmp_path / "notes.txt").write_bytes(b"mine")
    renewed = {other: data + b"2" for other, data in FILES.items() if other != name}
    write_files(tmp_path, renewed)
    assert held(tmp_path) == renewed | {"figures/mine.png": b"mine", "notes.txt": b"mine"}
    assert json.loads((tmp_path / MANIFEST).read_text())["files"] == sorted(renewed)
    assert (tmp_path / "tables").exists() == (name != "tables/main.tex")


def test_a_report_of_before_there_was_a_list_is_renewed(tmp_path: Path) -> None:
    write_files(tmp_path, FILES)
    (tmp_path / MANIFEST).unlink()
    write_files(tmp_path, {name: data + b"2" for name, data in FILES.items()})
    assert held(tmp_path) == {name: data + b"2" for name, data in FILES.items()}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"paper.tex": b"\\documentclass{article}"}, "paper.tex|references.bib"),
        ({"tables/main.tex": b"mine"}, "tables/main.tex"),
        ({"index.html": b"my page"}, "index.html"),
        ({"table.md": None}, "index.html"),
    ],
)
def test_what_only_resembles_an_older_report_stays(
    changed: dict[str, bytes | None], named: str, tmp_path: Path
) -> None:
    write_files(tmp_path, FILES)
    (tmp_path / MANIFEST).unlink()
    for name, data in changed.items():
        (tmp_path / name).unlink() if data is None else (tmp_path / name).write_bytes(data)
    before = held(tmp_path)
    with pytest.raises(WrongChoice, match=f"({named}): .*no list .{MANIFEST}. says .* expected an empty directory$"):
        write_files(tmp_path, FILES)
    assert held(tmp_path) == before


def test_half_a_report_is_finished_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, parts: list[bytes]) -> Path:
        if path.name == "table.csv":
            raise OSError("no space left on device")
        return whole(path, parts)

    from bench.reports import directory

    whole = directory.write_whole
    monkeypatch.setattr(directory, "write_whole", full)
    with pytest.raises(OSError, match="no space"):
        write_files(tmp_path, FILES)
    monkeypatch.undo()
    write_files(tmp_path, FILES)
    assert held(tmp_path) == FILES


@pytest.mark.parametrize("names", [["../outside"], ["/etc/passwd"], [1], "table.md", None, ["a\0b"]])
def test_a_damaged_list_removes_nothing_outside(names: object, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"mine")
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / MANIFEST).write_text(json.dumps({"files": names}))
    write_files(tmp_path / "r", FILES)
    assert held(tmp_path / "r") == FILES
    assert (tmp_path / "outside").read_bytes() == b"mine"


def test_a_link_in_the_place_of_a_file_or_a_folder_leads_nowhere(tmp_path: Path) -> None:
    folder, other = tmp_path / "r", tmp_path / "other"
    write_files(folder, FILES)
    (folder / "figures").rename(other)
    (folder / "figures").symlink_to(other)
    write_files(folder, {name: data for name, data in FILES.items() if not name.startswith("figures/")})
    assert (other / "der.png").read_bytes() == b"f"
    (folder / "table.md").unlink()
    (folder / "table.md").symlink_to(other / "der.png")
    with pytest.raises(WrongChoice, match=r"table\.md: is there already, is no plain file"):
        write_files(folder, FILES)


@pytest.mark.usefixtures("no_figures")
def test_a_smaller_report_leaves_no_file_of_a_larger_one(tmp_path: Path) -> None:
    larger = {path.relative_to(tmp_path).as_posix() for path in write_report(grid(3), tmp_path, more={"x.txt": b"x"})}
    assert {"tables/ranks.tex", "x.txt"} <= larger
    smaller = write_report(one_attack(a=0.5), tmp_path)
    assert set(held(tmp_path)) == {path.relative_to(tmp_path).as_posix() for path in smaller} < larger
    assert smaller[-1].name == "index.html"
