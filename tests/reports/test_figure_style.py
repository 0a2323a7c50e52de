"""The files of a figure, and what all figures are laid out by."""

import re
import xml.etree.ElementTree as ET
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from bench.reports.figures.letters import folded, width
from bench.reports.figures.spans import span
from bench.reports.figures.style import looks, rendered, styled
from bench.reports.figures.svg import compact

LONG = "adaptive_blend[poisoning_rate=0.003,cover_rate=0.003] (200 clean + 64 suspected, 50 % triggered)"
HOSTILE = """</text><script>alert(1)</script> <!-- x --> d="0.123456" href="#a" url(#b) &amp; 'DejaVu Sans'"""


def drawn(text: str) -> Figure:
    figure = Figure(figsize=(3, 2))
    axes = figure.subplots()
    axes.plot([0, 1], [0.123456, 2], marker="o")
    axes.set_title(text)
    return figure


def texts(svg: bytes) -> str:
    return "".join(ET.fromstring(svg).itertext())


def test_a_figure_has_three_kinds_of_files_or_those_that_are_asked_for() -> None:
    with styled():
        files = rendered(drawn("a"))
        assert list(rendered(drawn("a"), "png")) == ["png"]
    assert list(files) == ["png", "pdf", "svg"]
    assert files["pdf"].startswith(b"%PDF")
    assert Image.open(BytesIO(files["png"])).size == (600, 400)


def test_a_text_in_an_svg_is_what_it_was_and_nothing_else() -> None:
    with styled():
        svg = rendered(drawn(HOSTILE), "svg")["svg"]
    assert HOSTILE in texts(svg)
    assert b"<script" not in svg
    assert b"<style" not in svg  # a sheet would hold for the whole page


def test_the_ids_of_two_figures_in_one_page_differ_and_all_that_is_referred_to_is_there() -> None:
    with styled():
        svgs = [rendered(drawn(text), "svg")["svg"].decode() for text in ("a", "b")]
    ids = [set(re.findall(r' id="([^"]*)"', svg)) for svg in svgs]
    assert ids[0]
    assert not ids[0] & ids[1]
    for own, svg in zip(ids, svgs, strict=True):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) == own


def test_an_svg_that_is_made_small_is_still_the_picture() -> None:
    with styled():
        buffer = BytesIO()
        drawn("title").savefig(buffer, format="svg")
    plain, small = buffer.getvalue(), compact(buffer.getvalue())
    assert len(small) < 0.6 * len(plain)
    for name in (b"<path", b"<use", b"<text"):
        assert small.count(name) == plain.count(name)


@settings(max_examples=60)
@given(st.text(max_size=120), st.floats(8, 300), st.integers(1, 4))
def test_a_label_is_folded_into_its_room(label: str, points: float, most: int) -> None:
    lines = folded(label, points, 7, most=most).split("\n")
    assert len(lines) <= most
    assert all(width(line, 7) <= points + 7 for line in lines)  # a line has one letter at least


@pytest.mark.parametrize("points", [60, 90, 140])
def test_a_folded_label_has_all_its_letters_or_says_that_some_are_left_out(points: float) -> None:
    assert folded(LONG, points, 7, most=20).replace("\n", "").replace(" ", "") == LONG.replace(" ", "")
    assert folded(LONG, points, 7, most=2).endswith("…")


def test_ninety_names_have_looks_of_their_own() -> None:
    assert len(set(looks([f"attack{number}" for number in range(90)]).values())) == 90


def test_one_value_far_from_all_others_does_not_make_the_axis() -> None:
    near = [90.0, 90.5, 91, 91.5, 92, 92.5, 93, 93.5, 94]
    axis = span([*near, 10.0], least=2)
    assert 80 < axis.low < 90
    assert axis.beyond(10.0) == -1
    assert axis.held(10.0) == axis.low
    assert not any(map(axis.beyond, near))


@given(st.lists(st.floats(-1e30, 1e30), max_size=30), st.floats(0, 10))
def test_an_axis_holds_nearly_all_values_and_has_a_length(values: list[float], least: float) -> None:
    axis = span(values, least=least)
    assert axis.high > axis.low
    assert axis.high - axis.low >= least
    assert sum(map(bool, map(axis.beyond, values))) <= 0.1 * len(values)
