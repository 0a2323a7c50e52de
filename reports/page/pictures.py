"""Figures as a page carries them: inside it, and small enough to be mailed. Drawings are SVG where there is room."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import count

from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from bench.reports.page.vectors import Vector, vector

FigureLinks = Sequence[tuple[str, str]]
"""Paths of images in PNG, relative to the report's folder, and their captions."""
Read = Callable[[str], bytes]
"""From such a path to the file's bytes."""

DRAWN, PHOTOGRAPHED = 900_000, 330_000  # bytes that all drawings and all photographs of a page may take in it
_BASE64 = 4 / 3  # what a byte of a file takes
_LEAST = 20_000  # bytes that a picture may always take
_WIDEST = 2000  # pixels: the page shows a figure in about half of them, a dense screen in all
_NARROWEST = 600
_COLOURS = 256
_WHITE = 251  # of 255: from here on a colour of a drawing is its background, which few colours would make grey
_QUALITY = 90  # of photographs in JPEG


@dataclass(frozen=True)
class Picture:
    """A figure in a page. ``path`` is its file in the report's folder; sizes in pixels.

    ``uri`` holds all of it, or ``svg`` does, as an element of the page.
    """

    path: str
    caption: str
    uri: str
    width: int
    height: int
    svg: str = ""

    @property
    def brief(self) -> str:
        """What stands in the place of the picture for who cannot see it: the beginning of its caption."""
        return self.caption.partition(": ")[0].partition(";")[0].partition(". ")[0]


def carried(
    links: Sequence[FigureLinks], read: Read, most: int, *, photographs: bool = False, drawn: Read | None = None
) -> list[list[Picture]]:
    """The pictures of ``links``, a list for each of its lists, together in ``most`` bytes of a page or a little more.

    Small pictures stay as they are, large ones share the bytes that are left. ``drawn`` gives the same figures as SVG;
    one that takes more than its share, or than ``bench.reports.page.vectors.LARGEST``, is carried as its PNG: drawings
    in 256 colours, ``photographs`` as JPEG. What is still too large loses pixels.
    """
    files = {path: read(path) for own in links for path, _ in own}
    vectors = {path: vector(drawn(path)) for path in files} if drawn else {}
    sizes = {path: _size(file, vectors.get(path)) for path, file in files.items()}
    made: dict[str, tuple[str, int, int] | Vector] = {}
    left = most
    for number, path in enumerate(sorted(files, key=lambda path: (sizes[path], path))):
        share = max(_LEAST, left // (len(files) - number))
        own = vectors.get(path)
        if own and sizes[path] <= share:
            made[path], used = own, sizes[path]
        else:
            data, kind, (width, height) = _fitted(files[path], int(share / _BASE64), photographs)
            made[path] = f"data:image/{kind};base64,{b64encode(data).decode()}", width, height
            used = int(_BASE64 * len(data))
        left -= used
    places = count(1)
    return [[_picture(path, caption, made[path], next(places)) for path, caption in own] for own in links]


def _size(png: bytes, own: Vector | None) -> int:
    """The bytes that a figure takes in the page."""
    return len(own.inside.encode()) if own else int(_BASE64 * len(png))


def _picture(path: str, caption: str, made: "tuple[str, int, int] | Vector", place: int) -> Picture:
    if not isinstance(made, Vector):
        return Picture(path, caption, *made)
    picture = Picture(path, caption, "", made.width, made.height)
    return replace(picture, svg=made.element(picture.brief, place))


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
