"""Tables in Markdown."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from report_frames import HOSTILE, grid, sections, small, with_logs

from bench.reports.tables.markdown import escape_markdown, markdown


def columns(row: str) -> int:
    """How many bars that are not escaped a line has."""
    return len(re.findall(r"(?<!\\)(?:\\\\)*\|", row))


def test_markdown_shows_every_status_with_its_reason() -> None:
    text = markdown(sections(grid(3)))
    for expected in [" n/a |", " failed |", " timeout |", "stopped after 60 s", "no suspected images", "(2/3)"]:
        assert expected in text
    assert text.count("±") > 50
    assert len(re.findall(r"\*\*[\d.±]+\*\*", text)) == 4


def test_hostile_names_stay_text_in_markdown() -> None:
    frame = small().assign(model_label=HOSTILE, device=HOSTILE, commit=HOSTILE, knowledge=HOSTILE)
    frame.loc[frame["attack"] == "sig", "attack_label"] = HOSTILE
    text = markdown(sections(frame))
    assert "<script" not in text
    assert {columns(row) for row in text.splitlines() if row.startswith("|")} == {3, 6, 8, 9, 10, 12}


def test_what_the_plugins_said_stands_in_a_table_of_its_own_in_markdown() -> None:
    text = markdown(sections(with_logs()))
    table = text.split("\nSaid by the plugins:\n\n")[1].splitlines()
    lines = [re.split(r" +\| +", row.strip("| ")) for row in table if row]
    assert lines[0] == ["attack", "defense", "seeds", "text"]
    assert lines[2:] == [["blend", "a", "0, 2", "left as it is"], ["blend", "a", "2", escape_markdown(HOSTILE)]]
    assert "Said by" not in markdown(sections(with_logs().drop(columns="log")))


LINKS = [  # what GitHub makes links of, and calls people by
    r"https?://\w", r"(?i)\bwww\.", r"[\w.+-]+@[\w-]", r"@\w", r"#\d", r"(?i)\bGH-\d", r"ftp://\w",
    r"(?:mailto|xmpp):\w+@", r":[\w+-]+:",
]  # fmt: skip
PRINTABLE = st.characters(exclude_categories=["C"])  # as texts of records are made; CommonMark replaces a null byte
PARTS = st.sampled_from(
    ["https://", "ftp://", "www.", "WWW.", "evil.example", "@torvalds", "me@x.org", "#12", "GH-3", ":tada:", ":+1:",
     ":thumbs_up:", " ", "a", "<b>", "![x](y)", "[x](y)", "**", "_", "`", "&amp;", "|", "$x$", "~~", "\\"]
)  # fmt: skip


@settings(max_examples=150)
@given(st.lists(PARTS | st.text(PRINTABLE, max_size=3), max_size=6).map("".join))
def test_markdown_shows_a_text_as_it_is_links_nothing_and_calls_nobody(text: str) -> None:
    plain = " ".join(text.split())
    rendered = MarkdownIt("commonmark").parseInline(f"x {escape_markdown(text)} x")
    tokens = [token for one in rendered for token in one.children or []]
    assert {token.type for token in tokens} <= {"text", "text_special", "html_inline"}
    assert {token.content for token in tokens if token.type == "html_inline"} <= {"<!-- -->"}
    shown = "".join("\0" if token.type == "html_inline" else token.content for token in tokens)
    assert " ".join(shown.replace("\0", "").removeprefix("x ").removesuffix(" x").split()) == plain.replace("\0", "")
    assert not [link for link in LINKS if re.search(link, shown)]
