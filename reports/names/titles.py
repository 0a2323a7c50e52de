"""Display names: a plugin's label as a paper prints it, such as "BadNets (target_class=3)"."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from bench.records import printable
from bench.reports.blocks import DAGGER, Block
from bench.reports.diagnostics import texts
from bench.reports.side_table import SideTable

LONGEST = 60  # characters of a title


@dataclass(frozen=True)
class DisplayNames:
    """The display name of each attack and of each defense of a block, by its heading, and that of the block itself.

    A name that is no label of a plugin, such as one that a report was told to use, stands for itself.
    """

    attacks: Mapping[str, str]
    defenses: Mapping[str, str]
    settings: Mapping[str, Mapping[str, str]]  # by kind, "dataset" and "model"
    heading: str

    def in_table(self, table: SideTable) -> SideTable:
        """The table with display names in the columns "attack" and "defense", and where a defense is a heading."""
        kinds = {"attack": self.attacks, "defense": self.defenses}
        maps = [kinds.get(head, {}) for head in table.heads]
        lines = [[_marked(names, text) for names, text in zip(maps, line, strict=True)] for line in table.lines]
        heads = [self.defenses.get(head, head) for head in table.heads]
        return SideTable(table.title, heads, lines, table.texts, table.note)

    def in_sentence(self, text: str) -> str:
        """A line of a legend with display names for the labels in it, but for "none", which is a word of its own."""
        names = {**self.defenses, **self.attacks}
        labels = [label for label, name in names.items() if label not in ("none", name) and label in text]
        if not labels:
            return text
        any_label = "|".join(map(re.escape, sorted(labels, key=len, reverse=True)))
        return re.sub(rf"(?<![\w\[=.-])({any_label})(?![\w\[=]|[.-]\w)", lambda found: names[found[0]], text)


def display_names(block: Block) -> DisplayNames:
    """The display names of a block: of its plugins that come with this project, and of those that declare a title."""
    records = block.records
    attacks = _by_label(records[["attack_label", "attack", "titles"]].itertuples(index=False, name=None), "attack")
    defenses = _by_label(records[["column", "defense", "titles"]].itertuples(index=False, name=None), "defense")
    settings = {
        kind: _by_label(records[[f"{kind}_label", kind, "titles"]].itertuples(index=False, name=None), kind)
        for kind in ("dataset", "model")
    }
    return DisplayNames(attacks, defenses, settings, _heading(block, settings))


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


def _by_label(rows: Iterable[tuple[str, str, str]], kind: str) -> dict[str, str]:
    """Display names by label. Where two labels would have the same, both stay: a reader must tell them apart."""
    names = {label: displayed(label, name, title_of(kind, name, declared)) for label, name, declared in set(rows)}
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
