"""Whichever metrics are chosen, and in whichever order: in every format each figure stands under its own head."""

import csv as standard_csv
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from io import StringIO
from itertools import product

import pandas as pd
import pytest
from report_frames import printed, record

from bench.reports import terminal_table
from bench.reports.blocks import Block, blocks
from bench.reports.chosen import Shown
from bench.reports.records import HEADS, METRICS
from bench.reports.sections import section
from bench.reports.tables.csv import csv
from bench.reports.tables.latex import latex_files
from bench.reports.tables.markdown import markdown
from bench.reports.tables.page import page

FIRST = {"acc": "9", "acc_target": "8", "asr": "3", "ra": "6", "der": "7"}  # the digit by which a figure is known
OF_HEAD = {HEADS[metric]: digit for metric, digit in FIRST.items()}
CHOICES = [("der", "asr"), ("asr",), ("ra", "acc_target", "acc"), ("acc", "der", "ra"), tuple(reversed(METRICS))]
Placed = Iterable[tuple[str, str]]
"""A head, and the text of a figure that stands under it."""


@cache
def frame() -> pd.DataFrame:
    """Two attacks, two defenses, two seeds, of which one cell lacks one; every metric has its own first digit."""
    rows = []
    for attack, (place, defense), seed in product(("sig", "wanet"), enumerate(("none", "one", "two")), (0, 1)):
        values = {metric: float(f"0.{digit}5{place + seed}") for metric, digit in FIRST.items()}
        values |= {f"{metric}_before": float(f"0.{digit}5{seed}") for metric, digit in FIRST.items() if metric != "der"}
        broken = {"status": "failed"} if (attack, defense, seed) == ("sig", "two", 1) else {}
        rows.append(record(attack, "bna", seed, **values, **broken) | {"defense": defense, "defense_label": defense})
    return pd.DataFrame(rows)


@cache
def block() -> Block:
    [one] = blocks(frame())
    return one


def in_markdown(chosen: Block) -> Placed:
    lines = [line for line in markdown([section(chosen)]).splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    heads = rows[0]
    for row in rows[2:]:
        if len(row) != len(heads) or "---" in row[0]:
            return
        yield from zip(heads, row, strict=True)


def in_latex(chosen: Block) -> Placed:
    text = latex_files([section(chosen)])["tables/main.tex"]
    for part in text.split(r"\toprule")[1:]:
        above, _, below = part.partition(r"\midrule")
        heads = re.split(r" & ", re.sub(r" ?\\\\$", "", above.strip().splitlines()[-1]))
        for line in below.partition(r"\bottomrule")[0].splitlines():
            cells = line.removesuffix(r" \\").split(" & ")
            if len(cells) == len(heads) and r"\multicolumn" not in line:
                yield from (
                    (head, re.sub(r"\\\w+|[{}*]|\d+(\.\d+)?pt", "", cell))
                    for head, cell in zip(heads, cells, strict=True)
                )


def in_csv(chosen: Block) -> Placed:
    heads, *lines = standard_csv.reader(StringIO(csv([chosen])))
    shown = {f"{metric}_mean": head for metric, head in HEADS.items()}
    for line in lines:
        yield from (
            (shown[name], text.removeprefix("0.")) for name, text in zip(heads, line, strict=True) if name in shown
        )


def in_terminal(chosen: Block) -> Placed:
    for width in (300, 60):
        lines = printed(terminal_table(frame(), width, shown=Shown(metrics=chosen.metrics)), width)
        heads: list[str] = []
        for line in lines[: lines.index(next(line for line in lines if line.startswith("In %")))]:
            found = re.findall(r"ACC\(t\)|ACC|ASR|DER|RA", line)
            figures = re.findall(r"(?<!±)\b\d\d\.\d|–", line)
            if found:
                heads = found
            elif figures:
                assert len(figures) == len(heads)
                yield from zip(heads, figures, strict=True)


def in_page(chosen: Block) -> Placed:
    text = page([section(chosen)], [[]], [[]], lambda path: b"")
    for table in re.findall(r"<table class=\"(?:long|matrix).*?</table>", text, re.DOTALL):
        rows = [re.findall(r"<t[hd]([^>]*)>(.*?)</t[hd]>", row, re.DOTALL) for row in table.split("<tr")[1:]]
        plain = [[(kind, re.sub("<[^>]+>", "", cell).strip()) for kind, cell in row] for row in rows]
        [metric] = re.findall(r"<span>(\S+) in %, defenses by attacks", table) or [""]
        for row in plain[1:]:
            for (_, head), (kind, cell) in zip(plain[0], row, strict=True):
                if 'class="n' in kind:
                    yield metric or head, cell


def in_side_tables(chosen: Block) -> Placed:
    for table in section(chosen).side_tables:
        if table.title.startswith("95 % intervals"):
            for line in table.lines:
                yield from ((head, _middle(text)) for head, text in zip(table.heads, line, strict=True))


def _middle(text: str) -> str:
    """The middle of an interval, where the figure lies; what has no ends stays."""
    ends = re.findall(r"\d+\.\d", text)
    return f"{sum(map(float, ends)) / 2:.1f}" if len(ends) == 2 else text


FORMATS = [in_markdown, in_latex, in_csv, in_terminal, in_page, in_side_tables]


@pytest.mark.parametrize("placed", FORMATS, ids=lambda placed: placed.__name__)
def test_whichever_metrics_are_shown_each_figure_stands_under_its_head(placed: Callable[[Block], Placed]) -> None:
    for number, metrics in enumerate(CHOICES):
        chosen = replace(block(), metrics=metrics, defenses_as_rows=number % 2 == 1)
        found = [(head, text.strip("*[")) for head, text in placed(chosen) if head in OF_HEAD]
        assert not [one for one in found if one[1] and one[1][0] not in (OF_HEAD[one[0]], "–", "-")]
        assert {head for head, text in found if text[:1] == OF_HEAD[head]} >= set(chosen.heads)
