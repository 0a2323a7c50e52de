"""Whatever a text of a record says, a page shows it as text."""

import json
from typing import Any

import pandas as pd
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from report_frames import HOSTILE, small
from report_pages import Page, made

from bench.records import printable

COLUMNS = ["dataset_label", "model_label", "profile", "recipe", "knowledge", "reason", "log", "victim_log", "doubt"]
COLUMNS += ["device", "commit", "code_version", "finished", "command"]
PARTS = ["<", ">", "&", '"', "'", "`", "=", "</script>", "<script>", "</style>", "<!--", "-->", "]]>", "javascript:",
         "{{", "{%", "onerror=", "</td>", "</section>", "&lt;", "&#0;", " ", "\n", "\\", "\x00",
         "\u2028", "±", "/"]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PARTS) | st.text(max_size=3), min_size=1, max_size=6).map("".join)


def saying(text: str) -> pd.DataFrame:
    """Records in which an attack, a defense and every other text have ``text`` in them."""
    told = f"x{text}y"
    frame = small().assign(**dict.fromkeys(COLUMNS, told), valid=False, class_names=json.dumps([told, "other"]))
    frame[["log", "victim_log"]] = " ".join(told.splitlines())  # each line of a log is a line of a table
    frame["packages"] = json.dumps({told: told})
    frame.loc[frame["attack"] == "sig", "attack_label"] = told
    frame.loc[frame["defense"] == "bna", "defense_label"] = told
    return frame


def structure(text: str) -> list[tuple[str, list[str]]]:
    """The tags of a page and the names of their attributes."""
    return [(tag, sorted(attrs)) for tag, attrs in Page(text).tags]


TAME = made(saying("a"), [("figures/a.png", "a")])


@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS)
@example(HOSTILE)
@example("</script><script>alert(1)</script>")
@example('"><img src=x onerror=alert(1)>')
@example("' autofocus onfocus='alert(1)")
def test_no_text_changes_what_a_page_is_made_of(text: Any) -> None:
    frame = saying(text)
    written = made(frame, [("figures/a.png", f"x{text}y")])
    assert structure(written) == structure(TAME)
    read = Page(written)
    assert read.scripts == Page(TAME).scripts
    shown = {data.strip() for data in read.seen}
    for column in ("attack_label", "reason", "command"):
        assert printable(frame[column].iloc[0]).strip() in shown
    assert 'style="' not in written
