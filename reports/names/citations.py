"""What a report cites: the entries of the plugins in it, and no others."""

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from bench.records.bibtex import entry_key
from bench.reports.blocks import Block
from bench.reports.diagnostics import texts
from bench.reports.names.titles import built_in

KINDS = ("dataset", "model", "attack", "defense")


def cited(blocks: Iterable[Block]) -> tuple[dict[tuple[str, str], list[str]], dict[str, str]]:
    """For each plugin, by kind and name, the keys of what is cited for it; and all these entries by their key.

    A plugin of this project has entries in ``references.bib``; another one the entry that its records carry, if it is
    one that can only be printed (``bench.records.bibtex``) and its key is not that of another entry.
    """
    keys: dict[tuple[str, str], list[str]] = {}
    entries: dict[str, str] = {}
    for block in blocks:
        for kind in KINDS:
            for name, declared in sorted(set(zip(block.records[kind], block.records["citations"], strict=True))):
                own = _entries(kind, name, declared)
                fitting = [key for key, text in own.items() if entries.setdefault(key, text) == text]
                known = keys.setdefault((kind, name), [])
                known += [key for key in fitting if key not in known]
    return keys, entries


def references(entries: dict[str, str]) -> str:
    """A BibTeX file of ``entries``, by key."""
    return "\n".join(f"{entries[key]}\n" for key in sorted(entries))


@cache
def known_entries() -> dict[str, str]:
    """The entries of ``references.bib``, by key."""
    text = files("bench.reports.names").joinpath("references.bib").read_text(encoding="utf-8")
    return {entry_key(entry): entry.strip() for entry in re.findall(r"^@.*?^\}", text, re.MULTILINE | re.DOTALL)}


def _entries(kind: str, name: str, declared: str) -> dict[str, str]:
    _, *keys = built_in(kind, name) or ("",)
    if keys:
        return {key: known_entries()[key] for key in keys}
    own = texts(declared).get(kind, "") if declared not in ("", "{}") else ""
    try:
        return {entry_key(own): own.strip()} if own else {}
    except ValueError:
        return {}
