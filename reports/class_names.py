"""The names of the classes that a block's tables and figures have by number."""

from bench.records import printable
from bench.reports.blocks import Block
from bench.reports.diagnostics import class_statistic, classes, parsed, shift_truth

FEW = 20  # classes: of so many all are named, of more only those that are spoken of
_LONGEST = 40  # characters of a name


def class_names(block: Block) -> dict[int, str]:
    """The names by number, of the classes that matter here; none where no record has them.

    These are target classes, classes that a defense took for one, and those whose shift was reconstructed.
    """
    done = block.records[block.records["status"] == "done"]
    known = [text for text in dict.fromkeys(done["class_names"]) if text]
    names = [name for name in parsed(known[0], []) if isinstance(name, str)] if known else []
    if len(names) > FEW:
        spoken_of = _spoken_of(done["targets"].tolist(), done["diagnostics"].tolist())
    else:
        spoken_of = set(range(len(names)))
    return {label: printable(names[label], _LONGEST) for label in sorted(spoken_of) if label < len(names)}


def _spoken_of(targets: list[str], diagnostics: list[str]) -> set[int]:
    labels = {label for text in set(targets) for label in classes(parsed(text, []))}
    for text in set(diagnostics):
        statistic = class_statistic(text)
        labels |= {*(statistic.flagged if statistic else ()), *shift_truth(text)}
    return labels
