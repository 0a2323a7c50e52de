"""The published figures that come with the package: their schema, their bounds, and whom they name."""

import csv
import re
import tomllib
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.reports.published import METRICS, Published, family, published_cells, read

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "docs" / "published").glob("*.csv"))
KINDS = {"dataset": "datasets", "architecture": "models", "attack": "attacks", "defense": "defenses"}
ENTRIES = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
GOOD = dict.fromkeys(Published.model_fields, "") | {
    "source": "Someone, 2030", "table": "Table 1", "certainty": "firm", "acc": "91.5", "attack": "badnets",
    **{f"{kind}_as_published": "its name" for kind in KINDS},
}  # fmt: skip
WRONG = {
    "acc": ["100.1", "-1", "nan", "inf", "high"],
    "poisoning_rate": ["0", "1.5", "10 %"],
    "certainty": ["", "sure"],
    "label_map": ["one"],
    "reference_from": ["validation"],
    "attack_settings": ["alpha", "alpha=", "=1", "alpha=1, beta=2"],
    "arxiv": ["2304"],
    "source": [""],
    "attack": ["bad nets"],
    "note": ["\x1b[31m"],
    "unknown": ["column"],
}


def lines(**changed: str) -> list[str]:
    row = GOOD | changed
    return [",".join(row), ",".join(f'"{value}"' for value in row.values())]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_file_has_the_same_columns_and_only_cells_that_are_well_formed(file: Path) -> None:
    with file.open(newline="") as opened:
        assert next(csv.reader(opened)) == list(Published.model_fields)
    cells = read(file.read_text().splitlines(), file.name)
    assert cells
    assert all(count == 1 for count in Counter(cell.model_dump_json() for cell in cells).values())


def test_the_package_holds_the_cells_of_every_file() -> None:
    expected = [cell for file in FILES for cell in read(file.read_text().splitlines(), file.name)]
    assert list(published_cells()) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_whom_a_cell_names_is_built_in_and_who_is_built_in_is_named(kind: str) -> None:
    built_in = set(ENTRIES[f"bench.{KINDS[kind]}"])
    for cell in published_cells():
        name = getattr(cell, kind)
        assert name in {"", *built_in}, cell
        if not name:
            spelled = re.sub(r"\W", "", getattr(cell, f"{kind}_as_published").lower())
            assert spelled not in {one.replace("_", "") for one in built_in}, f"{spelled} is built in"


def test_settings_are_parameters_of_the_plugin() -> None:
    for kind in ("attack", "defense"):
        for cell in published_cells():
            if settings := getattr(cell, f"{kind}_settings"):
                module, _, name = ENTRIES[f"bench.{KINDS[kind]}"][getattr(cell, kind)].partition(":")
                assert set(settings) <= set(getattr(import_module(module), name).model_fields), cell


def test_a_published_der_follows_from_the_published_acc_and_asr() -> None:
    """An independent check of what was copied: the formula of Zhu et al., eq. 7, up to rounding."""
    before = {
        (cell.source, cell.table, cell.attack_as_published): cell
        for cell in published_cells()
        if cell.defense == "none"
    }
    with_der = [cell for cell in published_cells() if cell.der is not None]
    assert with_der
    for cell in with_der:
        bare = before[cell.source, cell.table, cell.attack_as_published]
        acc, asr, acc_before, asr_before = (float(value or 0) for value in (cell.acc, cell.asr, bare.acc, bare.asr))
        expected = (max(0, asr_before - asr) - max(0, acc_before - acc) + 100) / 2
        assert cell.der == pytest.approx(expected, abs=0.11), cell


def test_the_page_on_published_figures_counts_each_file() -> None:
    text = (ROOT / "docs" / "published" / "README.md").read_text()
    for file in FILES:
        [row] = [line for line in text.splitlines() if line.startswith(f"| [{file.name}]")]
        assert re.match(r"\d+", row.split("|")[3].strip())[0] == str(len(file.read_text().splitlines()) - 1)  # type: ignore[index]
    for name in Published.model_fields:
        assert f"`{name}`" in text or name.endswith("_as_published")


@pytest.mark.parametrize(("column", "text"), [(column, text) for column, texts in WRONG.items() for text in texts])
def test_a_wrong_cell_is_refused_in_one_line_that_says_where(column: str, text: str) -> None:
    assert read(lines(), "own.csv")
    with pytest.raises(ValueError, match=r"^own\.csv, line 2: [^\n]*$"):
        read(lines(**{column: text}), "own.csv")


def test_a_cell_without_any_figure_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no figure; expected one of acc, asr"):
        read(lines(acc=""), "own.csv")


@given(st.dictionaries(st.sampled_from([*GOOD]), st.text("a1 .=;/\x1b\u202e\n", max_size=8) | st.floats().map(str)))
def test_whatever_a_file_holds_a_cell_is_within_bounds(changed: dict[str, Any]) -> None:
    text = GOOD | changed
    try:
        cell = Published.model_validate(text)
    except ValueError:
        return
    figures = [getattr(cell, metric) for metric in METRICS]
    assert all(value is None or 0 <= value <= 100 for value in figures)
    assert (cell.source + cell.table + cell.note).isprintable()


def test_one_family_is_one_network_with_its_layers_in_another_order() -> None:
    assert family("preact_resnet18") == family("resnet18") == "resnet18"
    assert family("resnet50") != family("resnet18")
