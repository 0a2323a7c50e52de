"""What every figure shares: colours, sizes at print, and files that are the same each time they are written."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import cycle, islice
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.text import Text

from bench.reports.figures.letters import FAMILY
from bench.reports.figures.svg import compact

#: The palette of Okabe and Ito, distinguishable with any colour vision; black last
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "p", "*", "d"]  # 13, so that 91 pairs are different
TARGET, PLAIN, GRID, SOFT = "#D55E00", "#0072B2", "#d9d9d9", "#555555"
WIDTH = 17 / 2.54  # inches between the margins of a page of A4: figures are drawn at the size of print
LEAST, SMALL, TEXT, HEAD = (
    6.0,
    6.5,
    7.0,
    8.0,
)  # points: of nothing less; ticks and legends; labels; titles
_DPI = 200

_STYLE: Any = {
    "font.family": FAMILY,
    "font.size": TEXT,
    "axes.titlesize": TEXT,
    "axes.labelsize": TEXT,
    "axes.titley": 1.0,  # else it is measured against all ticks
    "axes.titlepad": 3,
    "axes.labelpad": 2,
    "axes.linewidth": 0.6,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": False,
    "legend.frameon": False,
    "legend.fontsize": SMALL,
    "figure.facecolor": "white",
    "pdf.fonttype": 42,  # letters stay letters: journals refuse Type 3 fonts
    "svg.fonttype": "none",
    "svg.hashsalt": "figure",  # else its ids are drawn by chance
    "svg.image_inline": True,
    "text.parse_math": False,  # a dollar sign in a label is a dollar sign
}
_UNDATED: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
}


@contextmanager
def styled() -> Iterator[None]:
    """A context in which figures are made in the house style, whatever the reader's own settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def rendered(figure: Figure, *kinds: str) -> dict[str, bytes]:
    """The bytes of the figure as "png", "pdf" and "svg", or as some of these kinds, with no date in any.

    The SVG is made to stand inside a page: one element, whose ids are those of no other figure, with letters as text.
    """
    for text in figure.findobj(Text):
        if hasattr(text, "set_fontfeatures"):  # from matplotlib 3.11 on
            text.set_fontfeatures(("-liga",))  # letters can be searched for, and PDFs need no second font for "fi"
    files = {}
    for kind in kinds or _UNDATED:
        buffer = BytesIO()
        figure.savefig(buffer, format=kind, dpi=_DPI, metadata=_UNDATED[kind])
        files[kind] = compact(buffer.getvalue()) if kind == "svg" else buffer.getvalue()
    return files


def looks(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each name; no two of 91 have the same pair."""
    return dict(zip(names, islice(zip(cycle(COLOURS), cycle(MARKERS), strict=False), len(names)), strict=True))
