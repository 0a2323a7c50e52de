"""Tables as TeX sets them: every text compiles, and nothing is wider than the page, in one column and in two."""

from pathlib import Path

import pandas as pd
import pytest
from latex_helpers import ENGINES, compiled, large, missing, shown, written
from report_frames import HOSTILE, grid, sections, with_logs

from bench.reports.tables.latex_floats import Paper

SIGNS = "中文 ✓ ★ ☂ \U0001f600 é ñ Ł ß Å ő ǧ ﬁ Жук α β Ω ∑ … “q” ‘s’ — – ± × ≤ ™ € § °C µm ²\u0301 a\u0330"
ENDLESS = "x" * 300
TEX = r"\input{/etc/passwd}\write18{id} % $x$ ^^5c ~ # & _ { } [1] a--b ``''\\ \end{table*}\csname\endinput ?`!`"


def odd(text: str) -> pd.DataFrame:
    """Records that have ``text`` wherever a table shows one from outside."""
    frame = pd.concat([grid(1), with_logs()], ignore_index=True)
    frame["log"] = text
    columns = ["model_label", "knowledge", "reason", "log"]
    frame.loc[frame["attack"] == "sig", columns] = text
    frame["class_names"] = f'["{text[:30].encode("unicode_escape").decode("ascii").replace(chr(92), "/")}"]'
    frame.loc[frame["attack"] == "sig", "attack_label"] = text
    frame.loc[frame["defense"] == "bna", "defense_label"] = text
    frame["titles"] = "{}"
    return frame


def paper_of(kind: str, folder: Path) -> None:
    made = {
        "8 x 10": lambda: shown(large()),
        "8 x 10, defenses as rows": lambda: shown(large(), by_defense=True),
        "8 x 10, three seeds": lambda: shown(large(3)),
        "8 x 10, intervals": lambda: shown(large(3), by_defense=True, intervals=True),
        "long": lambda: shown(long()),
        "odd signs": lambda: sections(odd(SIGNS)),
        "endless words": lambda: sections(odd(ENDLESS)),
        "commands": lambda: sections(odd(TEX + HOSTILE)),
    }[kind]()
    files = written(made, folder)
    if kind.endswith("intervals"):
        paper = files["paper.tex"].replace("% \\input", "\\input")
        (folder / "paper.tex").write_text(paper)
    text = (folder / "paper.tex").read_text()
    for option in ("twocolumn", "12pt"):
        (folder / f"{option}.tex").write_text(text.replace(r"\documentclass", rf"\documentclass[{option}]"))
    head = r"\documentclass{article}\usepackage{booktabs,longtable}\begin{document}"
    (folder / "all.tex").write_text(f"{head}\n\\input{{table}}\n\\end{{document}}\n")


def long() -> pd.DataFrame:
    """More attacks than a page has lines."""
    one = large()[lambda rows: rows["attack"].isin(["blend", "sig"]) & rows["defense"].isin(["none", "bna", "fire"])]
    named = [one.assign(attack=f"a{k}", attack_label=one["attack_label"] + f"[delta={k}]") for k in range(40)]
    return pd.concat(named, ignore_index=True)


KINDS = ["8 x 10", "8 x 10, defenses as rows", "8 x 10, three seeds", "8 x 10, intervals", "long", "odd signs"]
KINDS += ["endless words", "commands"]


@pytest.mark.skipif(missing("pdflatex"), reason="no pdflatex here")
def test_a_report_with_odd_texts_compiles(tmp_path: Path) -> None:
    frame = odd(TEX + SIGNS)
    written(sections(frame[frame["attack"].isin(["none", "sig", "blend"])]), tmp_path)
    assert compiled("pdflatex", tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_too_wide_in_one_column_or_two(kind: str, engine: str, tmp_path: Path) -> None:
    if missing(engine):
        pytest.skip(f"no {engine} here")
    paper_of(kind, tmp_path)
    for paper in ("paper.tex", "twocolumn.tex", "12pt.tex", "all.tex"):
        assert compiled(engine, tmp_path, paper) == [], paper


@pytest.mark.slow
@pytest.mark.parametrize(("width", "columns"), [(7, 1), (17.8, 2)])
def test_nothing_is_wider_than_the_text_that_is_asked_for(width: float, columns: int, tmp_path: Path) -> None:
    if missing("pdflatex"):
        pytest.skip("no pdflatex here")
    written(shown(large(3), by_defense=True), tmp_path, Paper.of(width, columns))
    paper = (tmp_path / "paper.tex").read_text()
    option = "twocolumn" if columns == 2 else "onecolumn"
    (tmp_path / "paper.tex").write_text(paper.replace(r"\documentclass", rf"\documentclass[{option}]"))
    assert compiled("pdflatex", tmp_path) == []
