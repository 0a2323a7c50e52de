"""The results as numbers, for other programs: one long table."""

import pandas as pd

from bench.reports.blocks import Block
from bench.reports.records import NUMBERS, ordered
from bench.reports.stats import RowSet


def csv(blocks: list[Block]) -> str:
    """One line a data set, model, attack and defense, the control among them.

    Every number of the records has its mean, sample standard deviation (empty for fewer than two) and count over the
    done seeds. Shares are in [0, 1].
    """
    lines = [
        _line(block.by_cell[attack, defense], defense)
        for block in blocks
        for attack in block.attacks
        for defense in ordered(block.records, "column", "defense")
        if (attack, defense) in block.by_cell
    ]
    return pd.DataFrame(lines).to_csv(index=False, lineterminator="\n")


def _line(records: RowSet, defense: str) -> dict[str, object]:
    done = records.done
    names = ["dataset_label", "model_label", "profile", "recipe", "attack_label"]
    line: dict[str, object] = {name.removesuffix("_label"): records[name][0] for name in names}
    line |= {"defense": defense, "knowledge": records["knowledge"][0], "seeds": len(records), "done": len(done)}
    line |= {"valid": int(done["valid"].sum())}
    for metric, stat in done.stats(NUMBERS).items():
        line |= {f"{metric}_mean": stat.mean, f"{metric}_std": stat.std, f"{metric}_n": stat.count}
    return line
