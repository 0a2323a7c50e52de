"""Tables in Markdown, aligned so that they read as plain text too."""

import re
from collections.abc import Sequence

from rich.cells import cell_len

from bench.reports.blocks import Block
from bench.reports.format import NO_DEFENSE, UNDEFINED, percent, tally, word
from bench.reports.legend import legend, troubles

_HEAD = ["attack", "defense", "ACC", "ASR", "RA", "DER"]


def markdown(blocks: list[Block]) -> str:
    """Every block: a line for each attack and defense, what to know to read it, and what went wrong."""
    return "\n".join(_section(block) for block in blocks)


def escaped(text: str) -> str:
    """``text`` so that Markdown shows it as it is, on one line."""
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", " ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;")


def _section(block: Block) -> str:
    lines = [f"## {escaped(block.title)}", "", *_grid(_HEAD, _rows(block), right=2), ""]
    lines += [f"- {escaped(text)}" for text in legend(block, best="Bold")]
    for extra in block.extras:
        texts = [list(map(escaped, line)) for line in extra.lines]
        lines += ["", f"{extra.title}:", "", *_grid(extra.heads, texts, right=extra.texts)]
    wrong = [tuple(map(escaped, line)) for line in troubles(block)]
    if wrong:
        lines += ["", "Not done:", "", *_grid(["attack", "defense", "seeds", "status", "reason"], wrong, right=5)]
    return "\n".join([*lines, ""])


def _rows(block: Block) -> list[list[str]]:
    rows = []
    for attack in block.lines:
        for defense in [None, *block.defenses]:
            cell = block.before[attack] if defense is None else block.cells[attack, defense]
            figures = [word(cell), *[UNDEFINED] * 3]
            if cell.status == "done":
                figures = [percent(cell.stat(metric)) for metric in ("acc", "asr", "ra", "der")]
                if tally(cell):
                    figures[0] += f" ({tally(cell)})"
                if defense in block.best(attack):
                    figures[-1] = f"**{figures[-1]}**"
            rows.append([escaped(block.marked(attack)), escaped(defense or NO_DEFENSE), *figures])
    return rows


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]], right: int) -> list[str]:
    """A table whose columns from the number ``right`` on stand to the right."""
    widths = [max(3, *map(cell_len, column)) for column in zip(head, *rows, strict=True)]

    def line(texts: Sequence[str]) -> str:
        pads = [" " * (width - cell_len(text)) for text, width in zip(texts, widths, strict=True)]
        cells = [
            pad + text if place >= right else text + pad
            for place, (text, pad) in enumerate(zip(texts, pads, strict=True))
        ]
        return f"| {' | '.join(cells)} |"

    rule = ["-" * (width - 1) + (":" if place >= right else "-") for place, width in enumerate(widths)]
    return [line(head), line(rule), *map(line, rows)]
