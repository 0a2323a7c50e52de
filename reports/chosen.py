"""What of the results is shown, and how: order, display names, metrics, and which way round the table is."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from math import inf, isnan
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.records import printable
from bench.reports.names.renaming import expect_plain, shared_by
from bench.reports.records import HEADS, METRICS, ORACLE
from bench.reports.stats import Stat

if TYPE_CHECKING:
    from bench.reports.blocks import Block

ORDERS = ("name", "given", "der")
ROWS = ("attacks", "defenses")
KINDS = ("dataset", "model", "attack", "defense")
_LONGEST = 100  # characters of a display name
_RENAMED = re.compile(r"\s*(?P<old>[^\[\]=,]+(?:\[[^\[\]]*\])?)\s*=(?P<new>[^,]*)(?:,|$)")


class WrongChoice(ValueError):
    """Something that cannot be shown so. The message is one line that begins with the option's name."""


@dataclass(frozen=True)
class Shown:
    """What is shown of each block. ``Shown()`` is what a report shows when nothing is chosen.

    order: "name"; "given", that of the labels in ``given``, by kind, the others after them by name; or "der", defenses
    by average DER, best first, those without one for some of the attacks after those that have all, and attacks by the
    average of their row, lowest first. Defenses stay with those that were given the same, and the control row stays
    first. rename: display names, by label or, with all its parameters, by name. metrics: columns
    of the main table, some of ``bench.reports.records.METRICS``.
    """

    order: str = "name"
    rename: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[str, ...] = tuple(METRICS)
    defenses_as_rows: bool = False
    given: Mapping[str, list[str]] = field(default_factory=dict)

    def renamed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """A copy of ``frame`` whose labels are the display names.

        Raises WrongChoice for a name that no label has, and for one that two labels would share: what stands under one
        heading is one thing.
        """
        if not self.rename:
            return frame
        out, used = frame.copy(), set[str]()
        for kind in KINDS:
            if kind not in out and f"{kind}_label" not in out:
                continue
            labels = _labels(out, kind)
            names = {
                label: label if (kind, label) == ("defense", "none") else self._name(label, used)  # it has no column
                for label in labels.unique()
            }
            if shared := shared_by(kind, names, out.assign(label=labels)):
                label, other = shared if names[shared.label] != shared.label else reversed(shared)
                raise WrongChoice(
                    f"rename {_given(label)}={_given(names[label])}: {kind} {_given(other)} would have the same name; "
                    "expected names that tell them apart"
                )
            out[f"{kind}_label"] = labels.map(lambda label, names=names: names.get(label, label)).astype(object)
            out[f"{kind}_renamed"] = [not {label, label.split("[", 1)[0]}.isdisjoint(self.rename) for label in labels]
        if unused := [old for old in self.rename if old not in used]:
            every = {label for kind in KINDS for label in _labels(frame, kind)}
            raise WrongChoice(
                f"rename {printable(unused[0], _LONGEST)}={printable(self.rename[unused[0]], _LONGEST)}: expected the "
                f"name of an attack, defense, model or data set in the results{_near(unused[0], every)}"
            )
        return out

    def arranged(self, block: "Block") -> "Block":
        """The block in this order, with these metrics, this way round."""
        shown = replace(block, metrics=self.metrics, defenses_as_rows=self.defenses_as_rows)
        if self.order == "name":
            return shown
        attack_place, defense_place = self._places(block)
        none = set(block.records.loc[block.records["attack"] == "none", "attack_label"])
        attacks = sorted(block.attacks, key=lambda name: (name not in none, attack_place(name)))
        groups = [replace(group, defenses=sorted(group.defenses, key=defense_place)) for group in block.groups]
        return replace(shown, attacks=attacks, groups=groups)

    def _places(self, block: "Block") -> tuple[Any, Any]:
        if self.order == "der":
            rival_ders = {
                attack: Stat.of(block.cell(attack, name).stat("der").mean for name in block.rivals).mean
                for attack in block.attacks
            }
            own = {
                name: Stat.of(block.cell(attack, name).stat("der").mean for attack in _averaged(block))
                for name in block.defenses
            }
            return lambda name: _last(rival_ders[name]), lambda name: (-own[name].count, _last(-own[name].mean))
        label_of = dict(block.records[["column", "defense_label"]].itertuples(index=False, name=None))
        places = {
            kind: {self._name(label, set()): place for place, label in enumerate(labels)}
            for kind, labels in self.given.items()
        }
        of_attack, of_defense = places.get("attack", {}), places.get("defense", {})
        return (
            lambda name: of_attack.get(name, len(of_attack)),
            lambda name: of_defense.get(label_of.get(name, name.removesuffix(ORACLE)), len(of_defense)),
        )

    def _name(self, label: str, used: set[str]) -> str:
        """The display name of a label: its own, else that of the plugin, followed by the parameters."""
        own = label.split("[", 1)[0]
        for old, new in ((label, self.rename.get(label)), (own, self.rename.get(own))):
            if new is not None:
                used.add(old)
                return new if old == label else f"{new}{label[len(own) :]}"
        return label


