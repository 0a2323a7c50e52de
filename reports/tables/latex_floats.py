"""Floats: a table in parts below each other, on as many pages as it needs; a longtable where one part is too high."""

from dataclasses import dataclass

from bench.records import printable
from bench.reports.tables.latex_grid import SPACING, Grid, Part, parts
from bench.reports.tables.latex_text import SIZE, breaking, escape_latex

WIDTH = 343.0  # points: a page of article has 345, of LNCS 347; those of others are wider
_COLUMN = 196.0  # of one of two columns in article, which has 200; those of others are wider
_PAGE = 50  # lines of a page, at the size of tables
_BETWEEN = 3  # lines for the rules of a part and the space around it
_LETTERS = 70  # of a caption, in a line
_BEGINNING = r"\csname if@twocolumn\endcsname\onecolumn\def\goback{\twocolumn}\else\def\goback{}\fi"


@dataclass(frozen=True)
class Float:
    """A table to be set: its ``name`` is that of its file and of its label, ``tab:name``.

    ``title`` stands in a list of tables and over what is continued, ``caption`` behind it, ``note`` below the table.
    """

    name: str
    title: str
    grid: Grid
    caption: str = ""
    note: str = ""

    def latex(self, width: float = WIDTH) -> str:
        """The float, or several where a page cannot hold it, no wider than ``width`` points."""
        made = parts(self.grid, width)
        high = max(part.lines for part in made) + _BETWEEN > _PAGE - _lines(self.title)
        return "\n".join([*(self._longtables(made) if high else self._floats(made)), ""])

    def _floats(self, made: list[Part]) -> list[str]:
        starred = "*" * (max(part.width for part in made) > _COLUMN)
        lines: list[str] = []
        pages = _pages([part.lines for part in made], _lines(self.title + self.caption), _lines(self.note))
        for number, page in enumerate(pages):
            lines += [
                rf"\begin{{table{starred}}}[tp]",
                r"\centering\sloppy",
                self._caption(number),
                r"\smallskip",
                SIZE + SPACING,
                "\n\n\\medskip\n".join(made[index].tabular for index in page),
            ]
            if self.note and number == len(pages) - 1:
                lines += ["", r"\smallskip", rf"\parbox{{\linewidth}}{{\sloppy {breaking(self.note)}}}"]
            lines.append(rf"\end{{table{starred}}}")
        return lines

    def _longtables(self, made: list[Part]) -> list[str]:
        lines = ["% longtable needs one column: the page is broken before and after it", _BEGINNING]
        for number, part in enumerate(made):
            lines += [
                rf"{{\sloppy{SIZE}{SPACING}\setlength{{\LTcapwidth}}{{\linewidth}}",
                rf"\begin{{longtable}}{{{part.columns}}}",
                self._caption(number) + r" \\",
                *[r"\toprule", *part.heads, r"\midrule", r"\endfirsthead"],
                rf"\caption[]{{{breaking(self.title)}, continued.}} \\",
                *[r"\toprule", *part.heads, r"\midrule", r"\endhead"],
                *[r"\bottomrule", r"\endfoot"],
                *part.rows,
                r"\end{longtable}}",
            ]
        if self.note:
            lines.append(rf"{{\sloppy\noindent{SIZE} {breaking(self.note)}\par}}")
        return [*lines, r"\goback"]

    def _caption(self, number: int) -> str:
        """The caption of the first float, with the label; that of the others says that they go on."""
        if number:
            return rf"\caption[]{{{breaking(self.title)}, continued.}}"
        short = escape_latex(printable(self.title, 100))
        return rf"\caption[{short}]{{{breaking(f'{self.title}. {self.caption}'.strip())}}}\label{{tab:{self.name}}}"


def height(grid: Grid) -> int:
    """How many lines all parts of a table take."""
    return sum(part.lines + _BETWEEN for part in parts(grid, WIDTH))


def _lines(text: str) -> int:
    """How many lines of a caption or a note ``text`` takes, in lines of tables."""
    return -(-len(text) * 5 // (_LETTERS * 4)) + 1


def _pages(heights: list[int], caption: int, note: int) -> list[list[int]]:
    """The parts of these ``heights``, by their place: in order, as many on a page as its lines can hold.

    The caption is on the first page, the note on the last.
    """
    pages: list[list[int]] = [[]]
    used = caption
    for index, height in enumerate(heights):
        needed = height + _BETWEEN + (note if index == len(heights) - 1 else 0)
        if pages[-1] and used + needed > _PAGE:
            pages.append([])
            used = 2
        pages[-1].append(index)
        used += needed
    return pages
