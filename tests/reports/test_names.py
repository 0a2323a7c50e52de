"""Display names and citations: of every plugin that comes with this project, and of those of others."""

import json
import re

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_frames import grid, one_attack, sections

from bench.plan.registry import KINDS, Registry
from bench.records.bibtex import entry_key
from bench.reports.blocks import blocks
from bench.reports.chosen import shown
from bench.reports.names.citations import cited, known_entries, references
from bench.reports.names.titles import built_in, display_names, displayed
from bench.reports.sections import section
from bench.reports.tables.latex import latex_files

REGISTRY = Registry()
PLUGINS = [
    (kind, entry.name)
    for kind in KINDS
    for entry in REGISTRY.entries(kind)
    if entry.is_built_in and entry.name != "none"
]
ENTRY = "@misc{me2026mine, author = {Me, A. and Erd{\\H o}s, P{\\'a}l}, title = {Mine \\& {YOURS}}, year = 2026}"


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_every_built_in_plugin_has_a_title_and_cites_what_its_source_says(kind: str, name: str) -> None:
    title, *keys = built_in(kind, name)
    plugin = REGISTRY.load(kind, name)
    assert title
    assert plugin.title == plugin.bibtex == ""  # in its file they would change its fingerprint
    entries = " ".join(known_entries()[key] for key in keys)
    for number in re.findall(r"arXiv (\d{4}\.\d{5})", plugin.source):
        assert f"eprint = {{{number}}}" in entries
    if keys:
        surname = re.search(r"([A-Z][A-Za-z]+)(?=,? (?:et al|and|19|20|[A-Z]|,))", plugin.source.partition(";")[0])
        assert surname is None or surname[1] in entries or "TorchVision" in entries


def test_every_entry_is_cited_and_has_an_author_and_a_year() -> None:
    used = {key for kind, name in PLUGINS for key in built_in(kind, name)[1:]}
    assert used == set(known_entries())
    for key, entry in known_entries().items():
        assert entry_key(entry) == key
        assert re.search(r"^  author = \{.+\},$", entry, re.MULTILINE)
        assert re.search(r"^  year = \{(19|20)\d\d\},$", entry, re.MULTILINE)
        assert f"{re.search(r'year = .(....)', entry)[1]}" in key  # type: ignore[index]


@pytest.mark.parametrize(
    ("label", "name", "title", "expected"),
    [
        ("badnets", "badnets", "BadNets", "BadNets"),
        ("badnets[target_class=3]", "badnets", "BadNets", "BadNets (target_class=3)"),
        ("tac[paper,beta=0.5] (oracle)", "tac", "TAC", "TAC (paper,beta=0.5) (oracle)"),
        ("bna (200 clean)", "bna", "BNA", "BNA (200 clean)"),
        ("Ours", "tac", "TAC", "Ours"),
        ("tact", "tac", "TAC", "tact"),
        ("mine", "mine", "", "mine"),
    ],
)
def test_a_label_keeps_its_parameters_and_a_name_that_was_chosen_stays(
    label: str, name: str, title: str, expected: str
) -> None:
    assert displayed(label, name, title) == expected


def test_labels_that_would_look_alike_stay_as_they_are() -> None:
    frame = one_attack(mine=0.9, yours=0.8).assign(titles='{"defense": "Same"}')
    assert display_names(blocks(frame)[0]).defenses == {"none": "none", "mine": "mine", "yours": "yours"}


def test_the_titles_of_others_plugins_come_with_their_records() -> None:
    frame = one_attack(mine=0.9, b=0.8)
    frame.loc[frame["defense"] == "mine", ["titles", "citations"]] = [
        json.dumps({"defense": "Mine & Yours"}),
        json.dumps({"defense": ENTRY}),
    ]
    files = latex_files(sections(frame))
    assert r"Mine \& Yours" in files["tables/main.tex"]
    assert r"Mine \& Yours & mine & \cite{me2026mine}" in files["tables/methods.tex"]
    assert ENTRY in files["references.bib"]
    assert r"Mine \& Yours" in files["tables/cost.tex"]


def test_only_what_is_cited_is_in_the_references() -> None:
    keys, entries = cited(blocks(grid(1)))
    used = {key for own in keys.values() for key in own}
    assert set(entries) == used
    assert keys["attack", "badnets"] == ["gu2017badnets"]
    assert keys["defense", "tac"] == ["iwahana2025tac"]
    found = re.findall(r"^@\w+\{([^,]+),", references(entries), re.MULTILINE)
    assert found == sorted(used)


