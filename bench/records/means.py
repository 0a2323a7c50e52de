"""The table of means that a report writes, ``table.csv``, as records that say over how many seeds they are means.

A table has one line an attack and defense. It does not know parameters, seeds, code, or why a cell is not done.
"""

import csv
import hashlib
import re
from typing import TextIO

from pydantic import ValidationError

from bench.records.record import Record
from bench.records.texts import printable

_HEADINGS = ("dataset", "model", "profile", "recipe", "attack", "defense", "knowledge")
_COUNTS = ("seeds", "done", "valid")
_ORACLE, _VALIDATION = " (oracle)", " (evaluated on the validation part)"
_STRATIFIED = ", in equal numbers of all classes"
_SINCE_PURITY = "left_out"  # a column of the tables whose knowledge says how suspects were drawn
_LACKING = "holds means over seeds, not records: no single seeds, spreads, parameters, class statistics, provenance"


class MeansError(ValueError):
    """A table that cannot be read; the message begins with the line, to stand behind the file's name."""


def records_of_table(file: TextIO) -> tuple[list[Record], list[str]]:
    """A record for each line of which every seed is done, and lines about what the table does not hold.

    Its ``means_over`` is the number of seeds, its seed 0. A victim of which one seed did not work counts as one that
    did not. Raises MeansError.
    """
    reader = csv.DictReader(file, strict=True)
    records, unfinished, left_out = [], 0, 0
    try:
        heads = reader.fieldnames or []
        if lacking := [name for name in (*_HEADINGS, *_COUNTS) if name not in heads]:
            raise MeansError(f", line 1: is no table of a report: it has no column {lacking[0]!r}")
        for line in reader:
            left_out += _count(line.get(_SINCE_PURITY) or "0")
            if not 0 < _count(line["seeds"]) == _count(line["done"]):
                unfinished += 1
                continue
            records.append(_record(line))
    except (csv.Error, ValueError, TypeError) as error:
        if isinstance(error, MeansError):
            raise
        raise MeansError(f", line {reader.line_num}: {_explained(error)}") from None
    notes = [_LACKING]
    if unfinished:
        notes.append(f"{unfinished} of its cells are not done with every seed; the table does not say why: left out")
    if left_out:
        notes.append(f"{left_out} records were left out when it was made")
    return records, notes


def _record(line: dict[str, str]) -> Record:
    text = {name: _plain(line[name]) for name in _HEADINGS}
    label = {**text, "dataset": text["dataset"].removesuffix(_VALIDATION)}
    label["defense"] = text["defense"].removesuffix(_ORACLE).removesuffix(f" ({text['knowledge']})")
    done, valid = _count(line["done"]), _count(line["valid"])
    counts = {name.removeprefix("identified_"): _count(line[name]) for name in line if name.startswith("identified_")}
    return Record(
        key=_digest(*text.values()),
        victim_key=_digest(*(text[name] for name in _HEADINGS[:5])),
        **{kind: _name(label[kind]) for kind in ("dataset", "model", "attack", "defense")},
        **{f"{kind}_label": label[kind] for kind in ("dataset", "model", "attack", "defense")},
        **{f"{kind}_params": "{}" for kind in ("dataset", "model", "attack", "defense")},
        **{name: text[name] for name in ("profile", "recipe")},
        **_given(text["knowledge"], drawn_is_told=_SINCE_PURITY in line),
        **_numbers(line),
        seed=0,
        means_over=done,
        status="done",
        oracle=text["defense"].endswith(_ORACLE),
        detects_only=line.get("detects_only") == "yes",
        evaluated_on="validation" if text["dataset"].endswith(_VALIDATION) else "test",
        valid=valid == done,
        doubt=None if valid == done else f"with {done - valid} of {done} seeds; the table does not say why",
        identified=next((verdict for verdict, count in counts.items() if count == done), ""),
    )


def _numbers(line: dict[str, str]) -> dict[str, float]:
    """The means, by column; those of whole numbers are rounded."""
    means = {
        head.removesuffix("_mean"): float(value)
        for head, value in line.items()
        if head and head.endswith("_mean") and value
    }
    known = {name: value for name, value in means.items() if name in Record.model_fields}
    return {
        name: round(value) if Record.model_fields[name].annotation is int else value for name, value in known.items()
    }


def _given(knowledge: str, *, drawn_is_told: bool) -> dict[str, object]:
    """What a defender was given, from its words (``bench.plan.stages.CellStage.knowledge``)."""
    told = knowledge.removesuffix(_STRATIFIED)
    suspects, classes = _found(r"(\d+) (?:suspected|pairs)", told), _found(r"of (\d+) class", told)
    purity = float("nan")
    if suspects and drawn_is_told and told == knowledge:
        found = re.search(r"([\d.]+) % triggered", told)
        purity = float(found[1]) / 100 if found else 1.0
    return {
        "knowledge": told,
        "reference": _found(r"(\d+) clean", told),
        "suspects": suspects,
        "suspects_purity": purity,
        "suspects_classes": classes,
    }


def _found(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def _plain(text: str) -> str:
    """A heading without the apostrophe that keeps a spreadsheet from reading it as a formula."""
    return text[1:] if re.match(r"'\s*[=+\-@|%＝＋－＠]", text) else text


def _name(label: str) -> str:
    """The plugin's name at the beginning of its heading."""
    return re.split(r"\[| \(", label, maxsplit=1)[0]


def _digest(*texts: str) -> str:
    return hashlib.sha256(repr(texts).encode()).hexdigest()[:32]


def _count(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 2**53:
        raise ValueError(f"{text}: expected a number of seeds")
    return number


def _explained(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return printable(f"{'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}", 300)
    return "a cell is missing" if isinstance(error, TypeError) else printable(str(error), 200)
