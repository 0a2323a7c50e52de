"""Tables in LaTeX: what stands in which file, and how it is laid out; nothing here needs TeX."""

import re
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from latex_helpers import large, shown
from report_frames import ATTACKS, DEFENSES, HOSTILE, grid, one_attack, sections, with_logs

from bench.reports.blocks import METRICS as EVERY_METRIC
from bench.reports.sections import Section
from bench.reports.tables.latex import latex, latex_files
from bench.reports.tables.latex_floats import Paper
from bench.reports.tables.latex_grid import GAP, Grid, Group, Line, parts
from bench.reports.tables.latex_text import breaking, escape_latex, figure, ink, measured, with_below, wrapped

WORDS = r"textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar|allowbreak"
ACCENTS = r"""\\[`'^~"=.rcvuH] ?\{\\?[A-Za-z]\}"""
MATHS = r"\$(?:\^[23]|\^\\circ|-|\\[A-Za-z]+)\$|\\textsuperscript\{\\dag\}|\\(?:ss|ae|AE|oe|OE|o|O|aa|AA|l|L|i)\{\}"
MATHS += r"|\\(?:S|P|pounds|copyright|ldots)\{\}"


_OTHERS = re.compile(r"\\figbelow\{[\d.]+pt|\\pm [\d.]+|\\pm\$[\d.]+|\{[lr]+@|beta=1.0|rate=0.05")


def tabulars(text: str) -> list[str]:
    return [part.split(r"\end{tabular}")[0] for part in text.split(r"\begin{tabular}")[1:]]


def columns_of(row: str) -> int:
    """How many columns a row of LaTeX fills."""
    spans = sum(int(span) - 1 for span in re.findall(r"\\multicolumn\{(\d+)\}", row))
    return len(re.findall(r"(?<!\\)&", row)) + 1 + spans


def test_latex_escapes_what_it_must() -> None:
    assert escape_latex(r"50 % & _x_ #1 {a} $b$ \c ~^ <s>") == (
        r"50 \% \& \_x\_ \#1 \{a\} \$b\$ \textbackslash{}c \textasciitilde{}\textasciicircum{} "
        r"\textless{}s\textgreater{}"
    )
    assert escape_latex("é ï Ł β ≤ … 中\U0001f600") == (
        r"\'{e} \"{\i} \L{} $\beta$ $\leq$ \ldots{} {[}U+4E2D{]}{[}U+1F600{]}"
    )


@given(st.text())
@settings(max_examples=60)
def test_any_text_is_ascii_and_has_no_command_but_of_its_signs(text: str) -> None:
    for made in (escape_latex(text), breaking(text)):
        assert made.isascii()
        assert "\n" not in made
        rest = re.sub(rf"{ACCENTS}|{MATHS}|\\(?:{WORDS})\{{\}}|\\[&%$#_{{}}]|\{{[\[\]`]\}}|\{{\}}|~", "", made)
        assert not set(rest) & set(r"\{}%$#&_^~[]"), rest


@given(st.text(max_size=200), st.floats(20, 200))
@settings(max_examples=40)
def test_a_text_is_wrapped_in_lines_that_fit_and_loses_no_sign(text: str, width: float) -> None:
    lines = wrapped(text, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    for line in lines:
        assert measured(line) <= width + 0.1 or len(line) == 1


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=30),
    st.lists(st.text("ab _,", min_size=1, max_size=60), min_size=1, max_size=5),
    st.floats(196, 500),
)
@settings(max_examples=20)
def test_no_part_is_wider_than_asked_for_and_each_group_is_in_one(
    heads: list[int], stubs: list[str], width: float
) -> None:
    groups = [Group([f"H{k}" for k in range(count)], [f"group {at}"]) for at, count in enumerate(heads)]
    lines = [Line([stub], [[ink("98.5")] * count for count in heads]) for stub in stubs]
    made = parts(Grid(["Attack"], groups, lines), width)
    assert all(part.width <= width + 0.1 for part in made)
    found = [int(name) for part in made for name in re.findall(r"group (\d+)", part.heads[0])]
    assert list(dict.fromkeys(found)) == list(range(len(heads)))  # one that is too wide is cut in two


