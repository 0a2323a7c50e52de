"""The page in a real browser: its script, what it asks for, how fast it is, and whether everybody can use it."""

import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import chromium
import pandas as pd
import pytest
import report_frames
from chromium import Browser
from report_frames import HOSTILE, grid, record
from report_pages import made

from bench.reports import write_report

pytestmark = pytest.mark.skipif(chromium.PATH is None, reason="no Chromium is installed")

FIRST_PAINT, SORTING, LARGEST = 1000, 100, 2_000_000  # ms, ms, bytes
SHOWN = "[...document.querySelectorAll('{}')].filter(e => e.offsetParent).map(e => e.textContent.trim())"
MATRIX = ".view tbody:not(.fixed) tr > "
CAPTION = "DER in %, defenses by attacks. Higher is better: darkest at 100, no shade at 50."


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium.browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of two data sets, with hostile texts."""
    frame = grid(3)
    frame.loc[frame["attack"] == "sig", "attack_label"] = HOSTILE
    both = pd.concat([frame, frame.assign(dataset_label="other")])
    path = tmp_path_factory.mktemp("page") / "p.html"
    path.write_text(made(both, [("figures/a.png", HOSTILE)], drawing=HOSTILE))
    return path


@pytest.fixture
def opened(browser: Browser, page: Path) -> Browser:
    """The browser with ``page`` in it, as if it had just been started."""
    browser.call("Emulation.clearDeviceMetricsOverride")
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(page)
    return browser


def shown(page: Browser, selector: str) -> list[str]:
    """The texts of the elements that can be seen."""
    return page.run(SHOWN.format(selector))


def clicked(page: Browser, selector: str) -> None:
    page.run(f"document.querySelector({selector!r}).click()")


def test_sorting_filtering_and_the_switch_work_and_nothing_is_asked_for(opened: Browser) -> None:
    own = 'section[data-id="b1"] '
    names, averages = own + MATRIX + "th", own + MATRIX + "td.avg"
    before = shown(opened, names)
    heads = own + ".view.m4 thead th:nth-child(3)"
    for order, turned in (("descending", True), ("ascending", False), ("none", None)):
        clicked(opened, heads + " button")
        assert opened.run(f"document.querySelector({heads!r}).getAttribute('aria-sort')") == order
        values = [float(text.split("±")[0].split("(")[0].rstrip("*")) for text in shown(opened, averages)]
        assert shown(opened, names) == before if turned is None else values == sorted(values, reverse=turned)
    assert shown(opened, own + ".view caption") == [CAPTION]
    clicked(opened, own + "label[for=b1-m2]")
    assert shown(opened, own + ".view caption")[0].startswith("ASR in %")
    filters = own + ".filters "
    opened.run(f"document.querySelectorAll({own + 'details'!r}).forEach(d => d.open = true)")
    assert HOSTILE in shown(opened, filters + "label")
    lines = len(shown(opened, own + ".long tbody tr"))
    for number, hidden in enumerate(("a", "d", "m"), 1):
        clicked(opened, f"{filters}fieldset:nth-of-type({number}) label:nth-of-type(3) input")
        assert opened.run(f"document.querySelectorAll({own!r} + '[data-{hidden}=\"2\"]').length") > 0
        assert shown(opened, f'{own}[data-{hidden}="2"]') == []
    assert len(shown(opened, own + ".long tbody tr")) < lines
    assert shown(opened, own + ".view caption")[0].startswith("ACC in %")  # the switch leaves what is hidden
    assert "4 of 5 attacks, 3 of 4 defenses, 4 of 5 metrics" in shown(opened, own + "[role=status]")[0]
    assert len(shown(opened, 'section[data-id="b2"] .view thead th[data-a]')) == 5  # a section has its own filters
    assert opened.complaints == []
    assert {url.split(":")[0] for url in opened.requests} <= {"file", "data"}  # drawings are inside it
    assert len([url for url in opened.requests if url.startswith("file")]) == 1


@pytest.mark.slow
def test_without_scripts_everything_can_be_read_and_the_switch_still_works(opened: Browser, page: Path) -> None:
    opened.open(page, scripts=False)
    assert opened.run("document.querySelectorAll('button, .filters').length") == 0
    assert shown(opened, ".view caption")[0].startswith("DER")
    clicked(opened, "label[for=b1-m0]")
    assert shown(opened, ".view caption")[0].startswith("ACC in %")
    assert opened.run("document.querySelectorAll('details > summary').length") > 0


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_is_never_wider_than_the_screen(opened: Browser, width: int) -> None:
    opened.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=True)
    opened.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert opened.run("document.documentElement.scrollWidth") <= width
    opened.run("document.querySelector('.view.m4').scrollTo(300, 100)")
    place = "(e => [e.getBoundingClientRect().x, e.parentNode.closest('.scroll').getBoundingClientRect().x])"
    name, box = opened.run(f"{place}(document.querySelector('.view.m4 tbody:not(.fixed) th'))")
    assert name == pytest.approx(box + 1, abs=1)  # the names stay beside the figures


@pytest.mark.slow
def test_a_page_of_twenty_attacks_and_25_defenses_is_small_and_fast(browser: Browser, tmp_path: Path) -> None:
    browser.call("Emulation.clearDeviceMetricsOverride")
    write_report(large().assign(diagnostics="{}", identified=""), tmp_path)
    page = tmp_path / "index.html"
    assert page.stat().st_size < LARGEST
    browser.open(page)
    paint = browser.run("""new Promise(done => new PerformanceObserver(list => done(list.getEntries()[0].startTime))
        .observe({type: "paint", buffered: true}))""")
    assert paint < FIRST_PAINT
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    times = browser.run("""[...document.querySelectorAll('th button')].map(button => {
        const start = performance.now(); button.click(); document.body.offsetHeight; return performance.now() - start;
    })""")
    assert len(times) > 100
    assert max(times) < SORTING


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(opened: Browser, page: Path, scheme: str) -> None:
    axe = Path(os.environ.get("AXE_CORE", "/usr/lib/node_modules/axe-core/axe.min.js"))
    if not axe.is_file():
        pytest.skip("axe-core is not installed: npm install axe-core; AXE_CORE=…/axe.min.js")
    opened.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    opened.open(page)
    opened.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    opened.run(f"{axe.read_text()}; 0")
    assert opened.run("axe.run(document).then(found => found.violations.map(one => [one.id, one.nodes[0].html]))") == []


def large() -> pd.DataFrame:
    """Invented results of 20 attacks against 25 defenses."""
    attacks, defenses = product(report_frames.ATTACKS, "abcd"), product(report_frames.DEFENSES[1:], "abcdef")
    names = [("none", "none"), *((name, name + letter) for name, letter in defenses), ("bna", "bna")]
    return pd.DataFrame(
        [
            record(attack, defense, 0) | {"attack_label": f"{attack}{letter}", "defense_label": label, "attack": attack}
            for (attack, letter), (defense, label) in product(attacks, names)
        ]
    )


def test_on_a_phone_no_name_is_a_column_of_letters_and_nothing_but_the_best_is_bold(opened: Browser) -> None:
    opened.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    opened.run("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    opened.run("document.querySelectorAll('.view').forEach(e => { e.style.display = 'block'; })")
    narrow = """[...document.querySelectorAll('tbody th, tbody td:not(.n)')].filter(e => {
        const letter = parseFloat(getComputedStyle(e).fontSize) / 2;
        return e.offsetParent && e.clientWidth < letter * Math.min(8, e.textContent.trim().length);
    }).map(e => e.textContent.trim())"""
    assert opened.run(narrow) == []
    assert opened.run("document.documentElement.scrollWidth") <= 390
    bold = """[...document.querySelectorAll('.matrix tbody td, .matrix tbody td *')].filter(
        e => e.offsetParent && getComputedStyle(e).fontWeight >= 600).map(e => e.textContent)"""
    found = opened.run(bold)
    assert found
    assert all(text.endswith("*") for text in found)
