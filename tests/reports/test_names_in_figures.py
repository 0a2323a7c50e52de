"""Figures use the names that papers do, and a name that was chosen before these."""

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd
import pytest
from large_frames import large
from matplotlib.figure import Figure
from matplotlib.text import Text
from report_frames import grid

from bench.reports import write
from bench.reports.blocks import blocks
from bench.reports.chosen import Shown, shown
from bench.reports.drawn import draw
from bench.reports.figures.style import styled
from bench.reports.names.shortened import figure_names
from bench.reports.names.titles import display_names


def texts(figures: Iterable[Figure]) -> str:
    return "\n".join(text.get_text().replace("\n", " ") for one in figures for text in one.findobj(Text))


def figures(frame: pd.DataFrame, chosen: Shown) -> list[Figure]:
    """Every figure that there is of a frame, but for sweeps."""
    [block] = blocks(frame, shown=chosen)
    with styled():
        return [made for make, _ in write.FIGURES.values() if (made := make(block))]


@pytest.mark.parametrize("size", [(4, 3, 1), (8, 3, 1)])
def test_figures_name_plugins_as_papers_do_or_as_was_chosen(size: tuple[int, int, int]) -> None:
    frame = large(*size)
    made = figures(frame, shown(rename={"nad": "nad", "badnets": "The first"}))
    said = texts(made)
    assert len(made) >= 5
    assert not {"Fine-Pruning", "The first", "nad", "Blended"} - set(re.split(r"\n| · | \(", said))
    labels = ["fine_pruning", "badnets", "NAD", "BadNets", "tac", "blend", "mnist5k", "resnet18"]
    assert not set(labels) & set(re.findall(r"[\w-]+", said))


def test_sweeps_and_triggers_are_named_alike() -> None:
    frame = large(3, 3, noted=False)
    more = frame.assign(defense_params='{"x": 9}', key=frame["key"] + "b", defense_label=frame["defense"] + "[x=9]")
    both = pd.concat(
        [frame[frame["defense"] == "nad"], more[more["defense"] == "nad"], frame[frame["defense"] == "none"]]
    )
    said = texts([draw(both, "sweep:nad.x")])
    assert "NAD" in said
    assert "BadNets" in said
    assert "nad" not in said
    assert "badnets" not in said
    [block] = blocks(grid(1))
    image = np.zeros((1, 4, 4))
    written: dict[str, bytes] = {}
    with styled():
        found = write._gallery(block, "", lambda key: (image, image), written.__setitem__)
    assert found
    assert b"WaNet" in written["figures/gallery.svg"]
    assert b"wanet" not in written["figures/gallery.svg"]
    assert display_names(block).attack("wanet") == "WaNet"


@pytest.mark.parametrize("parameters", [1, 7])
def test_panels_of_variants_that_differ_in_their_last_parameter_are_told_apart(parameters: int) -> None:
    frame = large(2, 1)
    frame = frame[frame["defense"] != "none"]
    same = ",".join(f"parameter_{n}={n / 8}" for n in range(parameters - 1))
    label = frame["defense"] + f"[{same}{',' * bool(same)}"
    variants = [
        frame.assign(defense_label=label + f"last={n}]", defense_params=f'{{"last": {n}}}', key=frame["key"] + f"v{n}")
        for n in range(2)
    ]
    made = [
        one
        for one in figures(pd.concat(variants), shown())
        if sum(bool(axes.get_title("left")) for axes in one.axes) > 1
    ]
    assert len(made) >= 2
    for one in made:
        names = [axes.get_title("left") for axes in one.axes]
        assert not any(name.endswith("…") for name in names)
        assert len(set(names)) == len(names)
        assert parameters == 1 or all(part in texts([one]).replace(", ", ",") for part in same.split(","))


def test_presets_lone_variants_and_short_names_keep_what_they_have() -> None:
    frame = large(8, 2)
    long = "sixteen_letters_=1,sixteen_letters2=2"
    labels = [f"tac[paper,{long},y={n}]" for n in (1, 2)], [f"tac[{long}]", "tac[paper]"], ["tac[y=1]", "tac[y=1,z=2]"]
    for own, shorter in zip(labels, (["TAC (paper,y=1)", "TAC (paper,y=2)"], None, None), strict=True):
        for some in (own, own[:1]):
            variants = [
                frame[frame["defense"] == "tac"].assign(defense_label=label, defense_params=f'{{"y": {n}}}', key=label)
                for n, label in enumerate(some)
            ]
            [block] = blocks(pd.concat([frame[frame["defense"] == "none"], *variants]))
            short, whole = figure_names(block), display_names(block)
            assert len(short.defenses) == 1 + len(some)
            if shorter and len(some) == 2:
                assert [short.defense(label) for label in some] == shorter
            else:
                assert short == whole
