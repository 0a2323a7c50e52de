"""Texts and notes from outside: nothing ends a report, steers a terminal or becomes a formula."""

import csv as standard_csv
import json
import math
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from report_frames import one_attack, printed, sections

from bench.reports import diagnostics, terminal_table, write_report
from bench.reports.blocks import blocks
from bench.reports.figures.activation_histograms import activation_histograms
from bench.reports.figures.class_statistics import class_statistics
from bench.reports.figures.letters import folded
from bench.reports.figures.stream_curves import stream_curves
from bench.reports.figures.style import styled
from bench.reports.side_tables import reconstruction_table
from bench.reports.tables.csv import csv, plain
from bench.reports.tables.markdown import markdown

STEERING = "\x1b[31m\x07\x00\u202e\u2066\u200b\r\x7f[red]\\[/red]"
SHOWN = ["attack_label", "defense_label", "dataset_label", "model_label", "reason", "log", "victim_log", "doubt"]
SHOWN += ["device", "knowledge", "recipe", "profile", "packages", "commit", "code_version", "started", "finished"]
STATISTIC = {"name": "n", "values": [1.0, None, 3.0], "flagged": [0]}
CURVE = {"triggered": [1, 2], "acc": [1.0, 1.0], "asr": [0.0, 0.0], "ra": [0.5, None]}
SHARES = {"clean": [0.5, None], "triggered": [1.0, 0.0], "aligned": [0.0, 1.0]}
CHANNEL = {"layer": STEERING, "channel": 3, "low": -1.0, "width": 1e-9, **SHARES}
CHANNELS = {"3": [CHANNEL, {**CHANNEL, "low": -1e30, "width": 1e30}]}
TRUTH = {"3": {"cosine": 0.5, "correlation": 0.25, "length": 1.5}}
ODD = [
    None, True, 7, -1.5, "text", [], {}, [[]], [{}], [None], ["x"], [True], {"values": None}, {"values": "abc"},
    {"values": [[1]]}, {"values": []}, {"values": [1e308, -1e308]}, {"values": [10**400]}, {"values": [math.inf]},
    {**STATISTIC, "flagged": 3}, {**STATISTIC, "flagged": [10**400, -1, "0", None, 1e308, math.nan, math.inf]},
    {**STATISTIC, "name": [1]}, {**STATISTIC, "name": STEERING * 99}, {"ra": None}, {"ra": [0.5]}, {"ra": 0.5},
    {"triggered": [1], "ra": [0.5, 0.5]}, {"triggered": [None], "ra": [0.5]}, {"triggered": ["1"], "ra": ["0.5"]},
    {"triggered": [[1]], "ra": [[0.5]]}, {"triggered": [10**400], "ra": [1e308]}, {"triggered": {}, "ra": {}},
    {"x": {}}, {"-1": TRUTH["3"]}, {"²": TRUTH["3"]}, {"3": None}, {"3": [1]}, {"3": {}}, {"3": {"cosine": "1"}},
    {"3": [{**CHANNEL, "width": 0}]}, {"3": [{**CHANNEL, "low": 1e308}]}, {"3": [{**CHANNEL, "clean": []}]},
    {"3": {"cosine": 10**400, "length": [1], "correlation": math.nan}}, {"9" * 5000: TRUTH["3"]},
]  # fmt: skip
NUMBERS = st.none() | st.booleans() | st.integers() | st.floats() | st.just(10**400) | st.text(max_size=3)
VALUES = st.recursive(NUMBERS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner))
NAMED = st.sampled_from(["name", "values", "flagged", "triggered", "ra", "0", "3"])
PLAIN = st.sampled_from([STATISTIC, CURVE, TRUTH, CHANNELS])
NOTES = VALUES | PLAIN | st.dictionaries(NAMED, VALUES | st.lists(NUMBERS, max_size=4))


def noted(**notes: object) -> str:
    return json.dumps(notes)


def good_and(odd: str) -> pd.DataFrame:
    """Two seeds, of which the second noted something odd."""
    good = noted(class_statistic=STATISTIC, stream_curve=CURVE, shift_truth=TRUTH, activations=CHANNELS)
    return pd.concat(
        [one_attack(a=0.9).assign(seed=seed, diagnostics=text) for seed, text in enumerate([good, odd])],
        ignore_index=True,
    )


