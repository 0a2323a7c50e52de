"""The table of what the defenses took for the target classes."""

from io import StringIO

import pandas as pd
from report_frames import grid, one_attack, printed, sections

from bench.reports import terminal_table
from bench.reports.blocks import blocks
from bench.reports.format import UNDEFINED
from bench.reports.identification import identification_table
from bench.reports.tables.csv import csv
from bench.reports.tables.latex import latex
from bench.reports.tables.markdown import markdown
from bench.reports.tables.page import page


def named(verdicts: dict[str, list[str]], defense: str = "bna") -> pd.DataFrame:
    """By attack, the verdict on one defense with each seed; others look for no class."""
    seeds = max(map(len, verdicts.values()))
    frame = grid(seeds)
    frame = frame[frame["attack"].isin(verdicts) & (frame["seed"] < seeds)].assign(identified="", status="done")
    for attack, of_seed in verdicts.items():
        for seed, verdict in enumerate(of_seed):
            own = (frame["attack"] == attack) & (frame["defense"] == defense) & (frame["seed"] == seed)
            frame.loc[own, "identified"] = verdict
    return frame


def columns(frame: pd.DataFrame) -> dict[str, str]:
    """The lines of the table of one defense that looks for targets, without the intervals."""
    table = identification_table(blocks(frame)[0])
    assert table.heads == ["attack", "bna"]
    return {heading: text for heading, text in table.lines if "interval" not in heading}


SEVERAL = {"none": ["none", "wrong", "none"], "sig": ["right"] * 3, "wanet": ["right", "none", "wrong"]}


def test_verdicts_are_counted_over_seeds_and_rated_over_victims() -> None:
    assert columns(named(SEVERAL)) == {
        "none": "1 wrong, 2 none",
        "sig": "3 right",
        "wanet": "1 right, 1 wrong, 1 none",
        "right, of attacked victims": "4 of 6",
        "false alarms, of benign": "1 of 3",
    }


def test_one_seed_is_a_verdict() -> None:
    lines = columns(named({"none": ["wrong"], "sig": ["right"], "wanet": ["none"]}))
    assert list(lines.values()) == ["wrong", "right", "none", "1 of 2", "1 of 1"]


def test_what_is_not_done_or_not_judged_is_said_and_not_counted() -> None:
    frame = named({"sig": ["right"], "wanet": ["right"], "blend": ["right"], "badnets": ["right"]})
    bna = frame["defense"] == "bna"
    frame.loc[bna & (frame["attack"] == "wanet"), "status"] = "failed"
    frame.loc[bna & (frame["attack"] == "blend"), "status"] = "not-applicable"
    frame.loc[bna & (frame["attack"] == "badnets"), "identified"] = ""
    assert columns(frame) == {
        "badnets[poisoning_rate=0.05]": UNDEFINED,
        "blend": "n/a",
        "sig": "right",
        "wanet": "failed",
        "right, of attacked victims": "1 of 1",
        "false alarms, of benign": UNDEFINED,
    }


def test_victims_that_were_not_attacked_do_not_count_in_the_rate_unless_they_are_asked_for() -> None:
    frame = named({"sig": ["right", "none"], "wanet": ["right", "right"]})
    frame["valid"] = ~((frame["attack"] == "sig") & (frame["seed"] == 1))
    lines = columns(frame)
    assert lines["sig †"] == "1 right, 1 none"
    assert lines["right, of attacked victims"] == "3 of 3"
    [block] = blocks(frame, with_invalid=True)
    assert dict(identification_table(block).lines)["right, of attacked victims"] == "3 of 4"


def test_oracles_and_defenses_that_look_for_no_class_have_no_column() -> None:
    frame = named(SEVERAL)
    assert identification_table(blocks(frame.assign(oracle=True))[0]).lines == []
    assert identification_table(blocks(one_attack(a=0.9))[0]).lines == []
    assert identification_table(blocks(frame.drop(columns="identified"))[0]).lines == []


def test_every_format_has_the_table() -> None:
    frame = named(SEVERAL)
    made = sections(frame)
    html = page(made, [[]], [[]], lambda _: b"").split("</nav>")[-1]
    texts = [markdown(made), latex(made), html, "\n".join(printed(terminal_table(frame, 80), 80))]
    for text in texts:
        part = text.split("Target classes named", 1)[1].split("Knowledge and cost")[0]
        assert "1 right, 1 wrong, 1 none" in part
        assert "4 of 6" in part
    numbers = pd.read_csv(StringIO(csv(blocks(frame)))).set_index(["attack", "defense"])
    counts = numbers[[f"identified_{verdict}" for verdict in ("right", "wrong", "none")]]
    assert counts.loc[("wanet", "bna")].tolist() == [1, 1, 1]
    assert counts.loc[("none", "bna")].tolist() == [0, 1, 2]
    assert counts.loc[("sig", "fire")].tolist() == [0, 0, 0]
