"""The directory of a site: what others wrote there stays, what the last site wrote goes."""

from pathlib import Path

import pytest
from report_frames import one_attack
from site_records import made

from bench.records import Record
from bench.reports import WrongChoice, write_report
from bench.reports.site import addresses
from bench.reports.site.about import About
from bench.reports.site.write import SITE, write_site

MINE = b"mine"


def held(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def few() -> list[Record]:
    return [record for record in made() if record.attack == "badnets"]


def older(folder: Path) -> dict[str, bytes]:
    """A site of before there were lists of files."""
    write_site(few(), folder, About("Ours"))
    (folder / SITE.manifest).unlink()
    return held(folder)


def test_the_next_site_leaves_no_page_of_a_larger_one_and_other_files_stay(tmp_path: Path) -> None:
    larger, alone = tmp_path / "larger", tmp_path / "alone"
    write_site(made(), larger)
    write_site(few(), alone)
    assert set(held(alone)) < set(held(larger))
    for name in ("CNAME", "cells/mine.html"):
        (larger / name).write_bytes(MINE)
    write_site(few(), larger)
    assert held(larger) == held(alone) | {"CNAME": MINE, "cells/mine.html": MINE}


@pytest.mark.parametrize("name", [*SITE.always, addresses.of_attack("badnets"), SITE.manifest])
def test_a_file_that_no_site_wrote_is_named_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(MINE)
    with pytest.raises(WrongChoice, match=f"^out {tmp_path}/{name}: .*no list .bench-site.json. says that a site"):
        write_site(few(), tmp_path)
    assert held(tmp_path) == {name: MINE}


def test_a_site_of_before_there_was_a_list_is_renewed(tmp_path: Path) -> None:
    before = older(tmp_path)
    write_site(few(), tmp_path, About("Theirs"))
    renewed = held(tmp_path)
    assert set(renewed) == {*before, SITE.manifest}
    assert {name for name in before if name.endswith(".html") and renewed[name] == before[name]} == set()


@pytest.mark.parametrize("name", [addresses.INDEX, addresses.STYLE, addresses.CROISSANT, "attacks/badnets.html"])
def test_what_only_resembles_an_older_site_stays(name: str, tmp_path: Path) -> None:
    before = older(tmp_path)
    (tmp_path / name).write_bytes(MINE)
    with pytest.raises(WrongChoice, match=r"expected an empty directory$"):
        write_site(few(), tmp_path)
    assert held(tmp_path) == before | {name: MINE}


@pytest.mark.usefixtures("no_figures")
def test_a_report_and_a_site_do_not_take_each_others_place(tmp_path: Path) -> None:
    report, site = tmp_path / "report", tmp_path / "site"
    write_report(one_attack(a=0.5), report)
    write_site(few(), site)
    before = held(tmp_path)
    with pytest.raises(WrongChoice, match=r"index\.html: .*that a site wrote it"):
        write_site(few(), report)
    with pytest.raises(WrongChoice, match=r"index\.html: .*that a report wrote it"):
        write_report(one_attack(a=0.5), site)
    assert held(tmp_path) == before
