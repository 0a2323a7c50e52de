"""How wide letters are: labels are folded, and figures laid out, before anything is drawn."""

from functools import cache, lru_cache

from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ft2font import LoadFlags

from bench.records import printable

FAMILY = "DejaVu Sans"
_BREAKS = {"[": "[\0", ",": ",\0", " ": " \0", " \0·": " ·"}
_WITHIN = "_=-"  # a long word is broken after these
_EM = 100  # points at which glyphs are measured
_LONGEST = 400  # letters of a label that are looked at at all


def width(text: str, size: float, *, bold: bool = False) -> float:
    """The width in points of the widest line of ``text``, set at ``size`` points."""
    return size * max(sum(_advance(letter, bold) for letter in line) for line in text.split("\n"))


def folded(label: str, points: float, size: float, *, most: int = 4, bold: bool = False) -> str:
    """A label on lines of at most ``points`` points, set at ``size`` points, broken where words and parameters end.

    Of what needs more than ``most`` lines, only the beginning and "…".
    """
    lines, line = list[str](), ""
    for part in _parts(printable(label, _LONGEST)):
        if width((line + part).rstrip(), size, bold=bold) <= points:
            line += part if line else part.lstrip()
            continue
        lines, line = ([*lines, line.rstrip()] if line else lines), part.lstrip()
        while line and width(line.rstrip(), size, bold=bold) > points:  # one long word
            fits = _beginning(line, points, size, bold)
            lines, line = [*lines, line[:fits]], line[fits:]
    lines = [one for one in [*lines, line.rstrip()] if one] or [""]
    if len(lines) > most:
        cut = lines[most - 1][: max(1, _beginning(lines[most - 1] + "…", points - size, size, bold))]
        lines = [*lines[: most - 1], cut + "…"]
    return "\n".join(lines)


@lru_cache(4096)
def _parts(label: str) -> tuple[str, ...]:
    for before, after in _BREAKS.items():
        label = label.replace(before, after)
    return tuple(filter(None, label.split("\0")))


def _beginning(text: str, points: float, size: float, bold: bool) -> int:
    """How many letters of ``text`` fit, up to the end of a part of the word where there is one; at least one."""
    used = 0.0
    for count, letter in enumerate(text):
        used += size * _advance(letter, bold)
        if used > points:
            within = max(text.rfind(end, 0, count) for end in _WITHIN) + 1
            return within or max(1, count)
    return len(text)


@cache
def _advance(letter: str, bold: bool) -> float:
    """The width of a letter in ems."""
    font = get_font(findfont(FontProperties(family=FAMILY, weight="bold" if bold else "normal")))
    font.set_size(_EM, 72)
    if not font.get_char_index(ord(letter)):
        return 1.0  # a box, or another font's letter where the picture is text
    return float(font.load_char(ord(letter), flags=LoadFlags.NO_HINTING).linearHoriAdvance) / 65536 / _EM
