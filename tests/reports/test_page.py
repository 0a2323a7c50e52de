"""The HTML page."""

import json
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from report_frames import HOSTILE, grid, one_attack, sections, small, with_logs
from report_pages import Page, made, png

from bench.reports.blocks import Block, blocks
from bench.reports.page.grids import SHADES
from bench.reports.page.grids import grid as laid_out
from bench.reports.sections import section as made_section
from bench.reports.tables.csv import csv
from bench.reports.tables.markdown import markdown
from bench.reports.tables.page import page

FIGURES = [("figures/overview.png", "All: of it"), ("figures/b.png", "B"), ("figures/c.png", "C")]


def between(text: str, start: str, end: str) -> str:
    return text.split(start, 1)[1].split(end, 1)[0]


def rows_of(text: str) -> list[list[str]]:
    """The texts of the fields of each row of a table's body."""
    rows = re.findall("<tr.*?</tr>", text.split("</thead>")[1], re.DOTALL)
    return [
        ["".join(Page(field).seen).strip() for field in re.findall("<t[hd].*?</t[hd]>", row, re.DOTALL)] for row in rows
    ]


def test_the_page_is_well_formed_shows_reasons_as_text_and_every_link_leads_somewhere(
    report: tuple[Path, list[Path]],
) -> None:
    written = Page((report[0] / "index.html").read_text())
    assert not written.open
    assert HOSTILE in written.seen
    text = " ".join(written.seen)
    for expected in ["stopped after 60 s", "LinAlgError", "0123abc", "torch 2.11.0", "200 clean + 64 suspected", "n/a"]:
        assert expected in text
    links = [attrs["href"] or "" for tag, attrs in written.tags if tag == "a"]
    ids = {attrs.get("id") for _, attrs in written.tags}
    assert {link[1:] for link in links if link.startswith("#")} <= ids
    files = [link for link in links if not link.startswith("#")]
    assert len(files) == 4 + len(list((report[0] / "figures").glob("*.png")))
    assert all((report[0] / link).is_file() for link in files)


def test_the_page_holds_all_that_it_shows(report: tuple[Path, list[Path]]) -> None:
    text = (report[0] / "index.html").read_text()
    tags = Page(text).tags
    sources = [attrs["src"] or "" for _, attrs in tags if "src" in attrs]
    drawings = [attrs for tag, attrs in tags if tag == "svg"]
    assert len(sources) + len(drawings) == len(list((report[0] / "figures").glob("*.png")))
    assert len(sources) == 1  # the photographs
    assert all(source.startswith("data:image/") for source in sources)
    assert not re.search(r"https?:|url\((?!#)|@import|<link|<iframe|<object", text)
    assert "default-src 'none'; img-src data:" in text


def test_the_only_script_is_the_one_that_the_policy_names() -> None:
    import base64
    import hashlib

    text = made(small())
    [script] = Page(text).scripts
    named = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{named}'" in text
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", script)


def test_the_matrices_come_before_the_folded_lines_and_show_what_the_block_holds() -> None:
    [section] = sections(grid(3))
    block = section.block
    text = page([section], [FIGURES], [[]], lambda path: png())
    order = ["figures/overview.png<", 'class="matrix', "<details>", 'class="long"', "figures/b.png<"]
    assert sorted(order, key=text.index) == order
    for number, metric in enumerate(block.metrics):
        head, *rows = rows_of(between(text, f'class="view scroll m{number}"', "</table>"))
        assert head[0] == "no defense"
        assert [row[0] for row in rows] == block.defenses
        for row, defense in zip(rows, block.defenses, strict=True):
            for shown, attack in zip(row[2:], ["Average", *block.attacks], strict=True):
                mean = block.cells[attack, defense].stat(metric).mean
                assert not shown[0].isdigit() if mean != mean else shown.startswith(f"{100 * mean:.1f}")
    assert text.count(" checked ") == 1


def test_every_pair_has_a_line_and_the_best_is_marked_where_it_is_best() -> None:
    frame = grid(3)
    before = ["acc_before", "asr_before", "ra_before"]
    failed = frame[frame["attack"] == "sig"].assign(attack_label="trojan", status="failed", **dict.fromkeys(before))
    [section] = sections(pd.concat([frame, failed]))
    block = section.block
    text = page([section], [[]], [[]], lambda path: png())
    rows = rows_of(between(text, '<table class="long"', "</table>"))
    assert len(rows) == len(section.rows) * (len(block.defenses) + 1)
    assert {len(row) for row in rows} == {3 + len(block.metrics)}
    best = {(row.heading, cell.defense) for row in section.rows for cell in row.cells if cell.best}
    assert best
    assert {(row[0], row[1]) for row in rows if row[-1].split("±")[0].endswith("*")} == best
    matrix = between(text, f'class="view scroll m{block.metrics.index("der")}"', "</table>")
    assert matrix.count('class="best"') == len(best)
    assert text.count('class="best"') == 2 * len(best)  # nowhere else
    assert matrix.count("(2/3)") == 1


def changed(block: Block, **values: float) -> Block:
    """The block with these values in every Stat."""
    cells = {key: replace(cell, stats={name: replace(stat, **values) for name, stat in cell.stats.items()})
             for key, cell in block.cells.items()}  # fmt: skip
    return replace(block, cells=cells)


