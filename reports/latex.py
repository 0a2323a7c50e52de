"""Tables as papers set them: attacks as rows, a group of columns for each defense."""

from reports.summary import AVERAGE, Block
from reports.words import NO_DEFENSE, UNDEFINED, legend, percent, tally, word

_HEADS = ["ACC", "ASR", "RA", "DER"]
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
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "β": r"$\beta$",
} | {sign: f"\\{sign}" for sign in "&%$#_{}"}


def latex(blocks: list[Block]) -> str:
    """A table* for each block; it needs \\usepackage{booktabs,graphicx}."""
    return "% needs \\usepackage{booktabs,graphicx}\n" + "\n".join(_table(block) for block in blocks)


def escaped(text: str) -> str:
    """``text`` so that LaTeX prints it as it is."""
    return "".join(_SIGNS.get(sign, sign) for sign in " ".join(text.split()))


def _table(block: Block) -> str:
    groups = [_group(NO_DEFENSE, 3), *(_group(name, 4) for name in block.defenses)]
    starts = [2, *range(5, 5 + 4 * len(block.defenses), 4)]
    rules = [rf"\cmidrule(lr){{{start}-{start + (2 if start == 2 else 3)}}}" for start in starts]
    body = []
    for attack in block.lines:
        if attack == AVERAGE:
            body.append(r"\midrule")
        cells = [_cells(block, attack, defense) for defense in [None, *block.defenses]]
        body.append(" & ".join([escaped(attack), *cells]) + r" \\")
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering",
            rf"\caption{{{escaped(block.title)}. {escaped(' '.join(legend(block, best='Bold')))}}}",
            r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{l{'rrr'}{'rrrr' * len(block.defenses)}}}",
            r"\toprule",
            " & ".join(["", *groups]) + r" \\",
            " ".join(rules),
            " & ".join(["Attack", *_HEADS[:3], *_HEADS * len(block.defenses)]) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table*}",
            "",
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
