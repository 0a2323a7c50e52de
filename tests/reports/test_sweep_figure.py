"""The figure of a sweep, and its numbers: on the page, in files, and refused where there is nothing to show."""

from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from sweep_frames import swept, trial

from bench.reports import UnknownFigure, write_report
from bench.reports.blocks import blocks
from bench.reports.figures.style import rendered, styled
from bench.reports.figures.sweep import sweep_figure

BETAS = (0.1, 1, 0.3)


def rows(attack: str = "sig", **more: object) -> list[dict[str, object]]:
    return [trial(attack, "tac", seed, told={"beta": b, **more}) for b in BETAS for seed in (0, 1)]


def drawn(records: list[dict[str, object]], name: str) -> Figure:
    with styled():
        return sweep_figure(blocks(pd.DataFrame(records))[0], swept(records, name)[0])


def curves(figure: Figure, panel: int = 0) -> list[tuple[list[float], list[float]]]:
    """The joined marks of a panel: (values, per cent)."""
    lines = [line for line in figure.axes[panel].lines if line.get_marker() not in (".", "None", "")]
    return [tuple(np.asarray(part, dtype=float).tolist() for part in line.get_data()) for line in lines]


def test_one_line_is_a_panel_an_attack_with_means_seeds_and_the_undefended_network() -> None:
    figure = drawn(rows() + rows("wanet"), "sweep:beta")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["SIG", "WaNet"]
    assert figure.axes[0].get_xscale() == "log"
    frame = pd.DataFrame(rows())
    for (at, means), metric in zip(curves(figure), ("acc", "asr", "ra"), strict=True):
        assert at == sorted(BETAS)
        assert means == pytest.approx([100 * frame[metric][[i, i + 1]].mean() for i in (0, 4, 2)])
    dashes = [line.get_ydata() for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert dashes[0] == pytest.approx([100 * frame["acc_before"].mean()] * 3)
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "."]
    assert [len(line.get_xdata()) for line in dots] == [2 * len(BETAS)] * 3


def test_several_lines_are_a_row_an_attack_with_a_panel_a_metric() -> None:
    figure = drawn(rows(x=1) + rows(x=2), "sweep:beta")
    assert [axes.get_ylabel() for axes in figure.axes] == ["ACC (%)", "ASR (%)", "RA (%)"]
    assert [len(curves(figure, panel)) for panel in range(3)] == [2, 2, 2]
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["TAC (x=1)", "TAC (x=2)", "no defense", "one seed"]


def test_what_no_attack_leaves_undefined_has_no_panel() -> None:
    figure = drawn(rows("none", x=1) + rows("none", x=2) + rows(x=1), "sweep:beta")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["none", "", "", "SIG", "SIG", "SIG"]
    assert [axes.axison for axes in figure.axes] == [True, False, False, True, True, True]


def test_categories_are_not_joined_and_the_target_is_named() -> None:
    records = [trial("sig", "tac", told={"poisoned_class": label}) for label in (0, 3, 5)]
    axes = drawn(records, "sweep:poisoned_class").axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0\ntarget", "3", "5"]
    curves = [line for line in axes.lines if line.get_marker() not in ("None", "")]
    assert {line.get_linestyle() for line in curves} == {"None"}


@pytest.mark.parametrize(
    ("values", "scale", "labels"),
    [
        ([0, 1, 4], "linear", ["0", "1", "4"]),
        ([0, 0.1, 4], "symlog", ["0", "0.1", "4"]),
        ([-5, 1, 160], "linear", ["-5", "", "160"]),
        ([0, 0.5, 0.9, 0.95], "linear", ["0", "0.5", "", "0.95"]),
    ],
)
def test_an_axis_is_by_decades_where_values_span_some_and_its_labels_do_not_touch(
    values: list[float], scale: str, labels: list[str]
) -> None:
    axes = drawn([trial("sig", "tac", told={"x": value}) for value in values], "sweep:x").axes[0]
    assert axes.get_xscale() == scale
    assert [text.get_text() for text in axes.get_xticklabels()] == labels


def test_the_report_has_the_figure_its_numbers_and_its_place_on_the_page(tmp_path: Path) -> None:
    records = pd.DataFrame(rows())
    paths = write_report(records, tmp_path, figures=["sweep:tac.beta", "sweep:tac.beta"])
    written = sorted(path.name for path in paths if path.name.startswith("sweep"))
    assert written == ["sweep-tac.beta.csv", "sweep-tac.beta.pdf", "sweep-tac.beta.png", "sweep-tac.beta.svg"]
    assert (imread(tmp_path / "figures" / "sweep-tac.beta.png")[..., :3] < 0.5).any(axis=2).mean() > 0.002
    assert "figures/sweep-tac.beta.png" in (tmp_path / "index.html").read_text()
    numbers = pd.read_csv(StringIO((tmp_path / "figures" / "sweep-tac.beta.csv").read_text()))
    assert numbers["value"].tolist() == sorted(BETAS)
    assert numbers["asr_n"].tolist() == [2, 2, 2]
    assert numbers["asr_mean"][0] == pytest.approx(records["asr"][[0, 1]].mean())


def test_a_sweep_of_which_there_is_nothing_leaves_no_report(tmp_path: Path) -> None:
    with pytest.raises(UnknownFigure):
        write_report(pd.DataFrame(rows()), tmp_path / "report", figures=["sweep:beta", "sweep:gamma"])
    assert not (tmp_path / "report").exists()


def test_a_long_sweep_can_be_rendered() -> None:
    records = [trial("sig", "tac", told={"x": value, "y": "z" * 300}) for value in np.linspace(0, 1, 30).tolist()]
    assert rendered(drawn(records, "sweep:x"))["png"]


@pytest.mark.parametrize(("lines", "attacks"), [(9, 2), (2, 10)], ids=["lines", "attacks"])
def test_of_many_lines_or_attacks_each_line_has_a_panel_with_all_attacks(lines: int, attacks: int) -> None:
    records = [
        trial("sig", "tac", told={"beta": beta, "x": x}, asr=beta / 10 * attack / attacks)
        | {"attack_label": f"a{attack}", "attack_params": f'{{"x": {attack}}}'}
        for attack in range(attacks) for x in range(lines) for beta in BETAS
    ]  # fmt: skip
    figure = drawn(records, "sweep:beta")
    assert [axes.get_title(loc="left") for axes in figure.axes] == [f"TAC (x={x})" for x in range(lines)]
    for axes in figure.axes:
        [mean] = [line for line in axes.lines if line.get_marker() == "s"]  # of ASR
        expected = 100 * np.array(sorted(BETAS)) / 10 * np.mean(np.arange(attacks) / attacks)
        assert np.asarray(mean.get_ydata()) == pytest.approx(expected)
        [thin] = [line for line in axes.lines if line.get_linewidth() == 0.5 and "#D55E00" in str(line.get_color())]
        assert np.isnan(np.asarray(thin.get_xdata())).sum() == attacks  # each ends in a gap
