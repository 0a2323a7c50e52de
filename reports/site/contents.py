"""What a site shows: its records, sorted and each once, as blocks under the data set and architecture they are of."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from bench.records import Record, once, printable, to_frame
from bench.reports.blocks import Block, blocks
from bench.reports.records import BLOCK
from bench.reports.sections import Section, section
from bench.reports.site import addresses


@dataclass(frozen=True)
class Shown:
    """A block on the site. ``part`` names it on the page of its data set and architecture: its profile and recipe."""

    section: Section
    dataset: str
    model: str
    part: str
    key: tuple[str, ...]

    @property
    def block(self) -> Block:
        return self.section.block

    @property
    def page(self) -> str:
        """The address of the page of its data set and architecture."""
        return addresses.of_setting(self.dataset, self.model)

    @property
    def title(self) -> str:
        return " · ".join(filter(None, (self.dataset, self.model, self.part)))

    @cached_property
    def attack_names(self) -> dict[str, str]:
        """By an attack's heading, the name of its plugin."""
        return _names(self.block, "attack_label", "attack")

    @cached_property
    def defense_names(self) -> dict[str, str]:
        """By the heading of a defense's column, the name of its plugin."""
        return _names(self.block, "column", "defense")

    def cell_page(self, attack: str, column: str | None) -> str:
        """The address of a cell's records, "" where there is none; ``column`` None is the undefended network."""
        column = "none" if column is None else column
        return addresses.of_cell(self.key, attack, column) if (attack, column) in self.block.by_cell else ""


@dataclass(frozen=True)
class Contents:
    """All that the site shows. ``records`` are sorted by key; rows of the blocks' frames are numbered as they are."""

    records: list[Record]
    shown: list[Shown]

    @property
    def settings(self) -> list[list[Shown]]:
        """The blocks, put together by data set and architecture."""
        together: dict[str, list[Shown]] = {}
        for one in self.shown:
            together.setdefault(one.page, []).append(one)
        return list(together.values())

    @property
    def attacks(self) -> list[str]:
        """The names of all attacks but the control."""
        return sorted({name for one in self.shown for name in one.attack_names.values()} - {"none"})

    @property
    def defenses(self) -> list[str]:
        """The names of all defenses but the control."""
        return sorted({name for one in self.shown for name in one.defense_names.values()} - {"none"})

    @property
    def newest(self) -> str:
        """When the last of the results was finished, "" where that is not known."""
        return max((record.finished for record in self.records), default="")


def contents(records: Iterable[Record], *, with_invalid: bool = False, published: bool = False) -> Contents:
    """The contents for ``records``, in any order. Of several with one key one stays, by ``bench.records.once``."""
    own = sorted(once(sorted(records, key=Record.model_dump_json)), key=lambda one: one.key)
    made = [section(block, published=published) for block in blocks(to_frame(own), with_invalid=with_invalid)]
    return Contents(own, [_shown(one) for one in made])


def _shown(made: Section) -> Shown:
    dataset, model, profile, recipe = key = tuple(str(made.block.records.iloc[0][name]) for name in BLOCK)
    return Shown(made, dataset, model, " · ".join(filter(None, (profile, recipe))), key)


def _names(block: Block, heading: str, name: str) -> dict[str, str]:
    pairs = block.records[[heading, name]].drop_duplicates().itertuples(index=False, name=None)
    return {str(label): printable(str(plugin)) for label, plugin in pairs}
