"""Texts in LaTeX: printed as they are, by pdflatex too, and how wide they are."""

import re
import unicodedata
from functools import cache
from typing import NamedTuple

SIZE = r"\fontsize{8}{9.5}\selectfont"  # of all tables: the smallest that most journals accept
# a figure (2) and a smaller one (3) below it, right-aligned in a box of a width (1): files that use it begin with this
FIGURE_BELOW = (
    r"\providecommand{\figbelow}[3]{\vtop{\hbox to #1{\hss #2}"
    r"\hbox to #1{\vrule height 5pt depth 2.5pt width 0pt\hss\fontsize{5}{6}\selectfont #3}}}"
)
_LONG_WORD, _PIECE = 20, 8  # characters; longer words have places to break in running text, as often as that
_MOST_LINES = 20  # of a cell; of a heading half as many
_ROUNDING = 0.01  # points
_BOLD = 1.16  # as wide as the figures of the upright font
_SCRIPT, _TINY = 0.87, 0.8  # of the size of tables: that of an index; 5 pt
_SIGN = 6.0  # points of ± in an index
_WITH_SPREAD = re.compile(r"([^±]*)±([\d.]+)")
_MINUS = re.compile(r"(?<![\w.])-(?=\d)")  # a hyphen before a number
_LIGATURE = re.compile("-(?=-)")  # two of them would be printed as one dash
_PIECES = re.compile(r"[^\s,;_/=+·-]*(?:[,;_/=+·-]|\s|$)")
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"', "\u0304": "=", "\u0307": ".",
    "\u030a": "r ", "\u0327": "c ", "\u030c": "v ", "\u0306": "u ", "\u030b": "H ",
}  # fmt: skip
_GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ",
    "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "upsilon": "υ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ",
    "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω",
    "infty": "∞", "to": "→", "leftarrow": "←", "pm": "±", "cdot": "·", "times": "×", "leq": "≤", "geq": "≥",
    "neq": "≠", "approx": "≈", "div": "÷", "in": "∈", "sum": "∑", "partial": "∂", "nabla": "∇", "star": "★",
    "bullet": "•", "ell": "ℓ", "neg": "¬",
}  # fmt: skip
_LETTERS = {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "å": "aa", "Å": "AA", "ł": "l"}
_LETTERS |= {"Ł": "L", "ı": "i", "§": "S", "¶": "P", "£": "pounds", "©": "copyright", "…": "ldots"}
_SIGNS = (
    {
        "\0": "{}",
        "`": "{`}",  # else ?` and !` are other signs
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': "''",
        "[": "{[}",  # else \\ at the end of a row takes it for its option
        "]": "{]}",
        "–": "--",
        "—": "---",
        "‘": "{`}",
        "’": "'",
        "“": "{`}{`}",
        "”": "''",
        "−": "$-$",
        "µ": r"$\mu$",
        "°": r"$^\circ$",
        "²": "$^2$",
        "³": "$^3$",
        "†": r"\textsuperscript{\dag}",
        "\xa0": "~",
    }
    | {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {sign: rf"$\{name}$" for name, sign in _GREEK.items()}
    | {sign: f"\\{name}{{}}" for sign, name in _LETTERS.items()}
)
# points at 8 pt, of Computer Modern, which is wider than what most journals set
_WIDTHS = {
    sign: width
    for width, signs in {
        2.4: "!',.:;`il[] ",
        3.4: "-()Ifjrst",
        4.3: "/0123456789$*?acegoz–",
        4.8: 'bdhkpnquvxyS^_~J{}|\\"',
        5.6: "FLZ",
        6.3: "BCEPRTw",
        6.7: "ADGHKNOQUVXY&+=@<>",
        7.2: "m#%",
        8.8: "MW—",
    }.items()
    for sign in signs
}
_WIDEST = 9.0


class Ink(NamedTuple):
    """What is set in a cell: LaTeX, and how wide it is at most, in points; ``lines`` high."""

    tex: str
    width: float
    lines: int = 1


def escape_latex(text: str) -> str:
    """``text`` so that LaTeX prints it as it is, on one line. A sign that pdflatex lacks is named: [U+4E2D]."""
    return "".join(map(_sign, _LIGATURE.sub("-\0", " ".join(text.split()))))


def breaking(text: str) -> str:
    """``escape_latex`` for running text: long words have places where a line may end."""
    words = [word if len(word) <= _LONG_WORD else _broken(word) for word in text.split()]
    return " ".join(r"\allowbreak{}".join(map(escape_latex, word.split("\n"))) for word in words)


def measured(text: str) -> float:
    """How wide ``text`` is at most, in points, at the size of tables."""
    return sum(map(_width, text))


def ink(text: str) -> Ink:
    """A text on one line."""
    return Ink(escape_latex(text), measured(" ".join(text.split())))


def shortened(text: str, points: float) -> str:
    """``text``, cut where it is wider than ``points``."""
    for index, sign in enumerate(text):
        points -= _width(sign)
        if points < 0:
            return f"{text[:index]}…"
    return text


def wrapped(text: str, width: float) -> list[str]:
    """``text`` in lines of at most ``width`` points, broken at spaces and signs, and where need be within words."""
    lines, room = [""], width + _ROUNDING
    for piece in _pieces(" ".join(text.split()), width):
        own = measured(piece)
        if own - measured(piece[-1:]) * piece.endswith(" ") > room and lines[-1]:
            lines.append("")
            room = width + _ROUNDING
        lines[-1] += piece
        room -= own
    return [line.strip() for line in lines]


def paragraph(text: str, width: float) -> Ink:
    """A text of a cell in lines of at most ``width`` points; the first is level with the other cells."""
    return stacked([ink(line) for line in _limited(wrapped(text, width), _MOST_LINES)])


def stacked(lines: list[Ink]) -> Ink:
    """Lines below each other; the first is level with the other cells."""
    if len(lines) == 1:
        return lines[0]
    boxes = "".join(rf"\hbox{{\strut {line.tex}}}" for line in lines)
    return Ink(rf"\vtop{{{boxes}}}", max(line.width for line in lines), sum(line.lines for line in lines))


@cache
def figure(text: str, *, best: bool = False, second: bool = False, tally: str = "", below: bool = False) -> Ink:
    """A mean such as "98.5±0.3" with its spread as an index, or ``below`` it, in small print.

    The mean is bold if it is the ``best``, underlined if it is the ``second``. ``tally`` follows in parentheses.
    """
    text = _MINUS.sub("−", text)
    mean, spread = found.groups() if (found := _WITH_SPREAD.fullmatch(text)) else (text, "")
    made = ink(mean)
    if best:
        made = Ink(rf"\textbf{{{made.tex}}}", made.width * _BOLD)
    elif second:
        made = Ink(rf"\underline{{{made.tex}}}", made.width)
    if spread and not below:
        made = Ink(rf"{made.tex}$_{{\pm {spread}}}$", made.width + _SIGN + _SCRIPT * measured(spread))
    if tally:
        made = Ink(rf"{made.tex}~{{\tiny({tally})}}", made.width + measured(f" ({tally})"))
    return with_below(made, f"±{spread}") if spread and below else made


def with_below(above: Ink, text: str) -> Ink:
    """A figure with another one below it, in small print; both end in the same place."""
    small = _TINY * measured(text)
    width = max(above.width, small)
    tex = rf"\figbelow{{{width:.1f}pt}}{{{above.tex}}}{{{escape_latex(text)}}}"
    return Ink(tex, width + _ROUNDING * 5, 2)


def heading(text: str, width: float) -> Ink:
    """A heading in centred lines of at most ``width`` points, the last of which is level with the other headings."""
    lines = [ink(line) for line in _limited(wrapped(text, width), _MOST_LINES // 2)]
    if len(lines) == 1:
        return lines[0]
    joined = r"\\".join(line.tex for line in lines)
    return Ink(rf"\shortstack{{{joined}}}", max(line.width for line in lines), len(lines) + 1)


@cache
def _sign(sign: str) -> str:
    if sign in _SIGNS:
        return _SIGNS[sign]
    if sign.isascii() and sign.isprintable():
        return sign
    base, *marks = list(unicodedata.normalize("NFD", sign))
    if len(marks) == 1 and marks[0] in _ACCENTS and base.isascii() and base.isalpha():
        dotless = "\\" * (base in "ij")
        return f"\\{_ACCENTS[marks[0]]}{{{dotless}{base}}}"
    return f"{{[}}U+{ord(sign):04X}{{]}}"


@cache
def _width(sign: str) -> float:
    if sign in _WIDTHS:
        return _WIDTHS[sign]
    if _sign(sign).startswith("{[}U"):
        return measured(f"[U+{ord(sign):04X}]")
    return _WIDEST


def _limited(lines: list[str], most: int) -> list[str]:
    """No more lines than a page can hold beside others; what is left out is an ellipsis."""
    return lines if len(lines) <= most else [*lines[: most - 1], "…"]


def _pieces(text: str, width: float) -> list[str]:
    """``text`` in pieces between which a line may end; none is wider than ``width``, unless it is a single sign."""
    pieces = []
    for piece in filter(None, _PIECES.findall(text)):
        start, room = 0, width + _ROUNDING
        for index, sign in enumerate(piece):
            if _width(sign) > room and index > start:
                pieces.append(piece[start:index])
                start, room = index, width + _ROUNDING
            room -= _width(sign)
        pieces.append(piece[start:])
    return pieces


def _broken(word: str) -> str:
    """A long word with line feeds where it may be broken."""
    pieces = [piece for piece in _PIECES.findall(word) if piece]
    return "\n".join(piece[at : at + _PIECE] for piece in pieces for at in range(0, len(piece), _PIECE))
