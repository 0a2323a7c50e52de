"""The report directory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from report_frames import HOSTILE, PICTURES, grid, sections, small

from bench.reports import terminal_table, write_report
from bench.reports.blocks import blocks
from bench.reports.directory import REPORT
from bench.reports.tables.csv import csv
from bench.reports.tables.latex import latex, latex_files
from bench.reports.tables.markdown import markdown


def test_every_file_is_written_and_returned_and_nothing_else(report: tuple[Path, list[Path]]) -> None:
    folder, paths = report
    names = {"table.md", "table.csv", "table.tex", "results.parquet", "index.html", *latex_files(sections(grid(3)))}
    for name in ("overview", "acc_asr", "class_statistics", "der", "gallery", "ranks"):
        names |= {f"figures/{name}.{kind}" for kind in ("png", "pdf", "svg")}
    assert {path.relative_to(folder).as_posix() for path in paths} == names
    assert {path for path in folder.rglob("*") if path.is_file()} == {*paths, folder / REPORT.manifest}


def test_the_written_tables_are_those_of_the_formats(report: tuple[Path, list[Path]]) -> None:
    frame = grid(3)
    assert (report[0] / "table.md").read_text() == markdown(sections(frame))
    assert (report[0] / "table.tex").read_text() == latex(sections(frame))
    assert (report[0] / "table.csv").read_text() == csv(blocks(frame))


def test_pictures_are_not_blank(report: tuple[Path, list[Path]]) -> None:
    for path in report[1]:
        if path.suffix == ".png":
            pixels = imread(path)[..., :3]
            assert min(pixels.shape[:2]) > 200
            assert (pixels < 0.5).any(axis=2).mean() > 0.002, path.name


def test_the_same_frame_gives_the_same_files(tmp_path: Path) -> None:
    first, second = (write_report(small(), tmp_path / name, PICTURES.get) for name in ("first", "second"))
    assert len(first) == len(second) > 20
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_parquet_holds_the_frame_as_it_is_and_the_intervals_of_its_shares(report: tuple[Path, list[Path]]) -> None:
    kept, frame = pd.read_parquet(report[0] / "results.parquet"), grid(3)
    pd.testing.assert_frame_equal(kept[list(frame)], frame)
    done = kept[kept["status"] == "done"]
    assert ((done["acc_low"] < done["acc"]) & (done["acc"] < done["acc_high"])).all()


def test_hostile_names_break_no_file(tmp_path: Path) -> None:
    frame = small().assign(model_label=HOSTILE, device=HOSTILE, commit=HOSTILE, knowledge=HOSTILE, log=HOSTILE)
    frame.loc[frame["attack"] == "sig", "attack_label"] = HOSTILE
    paths = write_report(frame, tmp_path, PICTURES.get)
    figures = {"overview", "acc_asr", "class_statistics", "der", "gallery"}
    assert {path.stem for path in paths if path.suffix == ".png"} == figures
    for name in ("index.html", "table.md", "figures/acc_asr.svg"):
        text = (tmp_path / name).read_text()
        assert "alert(1)" in text
        assert "<script>alert" not in text


def asked_for(frame: pd.DataFrame, folder: Path, having: set[str]) -> tuple[list[str], list[str]]:
    """The victims whose pictures a report asks for, of which only some have any, and the galleries that it writes."""
    asked: list[str] = []

    def pictures(key: str) -> tuple[np.ndarray, np.ndarray] | None:
        asked.append(key)
        return PICTURES["sig-0"] if key in having else None

    paths = write_report(frame, folder, pictures)
    return asked, sorted(path.name for path in paths if path.name.startswith("gallery") and path.suffix == ".png")


@pytest.mark.usefixtures("no_figures")
def test_pictures_are_those_of_the_first_victim_that_has_some(tmp_path: Path) -> None:
    frame = grid(3)
    asked, galleries = asked_for(frame[frame["attack"] == "sig"], tmp_path, {"sig-1", "sig-2"})
    assert asked == ["sig-0", "sig-1"]
    assert galleries == ["gallery.png"]


@pytest.mark.usefixtures("no_figures")
def test_data_sets_that_share_an_attacks_label_show_their_own_victims(tmp_path: Path) -> None:
    one, other = small(), small().assign(dataset="gtsrb", dataset_label="gtsrb")
    other["victim_key"] = "gtsrb-" + other["victim_key"]
    asked, galleries = asked_for(pd.concat([one, other]), tmp_path, {"sig-0", "gtsrb-sig-0"})
    assert {"sig-0", "gtsrb-sig-0"} <= set(asked)
    assert len(galleries) == 2
    page = (tmp_path / "index.html").read_text()
    assert all(f"figures/{name}" in page for name in galleries)


@pytest.mark.usefixtures("no_figures")
def test_no_victim_is_shown_whose_records_are_left_out(tmp_path: Path) -> None:
    old = small().assign(attack_params='{"x": 1}', seed=1)
    old["victim_key"] = "old-" + old["victim_key"]
    new = small().assign(attack_params='{"x": 2}', finished="2027-01-01T00:00:00+00:00")
    asked, galleries = asked_for(pd.concat([old, new]), tmp_path, {"old-sig-0", "old-wanet-0"})
    assert {key for key in asked if key.startswith("old")} == set()
    assert galleries == []


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(),
        grid(1)[:0],
        small()[["dataset", "model", "attack", "defense", "acc", "asr", "ra", "der"]],
        grid(1)[grid(1)["status"] != "done"],
        grid(1)[grid(1)["defense"] == "none"],
        grid(1)[grid(1)["attack"] == "none"],
        small().assign(diagnostics="{broken", packages=None, targets=np.nan, seed=None),
    ],
    ids=["nothing", "no rows", "few columns", "nothing done", "control only", "no attack", "broken texts"],
)
def test_a_frame_with_gaps_is_still_reported(frame: pd.DataFrame, tmp_path: Path) -> None:
    paths = write_report(frame, tmp_path)
    assert {"table.md", "index.html", "table.tex"} <= {path.name for path in paths}
    defended = len(frame) > 0 and (frame["defense"] != "none").any()
    judged = "auroc" in frame and bool(frame["auroc"].notna().any())
    looking = "identified" in frame and bool((frame["identified"] != "").any())
    assert len(terminal_table(frame, 80)) == int(len(frame) > 0) + int(defended) + int(judged) + int(looking)


@pytest.mark.usefixtures("no_figures")
def test_the_tables_beside_the_results_and_the_legend_are_in_every_file(tmp_path: Path) -> None:
    frame = small().assign(psnr=31.25, auroc=0.987, attack=["none"] * 3 + ["wanet"] * 3, acc_before=0.99, acc=0.9)
    truth = '{"shift_truth": {"3": {"cosine": 0.12345, "correlation": 0.5, "length": 0.25}}}'
    frame.loc[frame["defense"] == "bna", "diagnostics"] = truth
    write_report(frame, tmp_path)
    for name in ("table.md", "table.tex", "index.html"):
        text = (tmp_path / name).read_text()
        for expected in ("31.2", "98.7", "0.123", "Reconstructed shift", "Costs a benign model more than 3 points"):
            assert expected in text, (name, expected)


def test_each_data_set_has_a_figure_of_its_own(tmp_path: Path) -> None:
    frame = small()[lambda rows: (rows["attack"] == "sig") & (rows["defense"] != "fire")]
    paths = write_report(pd.concat([frame, frame.assign(dataset_label="cifar10")]), tmp_path)
    assert len({path for path in paths if path.name.startswith("der-") and path.suffix == ".png"}) == 2


def test_importing_the_package_is_cheap() -> None:
    code = (
        "import bench.reports, sys; print([m for m in ('pandas', 'matplotlib', 'torch', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
