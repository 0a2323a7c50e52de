"""Tables as papers set them: one float a file, all of them together, what they cite, and a paper that shows them."""

from bench.reports.legend import legend
from bench.reports.names.citations import cited, references
from bench.reports.names.titles import DisplayNames, display_names
from bench.reports.sections import Section
from bench.reports.suffixes import suffixes
from bench.reports.tables.latex_floats import USUAL, Float, Paper, height
from bench.reports.tables.latex_results import BELOW, BESIDE, INTERVALS, has_intervals, results_grid
from bench.reports.tables.latex_side import methods_grid, side_tables
from bench.reports.tables.latex_text import FIGURE_BELOW
from bench.reports.tables.latex_text import escape_latex as escape_latex

_NEEDS = "% needs \\usepackage{booktabs,longtable}\n"
_PAPER = r"""% an example: pdflatex paper, bibtex paper, pdflatex paper, pdflatex paper
\documentclass{article}
\usepackage{booktabs,longtable}WIDTH
\begin{document}
INPUTS
\bibliographystyle{plain}
\bibliography{references}
\end{document}
"""


def latex(sections: list[Section]) -> str:
    """All floats of all sections, but for those with citations and with intervals."""
    return latex_files(sections)["table.tex"]


def latex_files(sections: list[Section], paper: Paper = USUAL) -> dict[str, str]:
    """Files by their path: each float in one, no wider than the ``paper``; all of them; the BibTeX entries; a paper.

    Each needs booktabs and longtable. Their labels are ``tab:`` and the name of their file.
    """
    keys, entries = cited(section.block for section in sections)
    files: dict[str, str] = {}
    together: list[str] = []
    inputs: list[str] = []
    endings = suffixes([section.block for section in sections])
    for section, suffix in zip(sections, endings, strict=True):
        names = display_names(section.block)
        shown = {one.name: one.latex(paper) for one in _floats(section, suffix, names, paper.width)}
        methods = Float(f"methods{suffix}", f"{names.heading}: what is compared", methods_grid(section, names, keys))
        apart = [methods]
        if has_intervals(section.block):
            apart.append(_main(section, suffix, names, paper.width, intervals=True))
        texts = {**shown, **{one.name: one.latex(paper) for one in apart}}
        files |= {f"tables/{name}.tex": _complete(text) for name, text in texts.items()}
        together.append("\n".join(shown.values()))
        inputs += [rf"\input{{tables/{name}}}" for name in [methods.name, *shown]]
        inputs += [rf"% \input{{tables/{one.name}}} % main with 95 \% intervals" for one in apart[1:]]
        inputs.append(r"\clearpage")
    table = _complete("\n\\clearpage\n\n".join(together))
    wide = f"\n\\setlength{{\\textwidth}}{{{paper.text_width:.2f}pt}}" if paper.text_width else ""
    example = _PAPER.replace("WIDTH", wide).replace("INPUTS", "\n".join(inputs))
    return {**files, "table.tex": table, "references.bib": references(entries), "paper.tex": example}


def _complete(text: str) -> str:
    """The text of a file, with what it needs."""
    return _NEEDS + (FIGURE_BELOW + "\n" if r"\figbelow" in text else "") + text


def _floats(section: Section, suffix: str, names: DisplayNames, width: float) -> list[Float]:
    """The main table and those beside it."""
    floats = [_main(section, suffix, names, width)]
    for name, (table, grid) in side_tables(section, names).items():
        floats.append(Float(f"{name}{suffix}", f"{names.heading}: {table.title}", grid, note=table.note))
    return floats


def _main(section: Section, suffix: str, names: DisplayNames, width: float, *, intervals: bool = False) -> Float:
    """The main table; the first line of the legend is in its caption, the others are below it."""
    first, *others = (names.in_sentence(line) for line in legend(section.block, best="Bold"))
    if intervals:
        others.insert(0, "Small figures: 95 % interval of the mean.")
        grid = results_grid(section, names, INTERVALS)
    else:  # whichever takes less room
        grids = [results_grid(section, names, spread) for spread in (BESIDE, BELOW)]
        grid = min(grids, key=lambda grid: height(grid, width))
    return Float(f"{'intervals' if intervals else 'main'}{suffix}", names.heading, grid, first, " ".join(others))
