"""Figures as a page carries them: inside it, and small enough to be mailed."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

FigureLinks = Sequence[tuple[str, str]]
"""Paths of images in PNG, relative to the report's folder, and their captions."""
Read = Callable[[str], bytes]
"""From such a path to the file's bytes."""

MOST = 1_000_000  # bytes of all pictures of a page; in base64 a third more
_LEAST = 30_000  # bytes that a picture may always take
_WIDEST = 2000  # pixels: the page shows a figure in about half of them, a dense screen in all
_NARROWEST = 600
_COLOURS = 256


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


def carried(links: Sequence[FigureLinks], read: Read, *, most: int = MOST, plain: bool = True) -> list[list[Picture]]:
    """The pictures of ``links``, a list for each of its lists, together in ``most`` bytes or a little more.

    Small pictures are as good as they can be, large ones share the bytes that are left. ``plain``: drawings, for which
    256 colours are enough; photographs have all of theirs unless there is no room.
    """
    files = {path: read(path) for own in links for path, _ in own}
    made: dict[str, tuple[str, int, int]] = {}
    left = most
    for number, path in enumerate(sorted(files, key=lambda path: (len(files[path]), path))):
        data, width, height = _fitted(files[path], max(_LEAST, left // (len(files) - number)), plain)
        left -= len(data)
        made[path] = f"data:image/png;base64,{b64encode(data).decode()}", width, height
    return [[Picture(path, caption, *made[path]) for path, caption in own] for own in links]


def _fitted(png: bytes, most: int, plain: bool) -> tuple[bytes, int, int]:
    """A PNG of at most ``most`` bytes if that is possible at a legible width; its width and height."""
    with Image.open(BytesIO(png)) as opened:
        image = opened.convert("RGB")
    width = min(image.width, _WIDEST)
    if not plain and width == image.width and len(png) <= most:
        return png, image.width, image.height
    while True:
        scaled = image
        if width < image.width:
            scaled = image.resize((width, max(1, round(image.height * width / image.width))), Image.Resampling.LANCZOS)
        buffer = BytesIO()
        scaled.quantize(_COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(buffer, "png")
        if len(buffer.getvalue()) <= most or width <= _NARROWEST:
            return buffer.getvalue(), scaled.width, scaled.height
        width = max(_NARROWEST, width * 3 // 4)
