"""A figure and the files that are written of it."""

from io import BytesIO

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bench.reports.figures.style import rendered, styled, wrapped


def test_a_figure_that_is_laid_out_once_looks_as_matplotlib_itself_writes_it():
    def drawn() -> Figure:
        figure = Figure(figsize=(4, 3), layout="constrained")
        axes = figure.subplots(1, 2)
        for one in axes:
            one.plot([1, 2], [3, 5000])
            one.set_ylabel("a tall\nlabel")
        figure.legend(handles=axes[0].lines, labels=["line"], loc="outside lower center")
        return figure

    with styled():
        files = rendered(drawn())
        plain = BytesIO()
        drawn().savefig(plain, format="png", dpi=150)
    assert files["pdf"].startswith(b"%PDF")
    ours, expected = (np.asarray(Image.open(BytesIO(data))) for data in (files["png"], plain.getvalue()))
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("given", ["200 clean + 64 suspected", "200 clean + 64 suspected, 50 % triggered, of 1 class"])
def test_what_a_defense_was_given_is_wrapped_within_its_column(given):
    assert max(map(len, wrapped(f"fire ({given})", 14).split("\n"))) <= 17
