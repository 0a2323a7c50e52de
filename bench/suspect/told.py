"""What a scan and a repair say on a terminal."""

from typing import Any

from bench.records.texts import printable
from bench.suspect.repair import Repaired
from bench.suspect.scan import Finding, Scan
from bench.suspect.verdict import RULE

MOST_CLASSES = 20  # in a table: of more, the most suspicious ones


def scan_lines(scan: Scan, facts: dict[str, str]) -> list[Any]:
    """Facts, the table of class statistics, what the methods said, the verdict and what it is worth."""
    lines: list[Any] = [" · ".join([facts["checkpoint"], facts["model"], f"{scan.images} images", accuracy_line(scan)])]
    lines += [f"input {facts['input']}, mean {facts['mean']}, std {facts['std']}", ""]
    lines += [_table(scan), ""] if scan.done else []
    for finding in scan.findings:
        lines += [f"{finding.method}: {finding.status}: {finding.reason}"] * (finding.status != "done")
        lines += [f"{finding.method}: {line}" for line in finding.log]
    lines += [f"warning: {warning}" for warning in scan.warnings]
    return [
        *lines,
        scan.verdict.told(scan.classes),
        f"rule: {RULE}",
        *scan.worth,
    ]


def accuracy_line(scan: Scan) -> str:
    return "no labels" if scan.accuracy is None else f"ACC {scan.accuracy:.1%}"


def order(scan: Scan) -> list[int]:
    """The classes of a table: all, or those that are named and the most conspicuous others, by number."""
    count = len(scan.classes)
    if count <= MOST_CLASSES:
        return list(range(count))
    ranks = {label: min((_rank(finding, label) for finding in scan.done), default=count) for label in range(count)}
    named = sorted(scan.verdict.named, key=ranks.__getitem__)
    others = sorted(set(range(count)) - set(named), key=ranks.__getitem__)
    return sorted([*named, *others][:MOST_CLASSES])


def heading(finding: Finding) -> str:
    """A method's column: what its numbers are, and the p value of its test."""
    p_value = f"; p = {finding.p_value:.2g}" if finding.p_value is not None else ""
    return f"{finding.method}\n{printable(finding.statistic, 40)}{p_value}"


def value_text(finding: Finding, label: int) -> str:
    """A class's value, with a star where the method names the class."""
    value = finding.values[label] if label < len(finding.values) else None
    return ("–" if value is None else f"{value:.2f}") + "*" * (label in finding.flagged)


def repair_lines(repaired: Repaired, facts: dict[str, str]) -> list[str]:
    """What was found, accuracy before and after, and on which images."""
    found = ""
    if repaired.flagged is not None:
        found = f"names {'class ' + ', '.join(map(str, repaired.flagged)) if repaired.flagged else 'no class'}"
    lines = [f"{facts['checkpoint']} · {facts['model']} · {repaired.defense}"]
    lines += [f"{repaired.defense}: {line}" for line in repaired.log]
    lines += [f"{repaired.defense} {found}"] if found else []
    lines += ["no weight was changed: nothing was found to repair"] * (not repaired.changed)
    return [
        *lines,
        f"ACC {repaired.accuracy_before:.1%} before, {repaired.accuracy_after:.1%} after, on {repaired.held_out} "
        f"images that {repaired.defense} was not given; it was given {repaired.given}",
    ]


def _table(scan: Scan) -> Any:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE, show_edge=False)
    shown = order(scan)
    table.add_column("class" if len(shown) == len(scan.classes) else f"class ({len(shown)} of {len(scan.classes)})")
    for finding in scan.done:
        table.add_column(escape(heading(finding)), justify="right")
    for label in shown:
        table.add_row(escape(scan.classes[label]), *(value_text(finding, label) for finding in scan.done))
    return table


def _rank(finding: Finding, label: int) -> int:
    """The place of a class among all by the size of its statistic: whether small or large ones are conspicuous is the
    method's own affair."""
    values = [abs(value) if value is not None else -1.0 for value in finding.values]
    return (
        sorted(range(len(values)), key=lambda other: -values[other]).index(label)
        if label < len(values)
        else len(values)
    )
