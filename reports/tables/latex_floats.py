"""Floats: a table in parts below each other, on as many pages as it needs; a longtable where one part is too high."""

from dataclasses import dataclass, replace

from bench.records import printable
from bench.reports.chosen import WrongChoice
from bench.reports.tables.latex_grid import SPACING, Grid, Part, parts
from bench.reports.tables.latex_text import SIZE, breaking, escape_latex, measured, shortened

_POINTS = 72.27 / 2.54  # of TeX, in a centimetre
_BETWEEN_COLUMNS = 12.0  # points, in IEEE's class; article has 10
_SPARE = 2.0  # points that a table leaves, for widths are rounded
_NARROWEST, _WIDEST = 7, 60  # centimetres of a text: a column of a paper; a poster
_PAGE = 50  # lines of a page, at the size of tables
_LONGEST_TITLE = 2000.0  # points: six lines
_BETWEEN = 3  # lines for the rules of a part and the space around it
_BEGINNING = r"\csname if@twocolumn\endcsname\onecolumn\def\goback{\twocolumn}\else\def\goback{}\fi"


@dataclass(frozen=True)
class Paper:
    """How wide tables may be, in points: over the page, and over one of its columns.

    The usual one fits article, of which a page has 345 and one of two columns 200, LNCS, and every wider class.
    """

    width: float = 343.0
    column: float = 196.0
    text_width: float = 0.0  # of the page, where it was given

    @classmethod
    def of(cls, centimetres: float | None, columns: int | None) -> "Paper":
        """Of a page whose text is so wide, and of one or two ``columns``; the usual one where neither is given.

        Raises WrongChoice for what no page has.
        """
        if centimetres is not None and not _NARROWEST <= centimetres <= _WIDEST:
            raise WrongChoice(f"latex-width {centimetres:g}: expected {_NARROWEST} to {_WIDEST} centimetres")
        if columns not in (None, 1, 2):
            raise WrongChoice(f"latex-columns {columns}: expected 1 or 2")
        text = (centimetres or 0.0) * _POINTS
        page = text - _SPARE if centimetres else cls.width
        if columns == 1:
            return cls(page, page, text)
        return cls(page, (text - _BETWEEN_COLUMNS) / 2 - _SPARE if centimetres else cls.column, text)


USUAL = Paper()


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

    def latex(self, paper: Paper) -> str:
        """The float, or several where a page cannot hold it, no wider than the paper's text."""
        title = shortened(self.title, _LONGEST_TITLE)
        return replace(self, title=title)._set(paper)

    def _set(self, paper: Paper) -> str:
        made = parts(self.grid, paper.width)
        starred = max(part.width for part in made) > paper.column
        across = paper.width if starred else paper.column
        caption = _caption_lines(f"{self.title}. {self.caption}", across)
        again = _caption_lines(f"{self.title}, continued.", across)
        note = _note_lines(self.note, across)
        heights = [part.lines + _BETWEEN for part in made]
        if max(heights) + max(caption, again) > _PAGE or heights[-1] + again + note > _PAGE:
            return "\n".join([*self._longtables(made), ""])
        return "\n".join([*self._floats(made, _pages(heights, caption, again, note), "*" * starred), ""])

    def _floats(self, made: list[Part], pages: list[list[int]], star: str) -> list[str]:
        lines: list[str] = []
        for number, page in enumerate(pages):
            lines += [
                rf"\begin{{table{star}}}[tp]",
                r"\centering\sloppy",
                self._caption(number),
                r"\smallskip",
                SIZE + SPACING,
                "\n\n\\medskip\n".join(made[index].tabular for index in page),
            ]
            if self.note and number == len(pages) - 1:
                lines += ["", r"\smallskip", rf"\parbox{{\linewidth}}{{\sloppy {breaking(self.note)}}}"]
            lines.append(rf"\end{{table{star}}}")
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


def height(grid: Grid, width: float) -> int:
    """How many lines all parts of a table take."""
    return sum(part.lines + _BETWEEN for part in parts(grid, width))


def _caption_lines(text: str, across: float) -> int:
    """How many lines a caption takes, in lines of tables; it is set at the size of the paper's text."""
    return int(1.3 * _note_lines(text, across, scale=1.25)) + 1


def _note_lines(text: str, across: float, *, scale: float = 1.0) -> int:
    """How many lines of ``across`` points a text takes below a table."""
    return -int(-scale * measured(text) // across)


def _pages(heights: list[int], caption: int, again: int, note: int) -> list[list[int]]:
    """The parts of these ``heights``, by their place: in order, as many on a page as its lines can hold.

    The caption is on the first page, another ``again`` on all others, the note on the last.
    """
    pages: list[list[int]] = [[]]
    used = caption
    for index, height in enumerate(heights):
        needed = height + (note if index == len(heights) - 1 else 0)
        if pages[-1] and used + needed > _PAGE:
            pages.append([])
            used = again
        pages[-1].append(index)
        used += needed
    return pages
