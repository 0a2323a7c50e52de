"""The results as numbers, for other programs: one long table."""

import pandas as pd

from bench.reports.blocks import Block
from bench.reports.records import NUMBERS, ordered

_FORMULA = tuple("=+-@|%＝＋－＠")  # by which a formula, or a command, begins


def csv(blocks: list[Block]) -> str:
    """One line a data set, model, attack and defense, the control among them.

    Every number of the records has its mean, sample standard deviation (empty for fewer than two) and count over the
    done seeds. Shares are in [0, 1]. left_out counts the records that are not in these numbers, for they are of
    another plugin, other parameters or other code than the newest.
    """
    lines = [
        _line(block, attack, defense)
        for block in blocks
        for attack in block.attacks
        for defense in ordered(block.records, "column", "defense")
        if (attack, defense) in block.by_cell
    ]
    return pd.DataFrame(lines).to_csv(index=False, lineterminator="\n")


def plain(text: str) -> str:
    """``text`` so that a spreadsheet does not take it for a formula: one is made a text by an apostrophe before it."""
    return f"'{text}" if text.lstrip()[:1] in _FORMULA else text


def _line(block: Block, attack: str, defense: str) -> dict[str, object]:
    records = block.by_cell[attack, defense]
    done = records.done
    names = ["dataset_label", "model_label", "profile", "recipe", "attack_label"]
    line: dict[str, object] = {name.removesuffix("_label"): plain(records[name][0]) for name in names}
    line |= {
        "defense": plain(defense),
        "knowledge": plain(records["knowledge"][0]),
        "seeds": len(records),
        "done": len(done),
    }
    line |= {"valid": int(done["valid"].sum()), "left_out": _left_out(block, attack, defense)}
    for metric, stat in done.stats(NUMBERS).items():
        line |= {f"{metric}_mean": stat.mean, f"{metric}_std": stat.std, f"{metric}_n": stat.count}
    return line


def _left_out(block: Block, attack: str, defense: str) -> int:
    if block.left_out.empty:
        return 0
    return int(((block.left_out["attack_label"] == attack) & (block.left_out["column"] == defense)).sum())
