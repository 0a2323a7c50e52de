"""Tables in LaTeX."""

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from report_frames import ATTACKS, DEFENSES, HOSTILE, grid, sections, with_logs

from bench.reports.tables.latex import escape_latex, latex


def test_latex_escapes_what_it_must() -> None:
    assert escape_latex(r"50 % & _x_ #1 {a} $b$ \c ~^ <s>") == (
        r"50 \% \& \_x\_ \#1 \{a\} \$b\$ \textbackslash{}c \textasciitilde{}\textasciicircum{} "
        r"\textless{}s\textgreater{}"
    )


@pytest.mark.parametrize(("seeds", "widths"), [(1, [1 + 4 + 3 * 5, 1 + 5]), (3, [1 + 4 + 2 * 5, 1 + 2 * 5])])
def test_the_latex_rows_are_as_wide_as_their_table(seeds: int, widths: list[int]) -> None:
    text = latex(sections(grid(seeds)))
    *parts, attacks, detection, identification, costs = text.split(r"\begin{tabular}")[1:]
    assert {row.count("&") for row in detection.splitlines() if row.endswith(r"\\")} == {6}
    assert {row.count("&") for row in identification.splitlines() if row.endswith(r"\\")} == {2}
    assert attacks.count("&") == (len(ATTACKS) - 1 + 1) * 10  # eleven columns, no line for the control
    assert costs.count("&") == (len(DEFENSES) - 1 + 1) * 5 + text.count(r"\&")
    for part, width in zip(parts, widths, strict=True):
        assert part.startswith(f"{{l{'r' * (width - 1)}}}")
        rows = [line for line in part.splitlines() if line.endswith(r"\\")]
        assert len(rows) == 3 + len(ATTACKS) + 1
        for row in rows:
            spans = [int(span) - 1 for span in re.findall(r"\\multicolumn\{(\d+)\}", row)]
            assert len(re.findall(r"(?<!\\)&", row)) + 1 + sum(spans) == width, row
    assert text.count(r"\textbf{") == 4 + (seeds == 1)  # each attack but none; of three seeds tac alone has all


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_compiles(tmp_path: Path) -> None:
    frame = pd.concat([grid(3), with_logs()]).assign(model_label=HOSTILE)
    text = latex(sections(frame))
    head = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}"
    (tmp_path / "paper.tex").write_text(f"{head}\n{text}\n\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_a_table_that_is_too_high_for_a_page_goes_on_the_next() -> None:
    one = grid(1)
    many = pd.concat([one.assign(defense=f"{name}{k}", defense_label=f"{name}{k}") for k, name in enumerate("abcdef")])
    attacks = [f"attack{k}" for k in range(20)]
    many = pd.concat([many.assign(attack=name, attack_label=name) for name in attacks])
    text = latex(sections(many))
    tables = [part.split(r"\end{table*}")[0] for part in text.split(r"\begin{table*}")[1:]]
    assert len(tables) > 1
    assert all(table.count("attack19") <= 3 for table in tables)
    assert ", continued." in tables[1]
    assert sum(table.count("attack19 ") for table in tables) >= 2


def test_what_the_plugins_said_is_a_table_whose_last_column_breaks_its_lines() -> None:
    text = latex(sections(with_logs()))
    *_, said = text.split(r"\begin{table}")
    assert "Said by the plugins" in said
    assert r"\begin{tabular}{lllp{.6\linewidth}}" in said
    assert r"blend & a & 0, 2 & left as it is \\" in said.splitlines()
    assert rf"blend & a & 2 & {escape_latex(HOSTILE)} \\" in said.splitlines()
    assert "Said by" not in latex(sections(with_logs().drop(columns="log")))
