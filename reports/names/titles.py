"""Display names: a plugin's label as a paper prints it, such as "BadNets (target_class=3)"."""

import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import pandas as pd

from bench.records import printable
from bench.reports.blocks import Block
from bench.reports.diagnostics import texts
from bench.reports.format import UNDEFINED
from bench.reports.records import DAGGER
from bench.reports.side_table import SideTable

LONGEST = 60  # characters of a title
_SAID = ("reason", "text")  # heads of columns of what plugins said, which stays as it is


@dataclass(frozen=True)
class DisplayNames:
    """The display name of each attack and of each defense of a block, by its heading, and that of the block itself.

    A name that is no label of a plugin, such as one that a report was told to use, stands for itself. ``titles`` are
    those of the attacks and of the defenses by kind and by the plugin's name, "" for none.
    """

    attacks: Mapping[str, str]
    defenses: Mapping[str, str]
    settings: Mapping[str, Mapping[str, str]]  # by kind, "dataset" and "model"
    heading: str
    titles: Mapping[str, Mapping[str, str]]

    def attack(self, heading: str) -> str:
        """The display name of an attack's heading, which may have the mark of one that did not work."""
        return self._shown("attack", self.attacks, heading)

    def defense(self, heading: str) -> str:
        """The display name of a defense's heading."""
        return self._shown("defense", self.defenses, heading)

    def _shown(self, kind: str, names: Mapping[str, str], heading: str) -> str:
        """That of a heading or, as in a sweep, of one that lacks some of the parameters."""
        marked = _marked(names, heading)
        name = plugin_of(heading)
        known = heading.removesuffix(f" {DAGGER}") in names
        return marked if known else displayed(heading, name, self.titles[kind].get(name, ""))

    def in_table(self, table: SideTable) -> SideTable:
        """The table with display names in the columns of attacks and of defenses, and where a defense is a heading.

        Such a column is one that says so, or one of texts all of which are headings of attacks, or of defenses.
        """
        maps = [self._of_column(table, place) for place in range(len(table.heads))]
        lines = [[_marked(names, text) for names, text in zip(maps, line, strict=True)] for line in table.lines]
        heads = [self.defenses.get(head, head) for head in table.heads]
        return SideTable(table.title, heads, lines, table.texts, self.in_sentence(table.note))

    def _of_column(self, table: SideTable, place: int) -> Mapping[str, str]:
        """The display names of what stands in a column, none where it is anything else."""
        kinds = {"attack": self.attacks, "defense": self.defenses}
        if (head := table.heads[place]) in kinds or place >= table.texts or head in _SAID:
            return kinds.get(head, {})
        told = {line[place].removesuffix(f" {DAGGER}") for line in table.lines} - {UNDEFINED}
        return next((names for names in kinds.values() if told and told <= set(names)), {})

    def in_sentence(self, text: str) -> str:
        """A line of a legend with display names for the labels in it, but for "none", which is a word of its own."""
        names = {**self.defenses, **self.attacks}
        labels = [label for label, name in names.items() if label not in ("none", name) and label in text]
        if not labels:
            return text
        any_label = "|".join(map(re.escape, sorted(labels, key=len, reverse=True)))
        return re.sub(rf"(?<![\w\[=.-])({any_label})(?![\w\[=]|[.-]\w)", lambda found: names[found[0]], text)


def display_names(block: Block) -> DisplayNames:
    """The display names of a block: of its plugins that come with this project, and of those that declare a title.

    A name that was chosen stays (``bench.reports.chosen``).
    """
    attacks = _by_label(block.records, "attack_label", "attack")
    defenses = _by_label(block.records, "column", "defense")
    settings = {kind: _by_label(block.records, f"{kind}_label", kind) for kind in ("dataset", "model")}
    titles = {
        kind: {
            name: title_of(kind, name, declared)
            for name, declared in set(zip(*(block.records[c] for c in columns), strict=True))
        }
        for kind, columns in (("attack", ["attack", "titles"]), ("defense", ["defense", "titles"]))
    }
    return DisplayNames(attacks, defenses, settings, _heading(block, settings), titles)


def plugin_of(heading: str) -> str:
    """The plugin's name, with which a label or a heading begins."""
    return re.split(r"[\[ ]", heading, maxsplit=1)[0]


def displayed(label: str, name: str, title: str) -> str:
    """``label``, which begins with the plugin's ``name``, with its ``title`` and its parameters in parentheses.

    A label that does not begin so stays as it is.
    """
    rest = label.removeprefix(name)
    if not title or (rest == label and name) or (rest and rest[0] not in "[ "):
        return label
    parameters = re.fullmatch(r"\[(.*)\](.*)", rest, re.DOTALL)
    return f"{title} ({parameters[1]}){parameters[2]}" if parameters else title + rest


def built_in(kind: str, name: str) -> tuple[str, ...]:
    """The title of a plugin of this project and the keys of what is cited for it; nothing for any other plugin."""
    return tuple(_built_in().get(kind, {}).get(name, ()))


def title_of(kind: str, name: str, declared: str) -> str:
    """A plugin's title, "" without one; the controls have none. ``declared``: those of a record, JSON, by kind."""
    if name == "none":
        return ""
    own = texts(declared).get(kind, "") if declared not in ("", "{}") else ""
    return printable(own, LONGEST) if own else next(iter(built_in(kind, name)), "")


@cache
def _built_in() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads(files("bench.reports.names").joinpath("built_in.toml").read_text(encoding="utf-8"))


def _by_label(records: pd.DataFrame, column: str, kind: str) -> dict[str, str]:
    """Display names by label. Where two labels would have the same, both stay: a reader must tell them apart."""
    chosen = records[f"{kind}_renamed"] if f"{kind}_renamed" in records else [False] * len(records)
    rows = set(zip(records[column], records[kind], records["titles"], chosen, strict=True))
    names = {
        label: label if stays else displayed(label, name, title_of(kind, name, declared))
        for label, name, declared, stays in rows
    }
    shared = Counter(names.values())
    return {label: label if shared[name] > 1 else name for label, name in names.items()}


def _heading(block: Block, settings: Mapping[str, Mapping[str, str]]) -> str:
    """The block's title with the display names of its data set and its model."""
    labels = {kind: next(iter(names), "") for kind, names in settings.items()}
    plain = " · ".join(filter(None, labels.values()))
    shown = " · ".join(settings[kind][label] for kind, label in labels.items() if label)
    return shown + block.title.removeprefix(plain) if block.title.startswith(plain) else block.title


def _marked(names: Mapping[str, str], text: str) -> str:
    """The display name of a heading, which may have the mark of an attack that did not work."""
    label = text.removesuffix(f" {DAGGER}")
    return names[label] + text[len(label) :] if label in names else text
