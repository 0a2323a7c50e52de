"""The static site: its links, its bytes, what its pages show, and that no text in it does anything."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_pages import Page
from site_records import changed, made

from bench.records import Record, once, printable
from bench.reports.blocks import AVERAGE
from bench.reports.site import addresses, pages, tables
from bench.reports.site.about import About
from bench.reports.site.contents import Contents, contents
from bench.reports.site.write import SITE, write_site

TAGS = {
    "html", "head", "meta", "title", "link", "body", "header", "main", "a", "h1", "h2", "h3", "p", "div", "table",
    "thead", "tbody", "tr", "th", "td", "ul", "li", "dl", "dt", "dd", "pre", "span", "details", "summary",
}  # fmt: skip
ATTRIBUTES = {"lang", "charset", "name", "content", "http-equiv", "rel", "href", "class", "scope", "colspan"}
ATTRIBUTES |= {"tabindex", "role", "aria-label"}
TEXTS = st.text("<>&\"'/{}%\\;= \x1b\u202e\n[].a0-_", min_size=1, max_size=20)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    write_site(made(), folder, About("Ours"), published=True)
    return folder


@cache
def shown() -> Contents:
    return contents(made())


def files(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, but for the list of files."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: data for name, data in found.items() if name != SITE.manifest}


def reached(folder: Path, start: str = addresses.INDEX) -> Iterator[str]:
    """Every file that links lead to, from the index on. A link to nowhere fails."""
    waiting, known = [start], {start}
    while waiting:
        name = waiting.pop()
        yield name
        for link in Page((folder / name).read_text()).links if name.endswith(".html") else ():
            assert not re.match(r"[a-z]+:|/", link), link
            target = (folder / name).parent.joinpath(link).resolve().relative_to(folder.resolve()).as_posix()
            assert (folder / target).is_file(), f"{name} leads to {link}"
            if target not in known:
                known.add(target)
                waiting.append(target)


def test_links_lead_from_the_index_to_every_file_and_nowhere_else(site: Path) -> None:
    assert set(reached(site)) == set(files(site))


def test_there_is_a_page_for_each_setting_defense_attack_and_cell(site: Path) -> None:
    names = set(files(site))
    cells = {(record.attack_label, record.defense_label) for record in made()}
    assert len([name for name in names if name.startswith("cells/")]) == len(cells)
    assert len([name for name in names if name.startswith("data/")]) == 1
    expected = {f"defenses/{record.defense}.html" for record in made()}
    expected |= {f"attacks/{record.attack}.html" for record in made()}
    assert {name for name in names if name.startswith(("defenses/", "attacks/"))} == {
        name for name in expected if "none" not in name
    }


def test_the_same_records_give_the_same_bytes_in_any_order_and_number(site: Path, tmp_path: Path) -> None:
    older = [changed(record, finished="2001-01-01T00:00:00+00:00", acc=0.999) for record in made()]
    newer = [changed(record, finished="2999-01-01T00:00:00+00:00", status="failed", reason="no") for record in made()]
    write_site([*reversed(made()), *older, *newer, *made()], tmp_path, About("Ours"), published=True)
    assert files(tmp_path) == files(site)


def test_a_site_takes_the_record_of_a_cell_that_a_report_takes() -> None:
    done, *others = made()[:3]
    again = [changed(done, finished=f"20{year}-01-01T00:00:00+00:00", acc=year / 100) for year in (10, 30, 20)]
    failed = changed(done, finished="2999-01-01T00:00:00+00:00", status="failed", reason="no")
    for some in (again, [failed, *again], [*reversed(again), failed], [failed, changed(failed, reason="why")]):
        shown = {record.key: record for record in contents([*others, *some]).records}[done.key]
        [taken] = once(some) if len(some) > 2 else [shown]
        assert shown == taken
        assert shown == {record.key: record for record in contents([*reversed(some), *others]).records}[done.key]


def test_a_site_shows_nothing_but_its_own_files_and_runs_nothing(site: Path) -> None:
    for name, data in files(site).items():
        if name.endswith(".html"):
            built = Page(data.decode())
            assert {tag for tag, _ in built.tags} <= TAGS
            assert {attribute for _, attrs in built.tags for attribute in attrs} <= ATTRIBUTES
            [policy] = [attrs["content"] for _, attrs in built.tags if "http-equiv" in attrs]
            assert policy.startswith("default-src 'none'")  # type: ignore[union-attr]
        elif name.endswith(".css"):
            assert not re.search(rb"url\(|@import", data)


def test_a_cell_has_a_page_with_every_field_of_its_record(site: Path) -> None:
    for record in made():
        key = (record.dataset_label, record.model_label, record.profile, record.recipe)
        seen = Page((site / addresses.of_cell(key, record.attack_label, record.defense_label)).read_text()).texts
        assert set(Record.model_fields) <= set(seen)
        assert seen[seen.index("key") + 1] == record.key
        assert f"seed {record.seed}: {record.status}" in seen
        assert float(seen[seen.index("acc") + 1]) == pytest.approx(record.acc, abs=1e-6)


def test_an_average_of_which_a_part_is_missing_comes_after_those_that_have_all() -> None:
    best = [changed(one, der=1.0) if one.defense == "bna" and one.attack != "none" else one for one in made()]
    fewer = [one for one in best if (one.attack, one.defense) != ("blend", "bna")]
    for records, place in ((best, 0), (fewer, -1)):
        [one] = contents(records).shown
        [rows] = [rows for _, rows in tables.matrix(one, "der").groups if "bna" in [row[0].text for row in rows]]
        assert len(rows) > 1
        assert rows[place][0].text == "bna"


def test_the_matrix_has_the_value_of_every_cell_and_leads_to_its_records() -> None:
    [one] = shown().shown
    for metric in tables.SHOWN:
        built = tables.matrix(one, metric)
        columns = [head.text.removesuffix(" †") for head in built.heads[1:]]
        rows = {row[0].text: row[1:] for _, group in built.groups for row in group}
        for record in made():
            name = "no defense" if record.defense == "none" else record.defense_label
            if record.status == "done" and name in rows and record.attack_label in columns:
                entry = rows[name][columns.index(record.attack_label)]
                assert float(entry.text) == pytest.approx(100 * getattr(record, metric), abs=0.051)
                assert entry.page == one.cell_page(record.attack_label, record.defense_label)


def test_the_best_average_comes_first_within_a_group_and_the_best_is_marked() -> None:
    [one] = shown().shown
    built = tables.matrix(one, "der")
    assert built.heads[-1].text == AVERAGE
    for _, rows in built.groups:
        values = [float(row[-1].text.split()[0]) for row in rows]
        assert values == sorted(values, reverse=True)
    bold = {
        (row[0].text, head.text)
        for _, rows in built.groups
        for row in rows
        for head, entry in zip(built.heads, row, strict=True)
        if "best" in entry.kind
    }
    assert bold == {(name, attack) for attack in one.block.row_names for name in one.block.best(attack)}
    assert bold


def test_results_that_failed_are_shown_with_their_reason() -> None:
    broken = changed(made()[0], status="failed", reason="LinAlgError: <b>did not converge</b>", key="f" * 32)
    built = dict(pages.written(contents([*made()[1:], broken]), About()))
    page = addresses.of_setting(broken.dataset_label, broken.model_label)
    assert "LinAlgError: <b>did not converge</b>" in Page(built[page]).texts
    assert "failed" in Page(built[page]).texts


def test_a_long_note_is_cut_on_the_page_and_whole_in_the_file(tmp_path: Path) -> None:
    noted = json.dumps({"noted": [0.123456] * 5000})
    long = changed(made()[0], diagnostics=noted)
    write_site([long], tmp_path)
    [page] = (tmp_path / "cells").iterdir()
    assert len(page.read_text()) < 20_000
    assert "the whole is in the file of records" in page.read_text()
    assert json.loads(json.loads((tmp_path / addresses.RECORDS).read_text())["diagnostics"]) == json.loads(noted)


@settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS, TEXTS, TEXTS)
def test_whatever_texts_records_have_they_are_only_shown(label: str, name: str, said: str) -> None:
    label, name, said = (f"<b onclick=x>{{{{ 1 }}}}\"'{text}" for text in (label, name, said))
    texts = dict.fromkeys(["attack_label", "defense_label", "dataset_label", "model_label", "recipe", "profile"], label)
    texts |= dict.fromkeys(["attack", "defense", "dataset", "model"], name)
    texts |= dict.fromkeys(["reason", "log", "victim_log", "device", "knowledge", "command", "commit"], said)
    texts |= {f"{kind}_params": json.dumps({said: said}) for kind in ("attack", "defense", "model")}
    odd = [changed(made()[0], **texts), changed(made()[1], **texts, status="failed")]
    built = dict(pages.written(contents(odd), About(label, "https://example.org", said, name)))
    for address, text in built.items():
        assert re.fullmatch(r"([a-z]+/)?[a-z0-9_.-]+\.(html|css)", address)
        if address.endswith(".html"):
            page = Page(text)
            assert {tag for tag, _ in page.tags} <= TAGS
            assert {attribute for _, attrs in page.tags for attribute in attrs} <= ATTRIBUTES
            assert all(
                link in {addresses.RECORDS, addresses.TABLE, addresses.CROISSANT} or link.removeprefix("../") in built
                for link in page.links
            )
    cell = next(text for address, text in built.items() if address.startswith("cells/"))
    assert printable(said).strip() in Page(cell).texts


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(TEXTS, min_size=3, max_size=3), st.lists(TEXTS, min_size=3, max_size=3))
def test_other_texts_have_another_address_and_none_leaves_its_folder(first: list[str], second: list[str]) -> None:
    built = [addresses.of_cell(texts[2:], *texts[:2]) for texts in (first, second)]
    assert all(re.fullmatch(r"cells/[a-z0-9][a-z0-9-]*\.html", one) for one in built)
    assert (built[0] == built[1]) is (first == second)
    assert re.fullmatch(r"attacks/[a-z0-9][a-z0-9_-]*\.html", addresses.of_attack(first[0]))


def test_plain_names_are_their_own_addresses() -> None:
    assert addresses.of_attack("badnets") == "attacks/badnets.html"
    assert addresses.of_defense("ft_sam") == "defenses/ft_sam.html"
    assert addresses.of_defense("FT_SAM") not in ("defenses/ft_sam.html", addresses.of_defense("ft-sam"))


def test_a_table_of_means_beside_records_of_the_same_setting_has_all_its_cells(tmp_path: Path) -> None:
    done = [record for record in made() if record.status == "done"]
    means = [changed(one, key=one.key[::-1], victim_key=one.victim_key[::-1], means_over=3) for one in done]
    few = [record for record in made() if record.defense in ("none", "bna")]
    both = contents([*few, *means])
    cells = [{(record.attack_label, record.defense_label) for record in some} for some in (few, done)]
    assert [set(one.block.by_cell) for one in both.shown] == cells
    assert all(one.block.left_out.empty for one in both.shown)
    assert len(both.settings) == 2
    assert set(both.defenses) == {record.defense for record in made()} - {"none"}
    write_site([*few, *means], tmp_path, About("Ours"))
    assert set(reached(tmp_path)) == set(files(tmp_path))
