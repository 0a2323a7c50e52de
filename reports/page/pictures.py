"""Figures as a page carries them: inside it, and small enough to be mailed."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import Image
from PIL.PngImagePlugin import PngImageFile

FigureLinks = Sequence[tuple[str, str]]
"""Paths of images in PNG, relative to the report's folder, and their captions."""
Read = Callable[[str], bytes]
"""From such a path to the file's bytes."""

DRAWN, PHOTOGRAPHED = 700_000, 250_000  # bytes of all drawings and of all photographs; in base64 a third more
_LEAST = 20_000  # bytes that a picture may always take
_WIDEST = 2000  # pixels: the page shows a figure in about half of them, a dense screen in all
_NARROWEST = 600
_COLOURS = 256
_WHITE = 251  # of 255: from here on a colour of a drawing is its background, which few colours would make grey
_QUALITY = 90  # of photographs in JPEG


@dataclass(frozen=True)
class Picture:
    """A figure in a page. ``path`` is its file in the report's folder, ``uri`` holds all of it; sizes in pixels."""

    path: str
    caption: str
    uri: str
    width: int
    height: int

    @property
    def brief(self) -> str:
        """What stands in the place of the picture for who cannot see it: the beginning of its caption."""
        return self.caption.partition(": ")[0].partition(";")[0].partition(". ")[0]


def carried(links: Sequence[FigureLinks], read: Read, most: int, *, photographs: bool = False) -> list[list[Picture]]:
    """The pictures of ``links``, a list for each of its lists, together in ``most`` bytes or a little more.

    Small pictures stay as they are, large ones share the bytes that are left: drawings in 256 colours, ``photographs``
    as JPEG. What is still too large loses pixels.
    """
    files = {path: read(path) for own in links for path, _ in own}
    made: dict[str, tuple[str, int, int]] = {}
    left = most
    for number, path in enumerate(sorted(files, key=lambda path: (len(files[path]), path))):
        share = max(_LEAST, left // (len(files) - number))
        data, kind, (width, height) = _fitted(files[path], share, photographs)
        left -= len(data)
        made[path] = f"data:image/{kind};base64,{b64encode(data).decode()}", width, height
    return [[Picture(path, caption, *made[path]) for path, caption in own] for own in links]


def _fitted(png: bytes, most: int, photograph: bool) -> tuple[bytes, str, tuple[int, int]]:
    """A picture of at most ``most`` bytes if that is possible at a legible width; its format and its size."""
    with PngImageFile(BytesIO(png)) as opened:  # Image.open takes a very large figure for an attack
        if photograph and len(png) <= most:
            return png, "png", opened.size
        image = opened.reduce(max(1, opened.width // (2 * _WIDEST))).convert("RGB")
    width = min(image.width, _WIDEST)
    while True:
        scaled = image
        if width < image.width:
            scaled = image.resize((width, max(1, round(image.height * width / image.width))), Image.Resampling.LANCZOS)
        data, kind = _photograph(scaled) if photograph else _drawing(scaled)
        if len(data) <= most or width <= _NARROWEST:
            return data, kind, scaled.size
        width = max(_NARROWEST, width * 3 // 4)


def _drawing(image: Image.Image) -> tuple[bytes, str]:
    buffer = BytesIO()
    reduced = image.quantize(_COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette = reduced.getpalette() or []
    colours = [palette[at : at + 3] for at in range(0, len(palette), 3)]
    reduced.putpalette([part for one in colours for part in ([255] * 3 if min(one) >= _WHITE else one)])
    reduced.save(buffer, "png")
    return buffer.getvalue(), "png"


def _photograph(image: Image.Image) -> tuple[bytes, str]:
    buffer = BytesIO()
    image.save(buffer, "jpeg", quality=_QUALITY, subsampling=0)
    return buffer.getvalue(), "jpeg"
