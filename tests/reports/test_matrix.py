"""The compact table of a large block: every pair is there, whatever the width; and it is of no small one."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_frames import ATTACKS, one_attack, printed, record
from rich.cells import cell_len

from bench.reports import terminal_table
from bench.reports.blocks import blocks
from bench.reports.format import percent
from bench.reports.tables.matrix import matrices, shown_metric
from bench.reports.tables.terminal import MOST_PAIRS

LONG_NAMES = ["badnets[poisoning_rate=0.01]", "badnets[poisoning_rate=0.05]", "badnets[poisoning_rate=0.10]"]


def large(attacks: int, defenses: int) -> pd.DataFrame:
    """A control row, and attacks against defenses with made-up, all different DERs; one cell has failed."""
    names = [*LONG_NAMES, *(f"attack{number}" for number in range(attacks))][:attacks]
    rows = []
    for attack, label in enumerate(["none", *names]):
        for defense in range(defenses + 1):
            column = f"defense{defense}" if defense else "none"
            made = record(ATTACKS[1] if attack else "none", "bna" if defense else "none", 0)
            made |= {"attack": label.split("[")[0], "attack_label": label, "victim_key": label}
            made |= {"defense": column, "defense_label": column, "key": f"{attack}-{defense}"}
            made |= {"diagnostics": "{}", "identified": ""}
            made["der"] = 0.5 + (attack * 37 + defense * 11) % 499 / 1000 if attack and defense else np.nan
            if (attack, defense) == (2, 3):
                made |= {"status": "failed", "der": np.nan}
            rows.append(made)
    return pd.DataFrame(rows)


@pytest.mark.parametrize("width", [60, 200])
def test_every_pair_is_in_the_matrix_at_any_width(width: int) -> None:
    frame = large(7, 9)
    lines = printed(terminal_table(frame, width), width)
    assert max(map(cell_len, lines)) <= width
    text = "\n".join(lines)
    (block,) = blocks(frame)
    for pair, cell in block.cells.items():
        if pair[0] != "none" and cell.status == "done":
            assert percent(cell.stat("der")) in text, pair
    assert text.count("failed") >= 1
    parts = sum("DER in %" in line for line in lines)
    assert (parts == 1) == (width == 200)
    assert text.split("--long")[0].count("defense5 ") == parts  # in every part
    for label in LONG_NAMES:  # where it is shortened, it is spelled out below
        assert label in " ".join(text.split())
    assert "--long" in text
    assert "ACC" not in text.split("8 attacks")[0]


def test_the_best_average_comes_first_in_every_group_and_those_over_fewer_attacks_last() -> None:
    frame = large(7, 9)
    failed = frame["status"] == "failed"
    frame.loc[(frame["defense"] == "defense3") & (frame["attack"] != "none") & ~failed, "der"] = (
        1.0  # no other is as good
    )
    (block,) = blocks(frame)
    [table, *_], _ = matrices(block, 200)
    cells = [str(text) for text in table.columns[1].cells]
    averages = [float(text.split("*")[0].split("(")[0]) for text in cells]
    assert ["(" in text for text in cells] == [False] * (len(cells) - 1) + [True]
    assert averages[:-1] == sorted(averages[:-1], reverse=True)
    assert averages[-1] == 100.0


def test_a_small_block_has_the_long_form_and_a_large_one_where_it_is_asked_for() -> None:
    few = MOST_PAIRS // 5
    small, big = large(4, few), large(4, few + 1)  # with the control row, five attacks
    assert "DER in %" not in "\n".join(printed(terminal_table(small, 80), 80))
    assert "DER in %" in "\n".join(printed(terminal_table(big, 80), 80))
    assert "DER in %" not in "\n".join(printed(terminal_table(big, 80, long=True), 80))


def test_headings_that_begin_alike_are_told_apart() -> None:
    (block,) = blocks(large(7, 9))
    tables, told = matrices(block, 70)
    heads = {str(column.header) for table in tables for column in table.columns[2:]}
    assert len(heads) == 7
    assert sum(name in " ".join(told) for name in LONG_NAMES) == 3


def test_tables_show_the_metrics_of_their_block(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = one_attack(a=0.9, b=0.8)
    (block,) = blocks(frame)
    for metrics in (("asr", "acc"), ("der",), ("ra",)):
        chosen = block.__class__(**{**_fields(block), "metrics": metrics})
        monkeypatch.setattr("bench.reports.tables.terminal.blocks", lambda *_, only=chosen, **__: [only])
        for width in (30, 250):
            lines = printed(terminal_table(frame, width)[:1], width)
            heads = next(line for line in lines if chosen.heads[0] in line).split()
            assert [head for head in heads if head in block.heads][: len(metrics)] == chosen.heads
        assert shown_metric(chosen) in metrics
        assert matrices(chosen, 100)[0]


def _fields(block: object) -> dict[str, object]:
    return {name: value for name, value in vars(block).items() if name in block.__dataclass_fields__ and name[0] != "_"}


@settings(max_examples=3)
@given(text=st.text(min_size=50, max_size=200), width=st.integers(40, 200), long=st.booleans())
def test_no_text_steers_the_terminal_or_is_taken_for_mark_up(text: str, width: int, *, long: bool) -> None:
    label = f"[red]{text}[/red]\x1b[2J"
    frame = pd.concat([large(3, 11).assign(reason=label, device=label), one_attack(**{label: 0.9})])
    frame["attack_label"] = frame["attack_label"].replace("attack0", label)
    frame["model_label"] = label
    frame.loc[frame["defense"] == "defense1", "log"] = label
    lines = printed(terminal_table(frame, width, long=long), width)
    for line in lines:
        assert line.isprintable(), ascii(line)
    assert "[red]" in "".join("".join(lines).split())
