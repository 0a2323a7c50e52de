"""What every figure shares: colours, sizes, and files that are the same each time they are written."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.records import printable

#: The palette of Okabe and Ito, distinguishable with any colour vision; black last
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "<", ">", "h"]
TARGET, PLAIN, GRID = "#D55E00", "#0072B2", "#d9d9d9"
_DPI = 150
_BREAKS = {"[": "[\0", ",": ",\0", " (": " \0(", " + ": "\0 + ", " · ": " ·\0 "}  # where a line may end

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "figure.constrained_layout.h_pad": 0.07,
    "pdf.fonttype": 42,  # letters stay letters: journals refuse Type 3 fonts
    "text.parse_math": False,  # a dollar sign in a label is a dollar sign
}


@contextmanager
def styled() -> Iterator[None]:
    """A context in which figures are made in the house style, whatever the reader's own settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def rendered(figure: Figure) -> dict[str, bytes]:
    """The bytes of the figure as "png" and "pdf", with no date in either; its layout engine is gone afterwards."""
    files = {}
    box = None if (engine := figure.get_layout_engine()) else "tight"
    if engine:
        figure.dpi = _DPI
        engine.execute(figure)
        figure.set_layout_engine(None)  # else savefig would lay it out again for each file
    for kind, metadata in {"png": {"Software": None}, "pdf": {"CreationDate": None}}.items():
        buffer = BytesIO()
        figure.savefig(buffer, format=kind, dpi=_DPI, metadata=metadata, bbox_inches=box, pad_inches=0.1)
        files[kind] = buffer.getvalue()
    return files


def wrapped(label: str, width: int) -> str:
    """A label on lines of ``width`` letters, broken at brackets, commas, pluses and dots, or twice as long without any.

    Of a very long label, only the beginning.
    """
    lines, line = [], ""
    label = printable(label, 12 * width)
    for before, after in _BREAKS.items():
        label = label.replace(before, after)
    for part in label.split("\0"):
        if line and len(line) + len(part) > width:
            lines.append(line.strip())
            line = ""
        line += part if line else part.lstrip()
    longest = 2 * width
    pieces = [whole[at : at + longest] for whole in [*lines, line.strip()] for at in range(0, len(whole) or 1, longest)]
    return "\n".join(pieces)


def headed(figure: Figure, title: str) -> None:
    """Put a title above a figure, on as many lines as its width needs."""
    figure.suptitle(wrapped(title, title_letters(figure.get_figwidth())), fontsize=11)


def title_letters(inches: float) -> int:
    """How many letters of a title fit a width."""
    return max(1, int(11 * inches))


def fitting(labels: list[str], figure: Figure) -> int:
    """How many columns of a legend with these labels fit the width of the figure; at least 1."""
    inches = 0.7 + 0.085 * max(map(len, labels))  # a mark and its gaps, and a letter's mean width
    return max(1, int(figure.get_figwidth() / inches))
