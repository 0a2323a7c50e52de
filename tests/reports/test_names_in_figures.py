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
