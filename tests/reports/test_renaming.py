"""A display name is none that a reader would take for a mark, for a word of the report's own, or for another's."""

import pandas as pd
import pytest
from report_frames import grid, one_attack

from bench.reports import WrongChoice, shown
from bench.reports.blocks import blocks
from bench.reports.format import NO_DEFENSE
from bench.reports.legend import legend
from bench.reports.records import AVERAGE, DAGGER, MEANS, ORACLE, VALIDATION

OF_THE_REPORT = [
    *(NO_DEFENSE, "No  Defense", AVERAGE, "average", "none", f"T{DAGGER}", f"{DAGGER} T", f"x{ORACLE}", "x (Oracle)"),
    *(f"x{VALIDATION}", f"x{MEANS}", "x (1/3)", "*x", "x *", "x (200 clean)", "x (nothing)", "x (everything: 5 clean)"),
]


@pytest.mark.parametrize("name", OF_THE_REPORT)
def test_what_a_report_says_itself_is_no_display_name(name: str) -> None:
    with pytest.raises(WrongChoice, match=r"^rename bna=.*: expected a name"):
        shown(rename={"bna": name})


@pytest.mark.parametrize(
    "rename",
    [
        {"bna": "FIRE"},  # as the other is called in papers
        {"bna": "Fire"},
        {"bna": "ours", "fire": "OURS"},
        {"sig": "BLEND"},
        {"sig": "badnets (poisoning_rate=0.05)"},
        {"sig": "BadNets (poisoning_rate=0.05)"},
        {"tac[beta=1.0]": "Fine-Pruning"},
    ],
)
def test_a_display_name_is_no_other_name_that_is_shown_in_any_format(rename: dict[str, str]) -> None:
    with pytest.raises(WrongChoice, match="would have the same name"):
        blocks(grid(1), shown=shown(rename=rename))


@pytest.mark.parametrize("kind", ["dataset", "model", "attack", "defense"])
def test_two_things_of_any_kind_keep_two_names(kind: str) -> None:
    one, two = one_attack(a=0.5), one_attack(a=0.9).assign(seed=1)
    for frame, name in ((one, "first"), (two, "second")):
        frame[kind] = frame[f"{kind}_label"] = name
    with pytest.raises(WrongChoice, match=f"{kind} '?second'? would have the same name|{kind} second"):
        blocks(pd.concat([one, two], ignore_index=True), shown=shown(rename={"first": "SECOND"}))


def test_names_that_only_look_alike_stay_as_they_are_where_nobody_chose_them() -> None:
    frame = one_attack(bna=0.5, BNA=0.9)
    assert blocks(frame, shown=shown(rename={"blend": "Blended"}))[0].defenses == ["BNA", "bna"]


def test_a_name_from_outside_forges_no_mark_and_no_line_of_the_report() -> None:
    frame = one_attack(a=0.5)
    frame["attack_label"] = f"blend {DAGGER}"
    frame.loc[frame["defense"] == "a", "defense_label"] = NO_DEFENSE
    [block] = blocks(frame)
    assert block.attacks == [r"blend \u2020"]
    assert block.defenses == [f"{NO_DEFENSE} (defense)"]
    assert not any(DAGGER in line for line in legend(block, best="*"))
