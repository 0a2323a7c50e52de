"""Equal knowledge: defenses are ranked only against those that were given the same."""

import re

import pandas as pd
import pytest
from report_frames import one_attack, printed, sections

from bench.reports import terminal_table
from bench.reports.blocks import Block, blocks
from bench.reports.figures.der_map import der_map
from bench.reports.legend import legend
from bench.reports.tables.latex import latex
from bench.reports.tables.markdown import markdown
from bench.reports.tables.page import page


def given(knowledge: dict[str, str], **der: float) -> pd.DataFrame:
    """One attack, one seed: the DER of each defense, and what some of them were given."""
    frame = one_attack(**der)
    return frame.assign(knowledge=[knowledge.get(name, "200 clean") for name in frame["defense"]])


def best(frame: pd.DataFrame) -> set[str]:
    [block] = blocks(frame)
    return block.best("blend")


SUSPECTS = {"c": "200 clean + 64 suspected", "d": "200 clean + 64 suspected"}
TWO_GROUPS = given(SUSPECTS, a=0.7, b=0.6, c=0.8, d=0.9)


def test_each_group_of_equal_knowledge_has_a_best_of_its_own() -> None:
    assert best(TWO_GROUPS) == {"a", "d"}
    assert best(TWO_GROUPS.assign(knowledge="200 clean")) == {"d"}


@pytest.mark.parametrize("other", ["nothing", "50 clean", "200 clean + 64 pairs", "200 clean + 4 suspected"])
def test_who_knows_more_or_less_is_no_rival(other: str) -> None:
    assert best(given({"c": other}, a=0.7, b=0.6, c=0.9)) == {"a"}


def test_nobody_is_best_among_one() -> None:
    assert best(given({"b": "nothing"}, a=0.7, b=0.9)) == set()
    frame = given({}, a=0.7, b=0.9)
    frame.loc[frame["defense"] == "b", "status"] = "failed"
    assert best(frame) == set()


def test_of_those_whose_knowledge_is_not_recorded_nobody_is_best() -> None:
    frame = one_attack(a=0.7, b=0.9)
    assert best(frame) == {"b"}
    [block] = blocks(frame.drop(columns="knowledge"))
    assert block.best("blend") == set()
    assert [group.heading for group in block.groups] == ["given: not recorded"]
    assert "best DER" not in " ".join(legend(block, best="*"))


def test_oracles_are_no_rivals_whatever_they_are_said_to_have_been_given() -> None:
    frame = given({}, a=0.7, b=0.6, c=0.9, d=0.8)
    assert best(frame.assign(oracle=frame["defense"].isin(["c", "d"]))) == {"a"}


def test_groups_stand_in_order_of_what_was_given() -> None:
    texts = ["everything", "", "200 clean + 64 pairs", "nothing", "200 clean + 64 suspected", "50 clean", "200 clean"]
    names = dict(zip("abcdefg", texts, strict=True))
    frame = given(names, **dict.fromkeys(names, 0.9))
    [block] = blocks(frame.assign(oracle=frame["defense"] == "a"))
    order = ["nothing", "50 clean", "200 clean", "200 clean + 64 suspected", "200 clean + 64 pairs", "", "everything"]
    assert [group.given for group in block.groups] == order
    assert block.defenses == ["d", "f", "g", "e", "c", "b", "a (oracle)"]


def marked(block: Block) -> int:
    return sum(len(block.best(attack)) for attack in block.row_names)


@pytest.mark.parametrize("width", [80, 200])
def test_a_terminal_shows_what_each_group_was_given(width: int) -> None:
    lines = printed(terminal_table(TWO_GROUPS, width)[:1], width)
    text = "\n".join(lines)
    assert "given 200 clean + 64 suspected" in text
    assert text.count("70.0*") == text.count("90.0*") == 1
    assert "80.0*" not in text
    if width == 80:
        rows = [line.split()[0] for line in lines[5:] if line.strip()]
        assert rows[:7] == ["blend", "given", "a", "b", "given", "c", "d"]


def test_a_narrow_terminal_says_once_what_all_were_given() -> None:
    text = "\n".join(printed(terminal_table(given({}, a=0.7, b=0.6), 60)[:1], 60))
    assert text.count("given 200 clean") == 1
    assert "defense, given 200 clean" in text


def test_markdown_latex_and_the_page_show_what_each_group_was_given_and_the_best_of_each() -> None:
    made = sections(TWO_GROUPS)
    rows = [row.split("|") for row in markdown(made).splitlines() if row.startswith("| blend")]
    results = {row[2].strip(): (row[3].strip(), row[-2].strip()) for row in rows if len(row) == 10}
    known = "200 clean + 64 suspected"
    assert results == {
        "no defense": ("–", "–"), "a": ("200 clean", "**70.0**"), "b": ("200 clean", "*60.0*"), "c": (known, "*80.0*"),
        "d": (known, "**90.0**"),
    }  # fmt: skip
    text = latex(made)
    spans = re.findall(r"\\multicolumn\{(\d+)\}\{c\}\{(given[^}]*)\}", text)  # of each part of the table its own
    for known, defenses in (("given 200 clean", 2), ("given 200 clean + 64 suspected", 2)):
        assert sum(int(width) for width, given in spans if given == known) == 5 * defenses
    assert text.count(r"\textbf{") == marked(made[0].block) == 2
    html = page(made, [[]], [[]], lambda _: b"")
    matrix = html.split('class="matrix"')[1].split("</table>")[0]
    assert matrix.count("200 clean + 64 suspected") == 2
    assert html.split('class="long"')[1].split("</table>")[0].count('class="best"') == 2


def test_the_map_of_ders_names_the_groups_and_has_the_best_of_each_first_and_bold() -> None:
    figure = der_map(blocks(TWO_GROUPS)[0])
    assert figure is not None
    texts = sorted(figure.axes[0].texts, key=lambda text: text.get_position()[1])
    known = {"given 200 clean", "given 200 clean + 64 suspected", *"abcd"}
    rows = [
        text.get_text() for text in sorted(texts, key=lambda text: text.get_position()[1]) if text.get_text() in known
    ]
    assert rows == ["given 200 clean", "a", "b", "given 200 clean + 64 suspected", "d", "c"]
    assert {text.get_text() for text in texts if text.get_weight() == "bold"} == {"70.0", "90.0"}
    assert {"60.0", "80.0"} <= {text.get_text() for text in texts}


def test_the_legend_says_what_a_star_means_and_what_was_given() -> None:
    told = " ".join(legend(blocks(TWO_GROUPS)[0], best="*"))
    assert "*: best DER against an attack among defenses that were given the same" in told
    assert "clean, the reference set; suspected, believed to be triggered." in told
    assert "pairs" not in told
