"""A figure's SVG as a part of a page: its letters stay letters, to be searched for, and sharp on paper."""

import re
from dataclasses import dataclass

from markupsafe import Markup, escape

from bench.reports.figures.style import WIDTH

LARGEST = 300_000  # bytes of one: what takes more is many thousands of marks, which browsers are slow to draw
_ACROSS = 992  # pixels of a page for a figure of the width of print; the others are in proportion
_FULL = 2  # times as large is a figure at full size
_TAG = re.compile(r"<[^<>]*>")  # in texts and attributes < and > are entities
_ROOT = re.compile(
    r'<svg (?P<look>[^<>]*?) ?(?:xmlns:xlink="[^"]*" )?width="(?P<width>[\d.]+)pt" height="(?P<height>[\d.]+)pt"'
    r' viewBox="(?P<box>[-\d. ]+)"[^<>]*>'
)
_OWN = re.compile(r'( id="|href="#|url\(#)f[0-9a-f]{8}-')


@dataclass(frozen=True)
class Vector:
    """An SVG of a page: its ``look``, the ``box`` of its units, and all that is inside; sizes in pixels of the page."""

    look: str
    box: str
    inside: str
    width: int
    height: int

    def element(self, name: str, place: int) -> Markup:
        """The element, one picture to who cannot see it, of this name; ``place``: its number among those of the page.

        The ids begin with the number, so that they are of no other picture, be it the same one a second time.
        """
        inside = _TAG.sub(lambda tag: _OWN.sub(rf"\g<1>p{place}-", tag[0]), self.inside)
        return Markup(
            f'<svg {self.look} role="img" aria-label="{escape(name)}" style="--wide: {self.width}px" '
            f'width="{_FULL * self.width}" height="{_FULL * self.height}" viewBox="{self.box}">{inside}'
        )


def vector(svg: bytes) -> Vector | None:
    """The SVG of a figure as ``bench.reports.figures.style.rendered`` gives it; None for another or a larger file."""
    text = svg.decode() if svg.startswith(b"<svg ") and len(svg) <= LARGEST else ""
    root = _ROOT.match(text)
    if not root:
        return None
    scale = _ACROSS / (72 * WIDTH)
    inside = _TAG.sub(lambda tag: tag[0].replace(" xlink:href=", " href="), text[root.end() :].strip())
    return Vector(
        root["look"],
        root["box"],
        inside,
        round(scale * float(root["width"])),
        round(scale * float(root["height"])),
    )