def test_figures_in_parts_are_spread_evenly() -> None:
    groups = [Group(["ACC", "ASR", "RA", "DER"], [f"d{k}"]) for k in range(9)]
    made = parts(Grid(["A"], groups, [Line(["x"], [[ink("98.5")] * 4] * 9)]), 300)
    assert [part.columns.count("r") // 4 for part in made] == [3, 3, 3]


@pytest.mark.parametrize("by_defense", [False, True])
@pytest.mark.parametrize("seeds", [1, 3])
def test_the_main_table_has_every_figure_once_in_rows_as_wide_as_their_table(seeds: int, by_defense: bool) -> None:
    [section] = shown(grid(seeds), by_defense=by_defense)
    text = latex_files([section])["tables/main.tex"]
    for part in tabulars(text):
        spec = re.match(r"\{@\{\}(l+r+)@\{\}\}", part)
        assert spec
        rows = [line for line in part.splitlines() if line.endswith(r"\\")]
        assert {columns_of(row) for row in rows} == {len(spec[1])}
        banners = len(section.block.groups) if by_defense else 0
        assert len(rows) == (len(DEFENSES) + 2 + banners if by_defense else 3 + len(ATTACKS) + 1)
    means = [figure.split("±")[0] for row in section.rows for cell in row.cells if cell.done for figure in cell.figures]
    printed = re.findall(r"(?<![\d.±])\d+\.\d(?![\d%])", _OTHERS.sub("", "".join(tabulars(text))))
    main = [value for value in printed if value in means]
    assert sorted(main) == sorted(value for value in means if value != "–")


@pytest.mark.parametrize("by_defense", [False, True])
@pytest.mark.parametrize("metric", EVERY_METRIC)
def test_a_table_of_one_metric_has_a_column_for_each_defense(metric: str, by_defense: bool) -> None:
    [section] = shown(grid(1), by_defense=by_defense, metrics=(metric,))
    spec = re.search(r"\{@\{\}(l+)(r+)@\{\}\}", latex_files([section])["tables/main.tex"])
    assert spec
    before = metric != "der"  # which an undefended network has not
    assert len(spec[2]) == (len(section.rows) if by_defense else len(section.block.defenses) + before)


def test_the_best_is_bold_and_the_second_best_underlined() -> None:
    [section] = sections(one_attack(a=0.9, b=0.8, c=0.7))
    cells = [replace(cell, second=cell.defense == "b") for cell in section.rows[0].cells]
    text = latex([replace(section, rows=[replace(section.rows[0], cells=cells)])])
    assert re.findall(r"\\textbf\{([^}]*)\}", text) == ["90.0"]
    assert re.findall(r"\\underline\{([^}]*)\}", text) == ["80.0"]


def test_each_float_is_a_file_with_a_caption_and_a_label_of_its_name() -> None:
    files = latex_files(sections(pd.concat([grid(1), with_logs()])))
    named = {name.removeprefix("tables/").removesuffix(".tex") for name in files if name.startswith("tables/")}
    assert named == {
        "main", "methods", "intervals", "differences", "ranks", "attacks", "detection", "detection-intervals",
        "identification", "cost",
        "unfinished", "messages",
    }  # fmt: skip
    for name in named:
        text = files[f"tables/{name}.tex"]
        assert text.count(rf"\label{{tab:{name}}}") == 1
        assert text.count(r"\caption[") >= 1
        assert r"\resizebox" not in text
        assert (rf"\input{{tables/{name}}}") in files["paper.tex"]
    together = [name for name in named if files[f"tables/{name}.tex"].split("\n", 1)[1] in files["table.tex"]]
    assert set(together) == named - {"methods", "intervals"}


def test_the_files_of_several_blocks_have_what_tells_their_figures_apart() -> None:
    one = one_attack(a=0.9, b=0.8)
    files = latex_files(sections(pd.concat([one, one.assign(dataset_label="cifar10", dataset="cifar10")])))
    assert {
        "tables/main-1-cifar10-resnet18-width-16-quick.tex",
        "tables/main-2-mnist5k-resnet18-width-16-quick.tex",
    } <= set(files)
    assert r"\label{tab:main-1-cifar10-resnet18-width-16-quick}" in files["table.tex"]


def test_what_no_page_can_hold_is_a_longtable_with_heads_on_every_page() -> None:
    one = one_attack(a=0.9, b=0.8)
    many = [one.assign(attack=f"x{k}", attack_label=f"x{k}") for k in range(60)]
    text = latex_files(sections(pd.concat(many)))["tables/main.tex"]
    assert r"\begin{table" not in text
    assert text.count(r"\endfirsthead") == text.count(r"\endhead") == text.count(r"\begin{longtable}") > 0
    assert sum(line.startswith("x59 &") for line in text.splitlines()) == text.count(r"\begin{longtable}")
    assert latex_files(sections(one))["tables/main.tex"].count("longtable") == 1  # in the comment


def test_a_table_that_is_too_high_for_a_page_goes_on_the_next() -> None:
    text = latex_files(shown(large()))["tables/main.tex"]
    floats = text.split(r"\begin{table")[1:]
    assert len(floats) > 1
    assert all(", continued." in one for one in floats[1:])
    assert text.count("WaNet &") == len(tabulars(text)) >= 3


def test_intervals_are_a_table_of_their_own_where_there_are_any() -> None:
    [section] = shown(grid(1), intervals=True)
    stat = section.block.cells["blend", "bna"].stat("acc")
    text = latex_files([section])["tables/intervals.tex"]
    assert f"{100 * stat.low:.1f}--{100 * stat.high:.1f}" in text
    unknown = one_attack(a=0.9, b=0.8).drop(columns=["n_test", "n_triggered"], errors="ignore")
    assert "tables/intervals.tex" not in latex_files(shown(unknown))


def test_what_the_plugins_said_and_what_is_not_done_are_tables_whose_lines_break() -> None:
    files = latex_files(sections(with_logs()))
    said = files["tables/messages.tex"]
    assert r"Blended & a & 0, 2 & left as it is \\" in said.splitlines()
    assert r"\textless{}script\textgreater{}alert(1)" in said
    assert "tables/messages.tex" not in latex_files(sections(with_logs().drop(columns="log")))
    assert "stopped after 60 s" in latex_files(sections(grid(1)))["tables/unfinished.tex"]


def test_no_text_from_outside_brings_a_command() -> None:
    def commands(made: list[Section]) -> set[str]:
        return set(re.findall(r"\\[a-zA-Z]+", "".join(latex_files(made).values()).replace(r"\\", "")))

    hostile = grid(1).assign(model_label=HOSTILE, knowledge=HOSTILE, reason=HOSTILE, log=HOSTILE)
    hostile.loc[hostile["attack"] == "sig", "attack_label"] = HOSTILE + r"\input{x}"
    layout = {r"\vtop", r"\hbox", r"\strut", r"\shortstack", r"\newline", *(rf"\{word}" for word in WORDS.split("|"))}
    layout |= {r"\csname", r"\endcsname", r"\onecolumn", r"\twocolumn", r"\goback", r"\def", r"\else", r"\fi", r"\par"}
    layout |= {r"\LTcapwidth", r"\endfirsthead", r"\endhead", r"\endfoot", r"\noindent", r"\ldots", r"\tiny"}
    assert commands(sections(hostile)) <= commands(sections(grid(1))) | layout


def test_a_spread_is_an_index_or_below() -> None:
    assert figure("98.5±0.3").tex == r"98.5$_{\pm 0.3}$"
    assert figure("98.5±0.3", best=True, tally="2/3").tex == r"\textbf{98.5}$_{\pm 0.3}$~{\tiny(2/3)}"
    below = figure("98.5±0.3", below=True)
    assert below.lines == 2
    assert below.width < figure("98.5±0.3").width
    assert with_below(ink("98.5"), "0.3").width >= measured("98.5")
    assert GAP > 0


def test_tables_are_as_wide_as_the_paper_and_over_all_its_columns_only_where_one_is_too_narrow() -> None:
    made = shown(large())
    narrow, usual, wide = (latex_files(made, Paper.of(*given)) for given in ((8, 1), (None, None), (30, 1)))
    counts = [len(tabulars(files["tables/main.tex"])) for files in (narrow, usual, wide)]
    assert counts == sorted(set(counts), reverse=True)
    for files in (narrow, wide, latex_files(made, Paper.of(None, 1))):
        assert not any("{table*}" in text for text in files.values())
    columns = latex_files(made, Paper.of(30, 2))
    assert "{table*}" in columns["tables/main.tex"]
    assert r"\begin{table}" in columns["tables/cost.tex"]
    assert r"\setlength{\textwidth}{853.58pt}" in columns["paper.tex"]
    assert r"\textwidth" not in usual["paper.tex"]