def test_the_legend_and_the_tables_use_the_same_names() -> None:
    frame = grid(1)
    frame.loc[frame["attack"] == "wanet", ["valid", "doubt"]] = [False, "ASR 3 %"]
    text = "".join(latex_files(sections(frame)).values())
    assert "WaNet: ASR 3" in text
    assert "wanet" not in re.sub(r"& wanet &|nguyen2021wanet", "", text)
    assert "the attacks other than none" in text


def test_no_table_in_latex_has_a_label_where_there_is_a_name() -> None:
    frame = pd.concat([grid(3), grid(3).assign(defense_label=lambda frame: frame["defense_label"] + "[x=1]")])
    [block] = blocks(frame.query("defense != 'none'"), compare_with="bna")
    names, own = display_names(block), section(block)
    labels = {label for kind in (names.attacks, names.defenses) for label, name in kind.items() if name != label}
    tables = [*own.side_tables, own.unfinished, own.messages]
    assert {"Ranks", "Differences"} <= {table.title for table in tables}
    for table in map(names.in_table, tables):
        assert not {text for line in table.lines for text in line[: table.texts]} & labels
        assert not [label for label in labels if re.search(rf"(?<![\w=]){re.escape(label)}(?![\w=\[])", table.note)]


@pytest.mark.parametrize(("old", "new"), [("bna", "bna"), ("bna", "bna plus"), ("bna", "Ours"), ("sig", "sig")])
def test_a_name_that_was_chosen_is_that_of_every_table_and_figure(old: str, new: str) -> None:
    [block] = blocks(grid(1), shown=shown(rename={old: new}))
    names = display_names(block)
    assert new in {**names.attacks, **names.defenses}.values()
    assert names.defense("fine_pruning") == "Fine-Pruning"


BAD_ENTRIES = [
    "", "text", "@misc{a}", "@string{a, b = {c}}", "@preamble{a, \\input{x}}", "@misc{a, title = {}} @misc{b,}",
    "@misc{a, title = {x}", "@misc{a, title = {x}}}", "@misc{a, title = {\\input{x}}}", "@misc{a, title = {\\write18}}",
    "@misc{a, title = {50 % of}}", "@misc{a, title = {a_b}}", "@misc{a, title = {$x$}}", "@misc{a, title = {é}}",
    "@misc{a b, title = {x}}", "@misc{a, title = {\x1b[31m}}", "@misc{a, title = {" + "x" * 5000 + "}}",
    "@misc{a, title = {^^5cinput}}", "@misc{a, title = {\\csname x\\endcsname}}", "@misc{a, title = {@misc{b,}}}",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_ENTRIES, ids=lambda text: text[:30].encode("ascii", "replace").decode())
def test_what_is_more_than_an_entry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        entry_key(text)


def test_what_is_more_than_an_entry_is_not_written() -> None:
    one = one_attack(mine=0.9)
    many = [one.assign(seed=k, citations=json.dumps({"defense": text})) for k, text in enumerate(BAD_ENTRIES)]
    keys, _ = cited(blocks(pd.concat(many, ignore_index=True)))
    assert keys["defense", "mine"] == []


@given(st.text(), st.text(r"\{}$%&^_#@a ,="))
@settings(max_examples=40)
def test_whatever_is_in_an_entry_that_is_taken_is_inert(odd: str, signs: str) -> None:
    for inner in (odd, signs):
        entry = f"@misc{{k, title = {{{inner}}}}}"
        try:
            entry_key(entry)
        except ValueError:
            continue
        rest = re.sub(r"\\[\"'`^~=.&%$#_-]|\\(?:[cvuHrbdtoOlLij]|ss|aa|AA|ae|AE|oe|OE)(?![A-Za-z])", "", entry[1:])
        assert not set(rest) & set(r"\%#$&^_@")
        assert rest.isascii()


def test_a_hostile_title_is_a_text() -> None:
    titles = json.dumps({"defense": r"\input{x}" + "\n" + "y" * 500})
    files = latex_files(sections(one_attack(mine=0.9).assign(titles=titles)))
    assert r"\input{x}" not in files["tables/main.tex"]
    assert "yy" in files["tables/main.tex"]
    assert len(max(pd.Series(files["tables/methods.tex"].splitlines()), key=len)) < 2000
