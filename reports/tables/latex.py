"""Tables as papers set them: attacks as rows, a group of columns for each defense."""

import re
from itertools import groupby

from bench.reports.format import NO_DEFENSE, UNDEFINED
from bench.reports.legend import legend
from bench.reports.records import BEFORE, HEADS
from bench.reports.rows import CellText
from bench.reports.sections import Section
from bench.reports.side_table import SideTable

_FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"  # no wider than the text
_PAGE = 66  # lines of a table on a page, with its headings
_SMALL = r"\centering\small\setlength{\tabcolsep}{3.5pt}"
_PARAGRAPH = r"p{.6\linewidth}"  # a column of sentences
_LIGATURE = re.compile("-(?=-)")  # two of them would be printed as one dash
_SIGNS = {
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
    "−": "$-$",
    "∞": r"$\infty$",
    "→": r"$\to$",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "β": r"$\beta$",
    "†": r"\textsuperscript{\dag}",
} | {sign: f"\\{sign}" for sign in "&%$#_{}"}


def latex(sections: list[Section]) -> str:
    """A table* for each section and a table for each table beside it; needs \\usepackage{booktabs,graphicx}."""
    return "% needs \\usepackage{booktabs,graphicx}\n" + "\n".join(_section(section) for section in sections)


def escape_latex(text: str) -> str:
    """``text`` so that LaTeX prints it as it is, on one line."""
    return "".join(_SIGNS.get(sign, sign) for sign in _LIGATURE.sub("-\0", " ".join(text.split())))


def _section(section: Section) -> str:
    """The defenses side by side, as many as a page can hold in its width, the next ones below or on the next page."""
    block = section.block
    groups = range(1 + len(block.defenses))  # the undefended network, then each defense
    size = 3 if len(block.seeds) > 1 else 4  # figures with a spread are twice as wide
    parts = [_results(section, groups[start : start + size]) for start in range(0, len(groups), size)]
    height = max(1, _PAGE // (len(section.rows) + 5))
    pages = [parts[start : start + height] for start in range(0, len(parts), height)]
    captions = [f"{block.title}. {' '.join(legend(block, best='Bold'))}"]
    captions += [f"{block.title}, continued."] * (len(pages) - 1)
    lines = [line for page, caption in zip(pages, captions, strict=True) for line in _floating(page, caption)]
    for table in section.side_tables:
        lines += _side_table(block.title, table, "l" * table.texts + "r" * (len(table.heads) - table.texts))
    if section.messages.lines:
        lines += _side_table(block.title, section.messages, "l" * (section.messages.texts - 1) + _PARAGRAPH)
    return "\n".join([*lines, ""])


def _floating(parts: list[str], caption: str) -> list[str]:
    return [
        r"\begin{table*}",
        _SMALL,
        rf"\caption{{{escape_latex(caption)}}}",
        r"\smallskip",
        "\n\n\\medskip\n".join(parts),
        r"\end{table*}",
    ]


def _side_table(title: str, table: SideTable, columns: str) -> list[str]:
    """A table of its own, under the block's title. ``columns`` is how LaTeX shall set them."""
    return [
        r"\begin{table}",
        _SMALL,
        rf"\caption{{{escape_latex(f'{title}. {table.title}. {table.note}')}}}",
        r"\smallskip",
        _FIT,
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(map(escape_latex, table.heads)) + r" \\",
        r"\midrule",
        *(" & ".join(map(escape_latex, line)) + r" \\" for line in table.lines),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
    ]


def _results(section: Section, groups: range) -> str:
    """The columns of some of the ``groups``: 0 is the undefended network, 1 the first defense."""
    names = [section.block.defenses[group - 1] if group else NO_DEFENSE for group in groups]
    heads = [list(HEADS.values())[: len(HEADS) if group else len(BEFORE)] for group in groups]
    widths = list(map(len, heads))
    given = {name: group.heading for group in section.block.groups for name in group.defenses}
    known = [(given.get(name, ""), width) for name, width in zip(names, widths, strict=True)]
    spans = [(text, sum(width for _, width in run)) for text, run in groupby(known, key=lambda pair: pair[0])]
    body = []
    for row in section.rows:
        if row.average:
            body.append(r"\midrule")
        body.append(" & ".join([escape_latex(row.heading), *(_cell(row.cells[group]) for group in groups)]) + r" \\")
    return "\n".join(
        [
            _FIT,
            rf"\begin{{tabular}}{{l{'r' * sum(widths)}}}",
            r"\toprule",
            *_spanned(spans),
            *_spanned(list(zip(names, widths, strict=True))),
            " & ".join(["Attack", *(head for group in heads for head in group)]) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
        ]
    )


def _spanned(heads: list[tuple[str, int]]) -> list[str]:
    """A line of headings over several columns each, after the first column, and a line under those that are not ""."""
    rules, column = [], 2
    for text, width in heads:
        if text:
            rules.append(rf"\cmidrule(lr){{{column}-{column + width - 1}}}")
        column += width
    spanning = [_spanning(width, escape_latex(text)) for text, width in heads]
    return [" & ".join(["", *spanning]) + r" \\", " ".join(rules)]


def _spanning(width: int, text: str) -> str:
    return rf"\multicolumn{{{width}}}{{c}}{{{text}}}"


def _cell(cell: CellText) -> str:
    if not cell.done:
        return _spanning(len(cell.figures), cell.word)
    last = len(cell.figures) - 1
    figures = [_figure(text, bold=cell.best and index == last) for index, text in enumerate(cell.figures)]
    if cell.tally:
        figures[0] += rf"~\scriptsize({cell.tally})"
    return " & ".join(figures)


def _figure(text: str, *, bold: bool) -> str:
    """A mean with its spread as a small index; in bold, the mean only."""
    mean, _, spread = text.partition("±")
    mean = "--" if mean == UNDEFINED else mean
    mean = rf"\textbf{{{mean}}}" if bold else mean
    return rf"{mean}$_{{\pm {spread}}}$" if spread else mean
