"""Pages of reports for tests, and what a parser finds in any page."""

from functools import cache
from html.parser import HTMLParser
from io import BytesIO

import pandas as pd
from matplotlib.figure import Figure
from PIL import Image
from report_frames import sections

from bench.reports.figures.style import rendered, styled
from bench.reports.page.pictures import FigureLinks
from bench.reports.tables.page import page

_VOID = ("meta", "link", "img", "input", "br", "wbr")


class Page(HTMLParser):
    """The tags of a page, but for places where a line may end, and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.seen: list[str] = []
        self.scripts: list[str] = []
        self.feed(text.replace("<wbr>", ""))
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.scripts if self.open and self.open[-1] == "script" else self.seen).append(data)

    @property
    def texts(self) -> list[str]:
        """The texts without the spaces around them."""
        return [text.strip() for text in self.seen]

    @property
    def links(self) -> list[str]:
        """The addresses of what the page leads to or has in it."""
        return [value or "" for _, attrs in self.tags for name, value in attrs.items() if name in ("href", "src")]

    def having(self, tag: str, name: str, value: str) -> list[dict[str, str | None]]:
        """The attributes of the tags of which one has this value."""
        return [attrs for own, attrs in self.tags if own == tag and attrs.get(name) == value]


def png(width: int = 40, height: int = 30) -> bytes:
    """A small picture."""
    buffer = BytesIO()
    Image.new("RGB", (width, height), "#336699").save(buffer, "png")
    return buffer.getvalue()


@cache
def svg(text: str = "a title") -> bytes:
    """A small drawing with lines, marks, something cut off, and a text."""
    figure = Figure(figsize=(3, 2))
    axes = figure.subplots()
    axes.plot([0, 1], [0.123456, 2], marker="o")
    axes.set_title(text)
    with styled():
        return rendered(figure, "svg")["svg"]


def made(frame: pd.DataFrame, figures: FigureLinks = (), gallery: FigureLinks = (), *, drawing: str = "") -> str:
    """The page of a frame, with the same figures in every section.

    Each is a small picture, or, of the figures, a drawing with this text.
    """
    own = sections(frame)
    vector = svg(drawing) if drawing else b""
    return page(
        own,
        [figures] * len(own),
        [gallery] * len(own),
        lambda path: vector if path.endswith("svg") else png(),
    )