def drawn(frame: pd.DataFrame, *, rendered: bool = True) -> list[Figure | None]:
    """The figures of notes."""
    [block] = blocks(frame)
    with styled():
        figures = [class_statistics(block), stream_curves(block), activation_histograms(block)]
        for figure in figures:
            if figure and rendered:
                figure.savefig(BytesIO(), dpi=20)
    return figures


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: str(odd)[:30].encode("ascii", "replace").decode())
def test_an_odd_note_is_left_out_and_the_others_stay(odd: object) -> None:
    notes = ("class_statistic", "stream_curve", "activations", "shift_truth", "latent_shifts")
    frame = good_and(noted(**dict.fromkeys(notes, odd)))
    assert all(drawn(frame, rendered=False))
    [line] = reconstruction_table(blocks(frame)[0]).lines
    assert line[2:] == ["3", "1", "0.500", "0.250", "1.500"]


def test_figures_of_odd_notes_are_rendered() -> None:
    odd = [noted(class_statistic=one, stream_curve=one) for one in ODD]
    frames = [good_and(text).assign(seed=lambda frame, n=n: frame["seed"] + 2 * n) for n, text in enumerate(odd)]
    assert all(drawn(pd.concat(frames, ignore_index=True)))


@pytest.mark.parametrize("text", ["", "null", "[]", "{", "[" * 99_999, '{"class_statistic": ' + "9" * 5000 + "}"])
def test_notes_that_are_no_object_count_as_none(text: str) -> None:
    assert all(drawn(good_and(text)))
    assert drawn(one_attack(a=0.9).assign(diagnostics=text)) == [None, None, None]


@given(NOTES)
def test_whatever_is_noted_what_is_read_is_well_formed(odd: Any) -> None:
    text = noted(class_statistic=odd, stream_curve=odd, shift_truth=odd)
    if statistic := diagnostics.class_statistic(text):
        assert any(map(math.isfinite, statistic.values))
        assert not any(map(math.isinf, statistic.values))
        assert set(statistic.flagged) <= set(range(len(statistic.values)))
        assert statistic.name.isprintable()
    if curve := diagnostics.stream_curve(text):
        assert len(curve.ra) == len(curve.triggered)
        assert all(map(math.isfinite, curve.triggered))
        assert all(math.isnan(share) or -0.01 < share < 1.01 for share in curve.ra)
    for label, agreement in diagnostics.shift_truth(text).items():
        assert 0 <= label < 10**9
        assert math.isnan(agreement.length) or 0 <= agreement.length + 0.01 < math.inf


@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(NOTES, NOTES, NOTES, NOTES)
def test_whatever_is_noted_the_figures_are_drawn(statistic: Any, curve: Any, truth: Any, channels: Any) -> None:
    frame = good_and(noted(class_statistic=statistic, stream_curve=curve, shift_truth=truth, activations=channels))
    assert all(drawn(frame))
    assert reconstruction_table(blocks(frame)[0]).lines


@pytest.mark.parametrize("column", SHOWN)
def test_nothing_steers_a_terminal_in_any_format(column: str, tmp_path: Path) -> None:
    frame = one_attack(a=0.9, b=0.8).assign(valid=False, doubt="weak", status=["done", "done", "failed"], log="said")
    frame[column] = json.dumps({"torch": STEERING}) if column == "packages" else f"a{STEERING}\nb"
    lines = printed(terminal_table(frame, 200), 200)
    texts = ["\n".join(lines)]
    if column == "attack_label":
        write_report(frame.assign(reason=STEERING), tmp_path)
        texts += [(tmp_path / name).read_text() for name in ("table.md", "table.tex", "table.csv", "index.html")]
    else:
        texts += [markdown(sections(frame)), csv(blocks(frame))]
    for text in texts:
        text.encode()
        assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("formula", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", " =1", "＝1"])
def test_a_formula_is_a_text_in_csv(formula: str) -> None:
    columns = ["attack_label", "defense_label", "dataset_label", "model_label", "profile", "recipe", "knowledge"]
    frame = one_attack(a=0.9).assign(**dict.fromkeys(columns, formula))
    heads, *lines = standard_csv.reader(StringIO(csv(blocks(frame))))
    texts = [line[heads.index(name.removesuffix("_label"))] for line in lines for name in columns]
    assert texts
    assert not any(text.strip()[:1] in tuple("=+-@＝\t\r") for text in texts)
    assert plain("badnets[rate=0.1]") == "badnets[rate=0.1]"


def test_an_endless_label_still_fits_a_figure(tmp_path: Path) -> None:
    assert len(folded("x" * 1_000_000, 80, 7)) < 100
    label = "x[" + "y=1," * 5000
    write_report(one_attack(a=0.9).assign(attack_label=label), tmp_path, lambda key: PICTURE)
    assert (tmp_path / "figures" / "gallery.png").is_file()


PICTURE = (pd.DataFrame([[0.0] * 8] * 8).to_numpy()[None], pd.DataFrame([[1.0] * 8] * 8).to_numpy()[None])
