"""The tables of what happened: cells that are not done, and what the plugins said."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from bench.records import printable
from bench.reports.blocks import Block
from bench.reports.format import UNDEFINED
from bench.reports.side_table import SideTable


def unfinished(block: Block) -> SideTable:
    """A line for each attack, defense, status and reason of what is not done, with its seeds."""
    records = _by_seed(block.records[block.records["status"] != "done"], "status", "reason")
    lines = [
        [attack, defense, seeds, status, reason or "no reason recorded"]
        for (attack, defense, status, reason), seeds in _seeds_of(records).items()
    ]
    return SideTable("Not done", ["attack", "defense", "seeds", "status", "reason"], lines, 5)


def plugin_messages(block: Block) -> SideTable:
    """A line for each attack, defense and line of text that their plugins logged, with its seeds.

    A cell's lines stand in the order in which they were logged, each once; what an attack logged stands once for all
    its cells, without a defense.
    """
    victims = block.records.drop_duplicates(["attack_label", "seed"]).assign(column=UNDEFINED)
    logged = [
        (attack, defense, text, seed)
        for records, name in ((victims, "victim_log"), (block.records, "log"))
        for attack, defense, log, seed in _by_seed(records[records[name] != ""], name)
        for text in dict.fromkeys(map(printable, log.splitlines()))
        if text.strip()
    ]
    lines = [[attack, defense, seeds, text] for (attack, defense, text), seeds in _seeds_of(logged).items()]
    return SideTable("Said by the plugins", ["attack", "defense", "seeds", "text"], lines, 4)


def _by_seed(records: pd.DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    """Attack, defense, these columns and the seed of each record, in order of attack, defense and seed."""
    records = records.sort_values(["attack_label", "column", "seed"], kind="stable")
    return list(records[["attack_label", "column", *columns, "seed"]].itertuples(index=False, name=None))


def _seeds_of(lines: Iterable[tuple[Any, ...]]) -> dict[tuple[str, ...], str]:
    """The seeds, as "0, 1", of each combination of texts; a line is some texts and a seed."""
    seeds_of: dict[tuple[str, ...], list[str]] = {}
    for *texts, seed in lines:
        seeds_of.setdefault(tuple(texts), []).append(str(seed))
    return {key: ", ".join(seeds) for key, seeds in seeds_of.items()}
