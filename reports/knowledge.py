"""Equal knowledge: only defenses that were given the same are ranked against each other."""

from dataclasses import dataclass

import pandas as pd

from bench.reports.records import natural


@dataclass(frozen=True)
class Group:
    """The ``defenses``, by the headings of their columns, that were ``given`` the same, such as "200 clean".

    given is "" where no record says it. ``ranked``: whether one of them can be best. Oracles know what no defender
    knows, and of those with no record of what they were given nobody can say that it was the same.
    """

    given: str
    oracles: bool
    defenses: list[str]

    @property
    def ranked(self) -> bool:
        return bool(self.given) and not self.oracles

    @property
    def heading(self) -> str:
        """What stands above the group in a table."""
        return f"given {self.given}" if self.given else "given: not recorded"


def groups(records: pd.DataFrame) -> list[Group]:
    """The groups of the defenses in ``records``: first who knows least, oracles last; within each by name."""
    defended = records.loc[records["defense"] != "none", ["column", "knowledge", "oracle"]].drop_duplicates()
    told = defended.sort_values("knowledge", key=lambda column: column == "", kind="stable").drop_duplicates("column")
    of_group: dict[tuple[bool, str], list[str]] = {}
    for name, given, oracle in told.itertuples(index=False):
        of_group.setdefault((bool(oracle), str(given)), []).append(str(name))
    return [
        Group(given, oracles, sorted(of_group[oracles, given], key=natural))
        for oracles, given in sorted(of_group, key=_rank)
    ]


def _rank(key: tuple[bool, str]) -> tuple[object, ...]:
    """Nothing, clean images, also suspected ones, these with their originals, what is not known, and the oracles."""
    oracles, given = key
    return oracles, not given, given != "nothing", given.count(" + "), "pairs" in given, natural(given)
