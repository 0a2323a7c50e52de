"""How much work a report is: what is read and parsed once, and how long ten thousand cells take."""

import gc
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from large_frames import large
from large_stores import put_all
from report_pages import png

from bench.reported import write as write_report_of
from bench.reports import WrongChoice, diagnostics, write, write_report
from bench.results import Results, from_store
from bench.store.store import Store

WITHOUT_FIGURES, WITH_FIGURES = 5.0, 12.0  # seconds of a processor
CELLS = 10_000


def test_the_notes_of_a_cell_are_parsed_once_for_all_figures_and_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = large(3, 3)
    frame["class_names"] = str([f"class {number}" for number in range(30)]).replace("'", '"')
    noted = set(frame["diagnostics"]) - {"{}"}
    parsed, counts = diagnostics.parsed, Counter[str]()

    def counting(text: str, default: object) -> object:
        counts[str(text)] += 1
        return parsed(text, default)

    monkeypatch.setattr(diagnostics, "parsed", counting)
    monkeypatch.setattr(write, "rendered", lambda figure: {"png": png(), "svg": b""})
    names = {path.stem for path in write_report(frame, tmp_path)}
    assert {"class_statistics", "activations", "stream"} <= names
    assert {text: counts[text] for text in noted} == dict.fromkeys(noted, 1)


@pytest.mark.usefixtures("no_figures")
def test_each_file_of_predictions_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = large(3, 3, 2, noted=False)
    put_all(frame, tmp_path / "store", images=20)
    read, counts = Store.read, Counter[tuple[str, str]]()

    def counting(store: Store, section: str, key: str, name: str) -> bytes:
        counts[section, key] += name == "predictions.safetensors"
        return read(store, section, key, name)

    monkeypatch.setattr(Store, "read", counting)
    reported(from_store(tmp_path / "store", damaged), tmp_path / "report")
    done = int((frame["status"] == "done").sum())
    assert {(section, count) for (section, _), count in counts.items()} >= {("victims", 1), ("cells", 1)}
    assert max(counts.values()) == 1
    assert sum(counts.values()) <= done + frame["victim_key"].nunique()


@pytest.mark.usefixtures("no_figures")
def test_what_a_report_reads_is_set_aside_for_its_time_and_no_longer(tmp_path: Path) -> None:
    frame, frozen = large(3, 3, noted=False), list[int]()

    def pictures(key: str) -> None:
        frozen.append(gc.get_freeze_count())

    write_report(frame, tmp_path, pictures)
    assert min(frozen) > 0
    assert gc.get_freeze_count() == 0
    with pytest.raises(WrongChoice):
        write_report(frame, tmp_path, compare_with="nobody")
    assert gc.get_freeze_count() == 0
    gc.freeze()
    try:
        write_report(frame, tmp_path)
        assert gc.get_freeze_count() > 0  # what the caller has set aside
    finally:
        gc.unfreeze()


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_ten_thousand_cells_make_a_report_without_figures_in_time(tmp_path: Path) -> None:
    frame = ten_thousand(25, 20, 20)
    assert seconds(lambda: write_report(frame, tmp_path)) < WITHOUT_FIGURES


@pytest.mark.slow
def test_ten_thousand_cells_with_all_notes_make_a_report_with_figures_in_time(tmp_path: Path) -> None:
    frame = ten_thousand(25, 20, 20)
    assert seconds(lambda: write_report(frame, tmp_path)) < WITH_FIGURES


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_ten_thousand_cells_are_reported_from_a_store_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "gallery", lambda *_: None)
    put_all(ten_thousand(25, 20, 20, noted=False), tmp_path / "store")
    results = from_store(tmp_path / "store", damaged)
    assert seconds(lambda: reported(results, tmp_path / "report")) < WITHOUT_FIGURES


def ten_thousand(defenses: int, attacks: int, seeds: int, *, noted: bool = True) -> pd.DataFrame:
    return large(defenses, attacks, seeds, noted=noted)[:CELLS]


def seconds(task: Callable[[], object]) -> float:
    """The processor time of a task."""
    start = time.process_time()
    task()
    return time.process_time() - start


def damaged(error: Exception) -> None:
    raise error


def reported(results: Results, folder: Path) -> None:
    write_report_of(results.records, results.frame, results.store, folder, damaged)
