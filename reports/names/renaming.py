"""Which display names may be given: none that is a mark or a word of the report's own, and none that another has."""

import re
import unicodedata
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from bench.reports.records import AVERAGE, DAGGER, MEANS, NO_DEFENSE, ORACLE, VALIDATION

_WORDS = {AVERAGE, f"{AVERAGE} (attack)", NO_DEFENSE, f"{NO_DEFENSE} (defense)", "none", "–", "-", "n/a"} | {
    *("missing", "failed", "timeout", "undefined", "given", "attack", "defense")  # words of cells, and heads of columns
}
_MARKS = {
    re.escape(DAGGER): f"a name without {DAGGER}, which marks attacks that had not worked",
    re.escape(ORACLE.strip()): f"a name without {ORACLE.strip()}, which marks what is no defense",
    re.escape(VALIDATION.strip()): "a name that does not say what was evaluated",
    re.escape(MEANS.strip()): "a name that does not say where its figures are from",
    r"\(\d+/\d+\)$": "a name that does not end as those of unfinished cells, such as (1/3)",
    r"^[*]|[*]$": "a name without the mark of the best, *",
    r"\((\d+ (clean|suspected|pairs)|nothing|everything|\?)\b.*\)$": "a name that does not say what a defense is given",
}


class Shared(NamedTuple):
    """A label whose display name is also that of another."""

    label: str
    other: str


def expect_plain(name: str) -> str:
    """What is expected in the place of a display name that is a word or a mark of the report's own; "" for others."""
    plain = _plain(name)
    if plain in map(_plain, _WORDS):
        return f"a name other than {', '.join(sorted(_WORDS))}, which stand for something else"
    return next((expected for mark, expected in _MARKS.items() if re.search(mark, plain)), "")


def shared_by(kind: str, names: Mapping[str, str], records: pd.DataFrame) -> Shared | None:
    """The first label whose display name another has too, be it as its label or as its title; None if all differ.

    names: by label, the label itself where it stays. records: with their ``label``. Of two names that nobody chose both
    may be the same but for their case.
    """
    of_name: dict[str, str] = {}
    for label, name in names.items():
        if of_name.setdefault(name, label) != label:
            return Shared(label, of_name[name])
    chosen = {label for label, name in names.items() if label != name}
    if not chosen:
        return None
    titles = _titles(kind, names, records)
    of_plain: dict[str, str] = {}
    for label in sorted(names, key=lambda label: label in chosen):
        for form in {_plain(names[label]), _plain(titles.get(label, names[label]))}:
            if label in chosen and of_plain.get(form, label) != label:
                return Shared(label, of_plain[form])
            of_plain[form] = label
    return None


def _titles(kind: str, names: Mapping[str, str], records: pd.DataFrame) -> dict[str, str]:
    """By label, what papers show in place of its display name."""
    from bench.reports.names.titles import displayed, title_of

    empty = [""] * len(records)
    plugins, declared = (records.get(name, pd.Series(empty, index=records.index)) for name in (kind, "titles"))
    of_record = zip(records["label"], plugins.fillna("").map(str), declared.fillna("").map(str), strict=True)
    return {label: displayed(names[label], name, title_of(kind, name, told)) for label, name, told in set(of_record)}


def _plain(name: str) -> str:
    """A name as a reader takes it in: without differences of case, spaces and forms of letters."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
