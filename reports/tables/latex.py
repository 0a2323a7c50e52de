"""Tables as papers set them: one float a file, all of them together, what they cite, and a paper that shows them."""

from bench.reports.legend import legend
from bench.reports.names.citations import cited, references
from bench.reports.names.titles import DisplayNames, display_names
from bench.reports.sections import Section
from bench.reports.suffixes import suffixes
from bench.reports.tables.latex_floats import WIDTH, Float, height
from bench.reports.tables.latex_results import BELOW, BESIDE, INTERVALS, has_intervals, results_grid
from bench.reports.tables.latex_side import methods_grid, side_tables
from bench.reports.tables.latex_text import escape_latex as escape_latex

_NEEDS = "% needs \\usepackage{booktabs,longtable}\n"
_PAPER = r"""% an example: pdflatex paper, bibtex paper, pdflatex paper, pdflatex paper
\documentclass{article}
\usepackage{booktabs,longtable}
\begin{document}
INPUTS
\bibliographystyle{plain}
\bibliography{references}
\end{document}
"""


def latex(sections: list[Section]) -> str:
    """All floats of all sections, but for those with citations and with intervals."""
    made = [_floats(section, suffix) for section, suffix in _with_suffixes(sections)]
    return _NEEDS + "\n\\clearpage\n\n".join("\n".join(one.latex() for one in floats) for floats in made)


def latex_files(sections: list[Section], width: float = WIDTH) -> dict[str, str]:
    """Files by their path: each float in one, no wider than ``width`` points; the BibTeX entries; the example."""
    keys, entries = cited(section.block for section in sections)
    files, inputs = {}, []
    for section, suffix in _with_suffixes(sections):
        names = display_names(section.block)
        shown = _floats(section, suffix, names)
        methods = Float(f"methods{suffix}", f"{names.heading}: what is compared", methods_grid(section, names, keys))
        apart = [_main(section, suffix, names, intervals=True)] if has_intervals(section.block) else []
        files |= {f"tables/{one.name}.tex": _NEEDS + one.latex(width) for one in [*shown, methods, *apart]}
        inputs += [rf"\input{{tables/{one.name}}}" for one in [methods, *shown]]
        inputs += [rf"% \input{{tables/{one.name}}} % instead of main: with 95 \% intervals" for one in apart]
        inputs.append(r"\clearpage")
    return {**files, "references.bib": references(entries), "paper.tex": _PAPER.replace("INPUTS", "\n".join(inputs))}


def _with_suffixes(sections: list[Section]) -> list[tuple[Section, str]]:
    return list(zip(sections, suffixes([section.block for section in sections]), strict=True))


def _floats(section: Section, suffix: str, names: DisplayNames | None = None) -> list[Float]:
    """The main table and those beside it."""
    names = names or display_names(section.block)
    floats = [_main(section, suffix, names)]
    for name, (table, grid) in side_tables(section, names).items():
        floats.append(Float(f"{name}{suffix}", f"{names.heading}: {table.title}", grid, note=table.note))
    return floats


def _main(section: Section, suffix: str, names: DisplayNames, *, intervals: bool = False) -> Float:
    """The main table; the first line of the legend is in its caption, the others are below it."""
    first, *others = (names.in_sentence(line) for line in legend(section.block, best="Bold"))
    if intervals:
        others.insert(0, "Small figures: 95 % interval of the mean.")
        grid = results_grid(section, names, INTERVALS)
    else:  # whichever takes less room
        grid = min((results_grid(section, names, spread) for spread in (BESIDE, BELOW)), key=height)
    return Float(f"{'intervals' if intervals else 'main'}{suffix}", names.heading, grid, first, " ".join(others))
