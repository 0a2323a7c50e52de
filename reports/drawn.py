"""One figure by its name."""

import pandas as pd
from matplotlib.figure import Figure

from bench.reports.blocks import blocks
from bench.reports.chosen import Shown
from bench.reports.figures.style import rendered, styled
from bench.reports.figures.sweep import sweep_figure
from bench.reports.sweeps import UnknownFigure, sweeps
from bench.reports.write import FIGURES


def draw(
    frame: pd.DataFrame, name: str, block: int = 0, *, with_invalid: bool = False, shown: Shown | None = None
) -> Figure:
    """A figure of the records in ``frame``, as in the report, from its name there, or ``sweep:beta`` for a sweep.

    block: of the report's blocks the one that it is about. ``shown``: in which order, under which names. A notebook
    shows what is returned. Raises UnknownFigure for a name or a block that there is none of, and for a figure that has
    nothing to show.
    """
    compared = blocks(frame, with_invalid=with_invalid, shown=shown)
    if not 0 <= block < len(compared):
        titles = ", ".join(f"{number}: {one.title}" for number, one in enumerate(compared))
        raise UnknownFigure(f"block {block}: expected one of {titles}")
    with styled():
        if name in FIGURES:
            figure = FIGURES[name][0](compared[block])
        elif name.startswith("sweep:"):
            figure = sweep_figure(compared[block], sweeps([compared[block]], [name])[0][0])
        else:
            raise UnknownFigure(f"{name}: expected one of {', '.join(FIGURES)}, or a sweep such as sweep:beta")
    if figure is None:
        raise UnknownFigure(f"{name}: there is nothing to draw")
    figure._repr_png_ = lambda: rendered(figure, "png")["png"]  # type: ignore[attr-defined]
    return figure
