"""Names for figures: long names of variants of one plugin, without the parameters that all of them share."""

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby

from bench.reports.blocks import Block
from bench.reports.names.titles import DisplayNames, display_names, plugin_of

_LONG = 40  # characters of a name from which on a figure has no room for it
_COMMA = re.compile(r",(?![^\[]*\])")  # outside of a value's own brackets


def figure_names(block: Block) -> DisplayNames:
    """The display names of a block; its heading says what every variant of a plugin with long names shares.

    So variants that differ in the last of many parameters are told apart where their whole names would be cut off. A
    preset, such as ``paper``, is never left out, nor is anything of a plugin that has one variant alone.
    """
    names = display_names(block)
    attacks, of_attacks = _shortened(names.attacks)
    defenses, of_defenses = _shortened(names.defenses)
    heading = " · ".join([names.heading, *of_attacks, *of_defenses])
    return replace(names, attacks=attacks, defenses=defenses, heading=heading)


def _shortened(names: Mapping[str, str]) -> tuple[Mapping[str, str], list[str]]:
    """Names by label without what a plugin's variants share, and a line for each plugin that says it."""
    short, told = dict(names), list[str]()
    for _, group in groupby(sorted(names, key=plugin_of), key=plugin_of):
        labels = list(group)
        if len(labels) < 2 or max(len(names[label]) for label in labels) <= _LONG:
            continue
        first, *others = map(_parameters, labels)
        shared = [part for part in first if all(part in own for own in others)]
        fewer = {label: _without(names[label], label, shared) for label in labels}
        if shared and len(set(fewer.values())) == len(labels) and all(fewer[one] != names[one] for one in labels):
            short |= fewer
            title = re.split(r" ?[\[(]", names[labels[0]], maxsplit=1)[0]
            told.append(f"{title} with {', '.join(shared)}")
    return short, told


def _parameters(label: str) -> list[str]:
    """The parameters of a label, each with its value: no preset."""
    return [part for part in _COMMA.split(_within(label)) if "=" in part]


def _without(name: str, label: str, shared: list[str]) -> str:
    """A display name of ``label`` without the ``shared`` parameters, and without brackets around none."""
    all_of_them = _within(label)
    if not all_of_them or all_of_them not in name:
        return name  # it was chosen
    left = ",".join(part for part in _COMMA.split(all_of_them) if part not in shared)
    return re.sub(r" ?(\(\)|\[\])", "", name.replace(all_of_them, left, 1))


def _within(label: str) -> str:
    """What stands between the brackets of a label."""
    found = re.search(r"\[(.*)\]", label)
    return found[1] if found else ""
