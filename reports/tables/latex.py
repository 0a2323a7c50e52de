"""Tables as papers set them: attacks as rows, a group of columns for each defense."""

from bench.reports.blocks import AVERAGE, Block
from bench.reports.format import NO_DEFENSE, UNDEFINED, percent, tally, word
from bench.reports.legend import legend
from bench.reports.side_tables import Extra

_HEADS = ["ACC", "ASR", "RA", "DER"]
_FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"  # no wider than the text
_PAGE = 66  # lines of a table on a page, with its headings
_SIGNS = {
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
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "β": r"$\beta$",
    "†": r"\textsuperscript{\dag}",
} | {sign: f"\\{sign}" for sign in "&%$#_{}"}


def latex(blocks: list[Block]) -> str:
    """A table* for each block; it needs \\usepackage{booktabs,graphicx}."""
    return "% needs \\usepackage{booktabs,graphicx}\n" + "\n".join(_table(block) for block in blocks)


def escaped(text: str) -> str:
    """``text`` so that LaTeX prints it as it is."""
    return "".join(_SIGNS.get(sign, sign) for sign in " ".join(text.split()))


def _table(block: Block) -> str:
    """The defenses side by side, as many as a page can hold in its width, the next ones below or on the next page."""
    groups: list[str | None] = [None, *block.defenses]
    size = 3 if len(block.seeds) > 1 else 5  # figures with a spread are twice as wide
    parts = [_tabular(block, groups[start : start + size]) for start in range(0, len(groups), size)]
    high = max(1, _PAGE // (len(block.lines) + 4))
    pages = [parts[start : start + high] for start in range(0, len(parts), high)]
    captions = [f"{block.title}. {' '.join(legend(block, best='Bold'))}"]
    captions += [f"{block.title}, continued."] * (len(pages) - 1)
    return "\n".join(
        [
            *(line for some, caption in zip(pages, captions, strict=True) for line in _floating(some, caption)),
            *(line for extra in block.extras for line in _plain(block.title, extra)),
            "",
        ]
    )


def _floating(parts: list[str], caption: str) -> list[str]:
    return [
        r"\begin{table*}",
        r"\centering\small\setlength{\tabcolsep}{3.5pt}",
        rf"\caption{{{escaped(caption)}}}",
        r"\smallskip",
        "\n\n\\medskip\n".join(parts),
        r"\end{table*}",
    ]


def _plain(title: str, extra: Extra) -> list[str]:
    """A table of its own, under the block's title."""
    return [
        r"\begin{table}",
        r"\centering\small\setlength{\tabcolsep}{3.5pt}",
        rf"\caption{{{escaped(f'{title}. {extra.title}.')}}}",
        r"\smallskip",
        _FIT,
        rf"\begin{{tabular}}{{{'l' * extra.texts}{'r' * (len(extra.heads) - extra.texts)}}}",
        r"\toprule",
        " & ".join(map(escaped, extra.heads)) + r" \\",
        r"\midrule",
        *(" & ".join(map(escaped, line)) + r" \\" for line in extra.lines),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
    ]


def _tabular(block: Block, defenses: list[str | None]) -> str:
    """One piece of the table, no wider than the text."""
    widths = [4 if name else 3 for name in defenses]
    starts = [2 + sum(widths[:place]) for place in range(len(widths))]
    rules = [rf"\cmidrule(lr){{{start}-{start + width - 1}}}" for start, width in zip(starts, widths, strict=True)]
    body = []
    for attack in block.lines:
        if attack == AVERAGE:
            body.append(r"\midrule")
        body.append(
            " & ".join([escaped(block.marked(attack)), *(_cells(block, attack, name) for name in defenses)]) + r" \\"
        )
    return "\n".join(
        [
            _FIT,
            rf"\begin{{tabular}}{{l{'r' * sum(widths)}}}",
            r"\toprule",
            " & ".join(["", *(_group(name or NO_DEFENSE, width) for name, width in zip(defenses, widths, strict=True))])
            + r" \\",
            " ".join(rules),
            " & ".join(["Attack", *(head for width in widths for head in _HEADS[:width])]) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
        ]
    )


def _group(name: str, width: int) -> str:
    return rf"\multicolumn{{{width}}}{{c}}{{{escaped(name)}}}"


def _cells(block: Block, attack: str, defense: str | None) -> str:
    cell = block.before[attack] if defense is None else block.cells[attack, defense]
    metrics = ["acc", "asr", "ra", "der"][: 3 if defense is None else 4]
    if cell.status != "done":
        return rf"\multicolumn{{{len(metrics)}}}{{c}}{{{word(cell)}}}"
    figures = [_figure(percent(cell.stat(metric))) for metric in metrics]
    if defense in block.best(attack):
        figures[-1] = _figure(percent(cell.stat("der")), bold=True)
    if tally(cell):
        figures[0] += rf"~\scriptsize({tally(cell)})"
    return " & ".join(figures)


def _figure(text: str, *, bold: bool = False) -> str:
    """A mean with its spread as a small index; in bold, the mean only."""
    mean, _, spread = text.partition("±")
    mean = "--" if mean == UNDEFINED else mean
    mean = rf"\textbf{{{mean}}}" if bold else mean
    return rf"{mean}$_{{\pm {spread}}}$" if spread else mean
