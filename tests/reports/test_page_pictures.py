"""Figures inside a page: small enough together, and still the same figures."""

from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from report_frames import HOSTILE
from report_pages import Page, svg

from bench.reports.page import pictures, vectors
from bench.reports.page.pictures import Picture, carried

DRAWN = {"svg", "g", "path", "use", "defs", "text", "tspan", "clippath", "rect"}


def written(pixels: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def shown(picture: Picture) -> np.ndarray:
    image = Image.open(BytesIO(b64decode(picture.uri.partition(",")[2])))
    assert image.size == (picture.width, picture.height)
    return np.asarray(image.convert("RGB"), dtype=float)


def noise(width: int, height: int) -> bytes:
    return written(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


BARS = np.repeat(np.array([[[255, 255, 255], [0, 114, 178], [213, 94, 0], [0, 0, 0]]], np.uint8), 50, axis=1)
BARS = np.repeat(BARS, 40, axis=0)


@pytest.mark.parametrize("photographs", [False, True])
def test_a_small_picture_is_shown_as_it_is(photographs: bool) -> None:
    [[picture]] = carried([[("a.png", "A")]], lambda path: written(BARS), 10**6, photographs=photographs)
    assert np.array_equal(shown(picture), BARS)


@pytest.mark.parametrize("photographs", [False, True])
def test_large_pictures_share_what_small_ones_leave(photographs: bool) -> None:
    files = {"small.png": written(BARS), "one.png": noise(1500, 900), "other.png": noise(1500, 900)}
    links = [[("small.png", "S"), ("one.png", "O")], [("other.png", "O")]]
    [[small, one], [other]] = carried(links, files.__getitem__, 1_200_000, photographs=photographs)
    assert np.array_equal(shown(small), BARS)
    assert len(one.uri) == len(other.uri)
    assert 200_000 < len(b64decode(one.uri.partition(",")[2])) <= 450_000
    assert one.width / one.height == pytest.approx(1500 / 900, rel=0.01)


def test_a_very_large_figure_is_still_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # what Pillow opens without being asked to
    pixels = np.full((90, 8001), 255, np.uint8)
    pixels[:, :4000] = 0
    [[picture]] = carried([[("a.png", "A")]], lambda path: written(pixels), 10**6)
    assert picture.width <= 2000
    monkeypatch.undo()
    assert shown(picture)[:, : picture.width // 2 - 4].max() < 3
    assert shown(picture)[:, picture.width // 2 + 4 :].min() > 252


def test_the_background_of_a_drawing_stays_white() -> None:
    pixels = np.full((200, 300, 3), 255, np.uint8)
    pixels[:100] = np.random.default_rng(0).integers(0, 256, (100, 300, 3))
    [[picture]] = carried([[("a.png", "A")]], lambda path: written(pixels), 10**6)
    assert (shown(picture)[100:] == 255).all()


def test_the_same_files_give_the_same_pictures() -> None:
    first, second = (carried([[("a.png", "A")]], lambda path: noise(700, 300), 100_000) for _ in range(2))
    assert first == second


def test_a_picture_is_named_by_the_beginning_of_its_caption() -> None:
    assert Picture("a.png", "DER at a glance; 50 %. A star.", "", 1, 1).brief == "DER at a glance"


def drawings(*texts: str) -> Page:
    """A page of these drawings alone."""
    links = [(f"{number}.png", f"Drawing {number}") for number, _ in enumerate(texts)]
    files = {path: svg(text) for (path, _), text in zip(links, texts, strict=True)}
    [made] = carried([links], lambda path: written(BARS), 10**6, drawn=files.__getitem__)
    assert all(picture.svg and not picture.uri for picture in made)
    return Page("".join(picture.svg for picture in made))


def test_a_drawing_is_one_element_with_a_name_and_its_letters_are_text() -> None:
    page = drawings("DER in %")
    assert not page.open
    [root] = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert (root["role"], root["aria-label"]) == ("img", "Drawing 0")
    assert "DER in %" in page.seen
    assert root["viewbox"] == "0 0 216 144"


def test_no_two_drawings_of_a_page_share_an_id_not_even_the_same_one_twice() -> None:
    tags = drawings("a", "a", "b").tags
    ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
    referred = {value[1:] for _, attrs in tags if (value := attrs.get("href"))}
    referred |= {value[5:-1] for _, attrs in tags if (value := attrs.get("clip-path"))}
    assert len(ids) == len(set(ids)) > 5
    assert referred == set(ids)


@pytest.mark.filterwarnings("ignore:Glyph")
@settings(max_examples=8)
@given(st.text(max_size=60) | st.sampled_from([HOSTILE, '"><script>', ' xlink:href="#f00000000-1" id="f00000000-1"']))
def test_any_text_of_a_drawing_is_text(text: str) -> None:
    page = drawings(f"x{text}x")
    assert {tag for tag, _ in page.tags} <= DRAWN
    assert not page.open
    assert not page.scripts
    for _, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on")]
        assert (attrs.get("href") or "#")[0] == "#"
    if text.isprintable() and "$" not in text:
        assert "".join(f"x{text}x".split()) in "".join("".join(page.seen).split())


def test_a_drawing_that_takes_more_than_there_is_room_for_is_carried_in_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    links = [("a.png", "A"), ("b.png", "B")]

    def shown_as(most: int) -> list[bool]:
        [made] = carried([links], lambda path: written(BARS), most, drawn=lambda path: svg("a"))
        assert all(bool(picture.svg) != bool(picture.uri) for picture in made)
        return [bool(picture.svg) for picture in made]

    assert shown_as(10**6) == [True, True]
    monkeypatch.setattr(pictures, "_LEAST", 0)
    assert shown_as(int(1.5 * len(svg("a")))) == [False, True]
    monkeypatch.setattr(vectors, "LARGEST", len(svg("a")) - 1)
    assert shown_as(10**6) == [False, False]