def test_an_interval_is_a_title_in_a_matrix_and_a_line_in_the_long_form() -> None:
    [section] = sections(one_attack(a=0.9, b=0.8))
    text = page([replace(section, block=changed(section.block, low=0.1234, high=0.4567))], [[]], [[]], lambda _: png())
    assert 'title="95 % interval: 12.3 to 45.7"' in between(text, 'class="matrix"', "</table>")
    assert "<small>12.3 to 45.7</small>" in between(text, 'class="long"', "</table>")
    nan = float("nan")
    text = page([replace(section, block=changed(section.block, low=nan, high=nan))], [[]], [[]], lambda _: png())
    assert "interval: nan" not in text
    assert text.count("% interval:") < made(one_attack(a=0.9, b=0.8)).count("% interval:")


def test_the_second_best_is_underlined_and_only_its_der() -> None:
    [section] = sections(one_attack(a=0.9, b=0.8, c=0.7))
    rows = [
        replace(row, cells=[replace(cell, second=cell.defense == "b") for cell in row.cells]) for row in section.rows
    ]
    text = page([replace(section, rows=rows)], [[]], [[]], lambda path: png())
    assert re.findall("<u .*?</u>", text) == ['<u class="second">80.0</u>'] * 2


def test_metrics_that_are_not_asked_for_are_not_shown_and_lines_stand_by_defense_where_they_are_rows() -> None:
    [section] = sections(one_attack(a=0.9, b=0.8).assign(asr=0.25))
    block = replace(section.block, metrics=("asr", "acc"), defenses_as_rows=True)
    own = replace(section.rows[0], cells=[replace(cell, figures=["25.0", "97.0"]) for cell in section.rows[0].cells])
    made = laid_out(block, [own, own])
    assert [(matrix.head, matrix.first) for matrix in made.matrices] == [("ASR", True), ("ACC", False)]
    assert [line.name for line in made.pairs] == ["no defense", "no defense", "a", "a", "b", "b"]
    assert {tuple(field.mean for field in line.fields) for line in made.pairs} == {("25.0", "97.0")}


def test_every_format_of_pairs_stands_by_what_its_rows_are() -> None:
    frame = one_attack(a=0.9, b=0.8)
    frame = pd.concat([frame, frame.assign(attack="sig", attack_label="sig", victim_key="sig")])
    block = blocks(frame)[0]
    read = {"page": _in_page, "markdown": _in_markdown, "csv": _in_csv}
    for by_defense in (False, True):
        own = replace(block, defenses_as_rows=by_defense)
        for name, pairs in read.items():
            leading = [pair[by_defense] for pair in pairs(own)]
            assert leading == sorted(leading, key=leading.index), name  # each once, and its lines together
            assert len(set(leading)) > 1, name


def _in_page(block: Block) -> list[tuple[str, str]]:
    text = page([made_section(block)], [[]], [[]], lambda path: png())
    lines = rows_of(between(text, '<table class="long"', "</table>").split('class="avg"')[0])
    return [(line[2], line[0]) if block.defenses_as_rows else (line[0], line[1]) for line in lines]


def _in_markdown(block: Block) -> list[tuple[str, str]]:
    results = markdown([made_section(block)]).split("\n\n")[1].splitlines()
    heads, _, *lines = ([part.strip() for part in line.strip("|").split("|")] for line in results)
    return [(line[heads.index("attack")], line[heads.index("defense")]) for line in lines]


def _in_csv(block: Block) -> list[tuple[str, str]]:
    return list(pd.read_csv(StringIO(csv([block])))[["attack", "defense"]].itertuples(index=False, name=None))


@pytest.mark.parametrize(
    ("metric", "value", "shade"),
    [("der", 0.5, 0), ("der", 0.2, 0), ("der", 1.0, SHADES), ("asr", 1.0, 0), ("asr", 0.0, SHADES), ("acc", 0.9, 9)],
)
def test_darker_is_better(metric: str, value: float, shade: int) -> None:
    [section] = sections(one_attack(a=0.9, b=0.8).assign(**{metric: value}))
    for matrix in laid_out(section.block, section.rows).matrices:
        if matrix.head.lower() == metric:
            assert [line.fields[0].shade for line in matrix.lines] == [shade, shade]


def test_each_data_set_has_its_own_classes_gallery_and_command_lines() -> None:
    names = [f"sort {number}" for number in range(43)]
    one = small().assign(class_names=json.dumps(names), command="bench run --seeds 1")
    other = small().assign(dataset_label="other", class_names=json.dumps(["day", "night"]), command="bench run <x>")
    own = sections(pd.concat([one, other]))
    text = page(own, [[], []], [[("figures/g1.png", "G1")], [("figures/g2.png", "G2")]], lambda path: png())
    first, second = text.split("<section")[1:]
    assert [f"<li>{name}</li>" in first for name in [*names, "night"]] == [True] * 43 + [False]
    assert "<li>night</li>" in second
    assert "figures/g1.png" in first
    assert "figures/g1.png" not in second
    assert "<code>bench run --seeds 1</code>" in first
    assert "<code>bench run &lt;x&gt;</code>" in second


def test_the_page_is_dated_by_its_newest_result() -> None:
    frame = small()
    frame.loc[frame.index[2], "finished"] = "2027-03-04T05:06:07+00:00"
    assert "<time>2027-03-04T05:06:07+00:00</time>" in made(frame)
    assert "<time>" not in made(frame.drop(columns="finished"))


def test_what_the_plugins_said_stands_on_the_page() -> None:
    text = made(with_logs())
    said = Page(between(text, ">Said by the plugins</h3>", "</details>").split("</summary>")[1]).seen
    assert [data for data in said if data.strip()] == [
        "attack", "defense", "seeds", "text", "blend", "a", "0, 2", "left as it is", "blend", "a", "2", HOSTILE,
    ]  # fmt: skip
    assert "Said by" not in made(with_logs().drop(columns="log"))
