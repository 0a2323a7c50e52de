"""The HTML page."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
from report_frames import HOSTILE, grid, sections, small, with_logs

from bench.reports.tables.page import page


class Page(HTMLParser):
    """The tags of a page and its visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.seen.append(data)


def test_the_page_is_well_formed_shows_reasons_as_text_and_every_link_leads_somewhere(
    report: tuple[Path, list[Path]],
) -> None:
    written = Page((report[0] / "index.html").read_text())
    assert not written.open
    assert "script" not in {tag for tag, _ in written.tags}
    assert HOSTILE in written.seen
    text = " ".join(written.seen)
    for expected in ["stopped after 60 s", "LinAlgError", "0123abc", "torch 2.11.0", "200 clean + 64 suspected", "n/a"]:
        assert expected in text
    links = [value for _, attrs in written.tags for name, value in attrs.items() if name in ("href", "src")]
    assert len(links) >= 8
    assert all(link and (report[0] / link).is_file() for link in links)


def test_hostile_names_stay_text_on_the_page() -> None:
    frame = small().assign(model_label=HOSTILE, device=HOSTILE, commit=HOSTILE, knowledge=HOSTILE, doubt=HOSTILE)
    frame = frame.assign(valid=False, log=HOSTILE)
    frame.loc[frame["attack"] == "sig", "attack_label"] = HOSTILE
    links = [(f'figures/"{HOSTILE}.png', f'"{HOSTILE}')]
    made = Page(page(sections(frame), [links], links))
    assert not made.open
    assert "script" not in {tag for tag, _ in made.tags}
    [first, second] = [attrs for tag, attrs in made.tags if tag == "img"]
    assert first == second == {"src": links[0][0], "alt": links[0][1]}


def test_a_row_of_the_page_has_a_field_for_every_metric_and_the_best_is_marked_once() -> None:
    frame = grid(3)
    before = ["acc_before", "asr_before", "ra_before"]
    failed = frame[frame["attack"] == "sig"].assign(attack_label="trojan", status="failed", **dict.fromkeys(before))
    [section] = sections(pd.concat([frame, failed]))
    text = page([section], [[]], [])
    body = text.split("<tbody>")[1].split("</tbody>")[0]
    rows = re.findall("<tr.*?</tr>", body, re.DOTALL)
    assert len(rows) == len(section.rows)
    for row in rows:
        fields = [attrs for tag, attrs in Page(row).tags if tag == "td"]
        assert sum(int(attrs.get("colspan") or 1) for attrs in fields) == 4 + 5 * len(section.block.defenses)
    assert body.count('class="best"') == 4  # none for the control, the failed attack and the average
    assert body.count("(2/3)") == 1


def test_what_the_plugins_said_stands_on_the_page() -> None:
    text = page(sections(with_logs()), [[]], [])
    said = Page(text.split("<h3>Said by the plugins</h3>")[1].split("</table>")[0]).seen
    assert [data for data in said if data.strip()] == [
        "attack", "defense", "seeds", "text", "blend", "a", "0, 2", "left as it is", "blend", "a", "2", HOSTILE,
    ]  # fmt: skip
    assert "Said by" not in page(sections(with_logs().drop(columns="log")), [[]], [])