def shown(
    *,
    order: str = "name",
    rename: str | Iterable[str] | Mapping[str, str] = (),
    metrics: str | Iterable[str] | None = None,
    rows: str = "attacks",
    given: Mapping[str, list[str]] | None = None,
) -> Shown:
    """What is shown, from words as they are typed; Python may also pass lists and a dictionary of names.

    Raises WrongChoice, which names the nearest that there is.
    """
    if order not in ORDERS:
        raise WrongChoice(f"order {_given(order)}: expected one of {', '.join(ORDERS)}{_near(order, ORDERS)}")
    if rows not in ROWS:
        raise WrongChoice(f"rows {_given(rows)}: expected one of {', '.join(ROWS)}{_near(rows, ROWS)}")
    if order == "given" and not given:
        raise WrongChoice("order given: expected a selection of attacks or defenses, whose order it is")
    names = _renames(rename)
    for old, new in names.items():
        expected = f"a display name of 1 to {_LONGEST} printable characters"
        if not new.strip() or printable(new, _LONGEST) != new or (expected := expect_plain(new)):
            raise WrongChoice(f"rename {_given(old)}={_given(new)}: expected {expected}")
    return Shown(order, names, _metrics(metrics), rows == "defenses", given or {})


def _metrics(given: str | Iterable[str] | None) -> tuple[str, ...]:
    if given is None:
        return tuple(METRICS)
    known = {**{name: name for name in METRICS}, **{head.lower(): name for name, head in HEADS.items()}}
    asked = [part.strip() for text in ([given] if isinstance(given, str) else given) for part in str(text).split(",")]
    for name in asked:
        if name.lower() not in known:
            raise WrongChoice(f"metrics {_given(name)}: expected some of {', '.join(METRICS)}{_near(name, METRICS)}")
    metrics = tuple(dict.fromkeys(known[name.lower()] for name in asked))
    if not metrics:
        raise WrongChoice(f"metrics: expected some of {', '.join(METRICS)}")
    return metrics


def _renames(given: str | Iterable[str] | Mapping[str, str]) -> dict[str, str]:
    if isinstance(given, Mapping):
        return {str(old): str(new) for old, new in given.items()}
    names: dict[str, str] = {}
    for text in [given] if isinstance(given, str) else given:
        place = 0
        while place < len(text):
            found = _RENAMED.match(text, place)
            if not found:
                raise WrongChoice(f"rename {_given(text)}: expected NAME=DISPLAY, such as mine=Ours")
            old, place = found["old"].strip(), found.end()
            if old in names and names[old] != found["new"].strip():
                raise WrongChoice(f"rename {_given(text)}: {_given(old)} is given two names")
            names[old] = found["new"].strip()
    return names


def _labels(frame: pd.DataFrame, kind: str) -> "pd.Series[Any]":
    """The labels of a kind, printable; of a record without one, the plugin's name."""
    missing = pd.Series([""] * len(frame), index=frame.index, dtype=object)
    label, name = (frame.get(column, missing).fillna("").map(str) for column in (f"{kind}_label", kind))
    return label.where(label != "", name).map(printable)


def _averaged(block: "Block") -> list[str]:
    """The attacks that count for an order by DER: those that worked, or all where none did."""
    worked = [name for name in block.attacks if name not in block.invalid_attacks or block.with_invalid]
    return worked or block.attacks


def _last(value: float) -> float:
    return inf if isnan(value) else value


def _near(name: str, names: Iterable[str]) -> str:
    near = get_close_matches(str(name).lower(), list(names), n=1)
    return f"; did you mean {printable(near[0], _LONGEST)!r}?" if near else ""


def _given(text: object) -> str:
    return printable(str(text), _LONGEST)
