"""Reports: what the tables say, and that nothing in a record can break or mislead them."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from io import StringIO
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from rich.console import Console
from rich.table import Table

from bench.reports import terminal_table, write_report
from bench.reports.blocks import AVERAGE, blocks
from bench.reports.figures.class_statistics import class_statistics
from bench.reports.figures.gallery import factor
from bench.reports.figures.stream_curves import stream_curves
from bench.reports.format import percent
from bench.reports.tables.latex import escaped as escaped_latex
from bench.reports.tables.latex import latex

ATTACKS = ["none", "badnets", "blend", "sig", "wanet"]
DEFENSES = ["none", "tac[beta=1.0]", "bna", "fire", "fine_pruning"]
HOSTILE = "<script>alert(1)</script> 50 % & _x_ \\ | `a` [red]"
PICTURES = {
    "sig": (np.full((4, 28, 28), 0.2), np.full((4, 28, 28), 0.3)),
    "wanet": (np.zeros((2, 32, 32, 3)), np.ones((2, 32, 32, 3))),
}
KNOWLEDGE = {"none": "nothing", "fire": "200 clean + 64 suspected"}


def record(attack: str, defense: str, seed: int, **changed: Any) -> dict[str, Any]:
    """One made-up record; ``changed`` replaces columns."""
    draw = np.random.default_rng([ATTACKS.index(attack), DEFENSES.index(defense), seed])
    victim = np.random.default_rng([ATTACKS.index(attack), seed])
    before = {"acc": 0.98 + 0.01 * victim.random(), "asr": 0.9 + 0.1 * victim.random(), "ra": 0.1 * victim.random()}
    after = {"acc": 0.9 + 0.09 * draw.random(), "asr": 0.6 * draw.random() ** 3, "ra": 0.5 + 0.45 * draw.random()}
    if defense == "none":
        after = dict(before)
    values = draw.normal(1, 0.1, 10)
    values[0] = 0.3
    fall_asr, fall_acc = before["asr"] - after["asr"], before["acc"] - after["acc"]
    der = (max(0, fall_asr) - max(0, fall_acc) + 1) / 2
    statistic = {"name": "norm of the minimal perturbation", "values": values.tolist(), "flagged": [0]}
    name = defense.split("[")[0]
    row: dict[str, Any] = {
        "key": f"{attack}-{defense}-{seed}",
        "victim_key": f"{attack}-{seed}",
        "dataset": "mnist5k",
        "model": "resnet18",
        "attack": attack,
        "defense": name,
        "dataset_label": "mnist5k",
        "model_label": "resnet18[width=16]",
        "attack_label": "badnets[poisoning_rate=0.05]" if attack == "badnets" else attack,
        "defense_label": defense,
        "recipe": '{"epochs": 6}',
        "profile": "quick",
        "seed": seed,
        "reference": 200,
        "suspects": 64,
        "knowledge": KNOWLEDGE.get(name, "200 clean"),
        "status": "done",
        "reason": None,
        **after,
        "der": der,
        "acc_target": after["acc"] - 0.01,
        "acc_target_before": before["acc"],
        **{f"{metric}_before": value for metric, value in before.items()},
        "auroc": 0.97 if name == "fire" else np.nan,
        "tpr": 0.9 if name == "fire" else np.nan,
        "fpr": 0.05 if name == "fire" else np.nan,
        "targets": "[0]",
        "n_train": 4000,
        "n_test": 1000,
        "train_seconds": 35.0,
        "defense_seconds": 2.5 * draw.random(),
        "inference_seconds": 0.4,
        "ms_per_sample": 0.3,
        "ms_per_sample_before": 0.2,
        "peak_memory_mb": 512.0,
        "device": "cpu",
        "threads": 1,
        "code_version": "0.1.0",
        "commit": "0123abc",
        "dirty": False,
        "packages": '{"torch": "2.11.0", "numpy": "2.4.6"}',
        "started": "2026-01-01T00:00:00+00:00",
        "finished": f"2026-01-01T00:0{seed}:30+00:00",
        "diagnostics": json.dumps({"class_statistic": statistic}) if name in ("tac", "bna") else "{}",
    }
    if attack == "none":
        row |= dict.fromkeys(["asr", "ra", "der", "asr_before", "ra_before"], np.nan) | {"targets": "[]"}
    row |= changed
    if row["status"] != "done":
        row |= dict.fromkeys(["acc", "asr", "ra", "der", "auroc", "tpr", "fpr"], np.nan) | {"diagnostics": "{}"}
    return row


def grid(seeds: int) -> pd.DataFrame:
    """Every attack against every defense, with three cells that are not done and, over seeds, one half done."""
    rows = []
    for attack, defense, seed in product(ATTACKS, DEFENSES, range(seeds)):
        changed: dict[str, Any] = {}
        if (attack, defense) == ("sig", "fire"):
            changed = {"status": "failed", "reason": HOSTILE}
        if (attack, defense) == ("wanet", "fine_pruning"):
            changed = {"status": "timeout", "reason": "stopped after 60 s"}
        if (attack, defense) == ("none", "fire"):
            changed = {"status": "not-applicable", "reason": "no suspected images without an attack"}
        if (attack, defense, seed) == ("blend", "bna", 2):
            changed = {"status": "failed", "reason": "LinAlgError: did not converge"}
        rows.append(record(attack, defense, seed, **changed))
    return pd.DataFrame(rows)


def lines_of(tables: list[Table], width: int) -> list[str]:
    """What a console of this width prints, with no colours."""
    buffer = StringIO()
    console = Console(file=buffer, width=width, no_color=True)
    for table in tables:
        console.print(table)
    return buffer.getvalue().splitlines()


def tiny(**der: float) -> pd.DataFrame:
    """One attack, one seed: the DER of each defense."""
    ders = {"none": 0.99, **der}
    rows = [record("blend", "none", 0) | {"defense": name, "defense_label": name, "der": ders[name]} for name in ders]
    return pd.DataFrame(rows)


def small() -> pd.DataFrame:
    """Two attacks against two defenses and the control, one of the cells failed."""
    frame = grid(1)
    return frame[frame["attack"].isin(["sig", "wanet"]) & frame["defense"].isin(["none", "bna", "fire"])]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """The report of three seeds, with pictures of two attacks."""
    folder = tmp_path_factory.mktemp("report")
    return folder, write_report(grid(3), folder, PICTURES)


# --- what the tables say -----------------------------------------------------------------------------


def test_the_best_der_is_that_of_the_highest_defense_and_never_of_the_control() -> None:
    (block,) = blocks(tiny(a=0.5, b=0.93, c=0.9))
    assert block.best("blend") == {"b"}
    assert block.defenses == ["a", "b", "c"]


def test_ders_that_print_alike_are_all_best() -> None:
    (block,) = blocks(tiny(a=0.93004, b=0.92996, c=0.928))
    assert block.best("blend") == {"a", "b"}


@pytest.mark.parametrize("status", ["failed", "timeout", "not-applicable"])
def test_a_defense_that_did_not_finish_every_seed_cannot_be_best(status: str) -> None:
    first = tiny(a=0.9, b=0.99)
    second = tiny(a=0.9, b=0.99).assign(seed=1)
    second.loc[second["defense"] == "b", "status"] = status
    (block,) = blocks(pd.concat([first, second]))
    assert block.best("blend") == {"a"}
    assert (block.cells["blend", "b"].done, block.cells["blend", "b"].total) == (1, 2)


def test_mean_and_spread_over_seeds_are_those_worked_out_by_hand() -> None:
    frame = pd.concat([tiny(a=der).assign(seed=seed) for seed, der in enumerate([0.90, 0.92, 0.97])])
    (block,) = blocks(frame)
    stat = block.cells["blend", "a"].stat("der")
    assert stat.mean == pytest.approx(0.93)
    assert stat.std == pytest.approx(((0.03**2 + 0.01**2 + 0.04**2) / 2) ** 0.5)
    assert any("93.0±3.6*" in line for line in lines_of(terminal_table(frame, 80), 80))


def test_the_average_leaves_out_the_control_row() -> None:
    (block,) = blocks(grid(1))
    frame = grid(1)
    own = frame[(frame["attack"] != "none") & (frame["defense"] == "bna")]
    assert block.cells[AVERAGE, "bna"].stat("acc").mean == pytest.approx(own["acc"].mean())
    assert block.before[AVERAGE].stat("asr").mean == pytest.approx(own["asr_before"].mean())
    assert AVERAGE not in blocks(frame[frame["attack"].isin(["none", "sig"])])[0].lines


def test_the_average_of_a_defense_with_an_unfinished_attack_is_counted_and_cannot_be_best() -> None:
    frame = grid(1)
    frame.loc[(frame["defense"] == "fire") & (frame["status"] == "done"), "der"] = 1.0
    (block,) = blocks(frame)
    assert (block.cells[AVERAGE, "fire"].done, block.cells[AVERAGE, "fire"].total) == (3, 4)
    assert "fire" not in block.best(AVERAGE)


def test_the_undefended_network_is_shown_even_where_the_control_was_not_run() -> None:
    whole = grid(2)
    without = whole[whole["defense"] != "none"]
    assert blocks(without)[0].before["sig"].stats == pytest.approx(blocks(whole)[0].before["sig"].stats)


def test_the_control_stands_for_the_undefended_network_where_records_do_not_say_what_was_before() -> None:
    frame = grid(2).drop(columns=["acc_before", "asr_before", "ra_before"])
    own = frame[(frame["attack"] == "sig") & (frame["defense"] == "none")]
    assert blocks(frame)[0].before["sig"].stat("asr").mean == pytest.approx(own["asr"].mean())


def test_different_recipes_are_never_averaged_and_different_budgets_stand_in_two_columns() -> None:
    frame = tiny(a=0.9)
    assert len(blocks(pd.concat([frame, frame.assign(recipe='{"epochs": 9}', der=0.1)]))) == 2
    (block,) = blocks(pd.concat([frame, frame.assign(knowledge="50 clean", der=0.1)]))
    assert block.defenses == ["a (50 clean)", f"a ({frame['knowledge'][0]})"]


def test_of_two_records_of_one_cell_and_seed_the_later_counts() -> None:
    old, new = tiny(a=0.5), tiny(a=0.8).assign(finished="2027-01-01T00:00:00+00:00")
    for frame in (pd.concat([old, new]), pd.concat([new, old])):
        stat = blocks(frame)[0].cells["blend", "a"].stat("der")
        assert (stat.count, stat.mean) == (1, 0.8)


# --- the terminal ------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 100, 160, 250])
@pytest.mark.parametrize("seeds", [1, 3])
def test_a_terminal_of_any_width_shows_every_figure_whole(seeds: int, width: int) -> None:
    frame = grid(seeds)
    lines = lines_of(terminal_table(frame, width), width)
    text = "\n".join(lines)
    assert "…" not in text
    assert max(map(len, lines)) <= width
    (block,) = blocks(frame)
    for place, cell in block.cells.items():
        for stat in cell.stats.values():
            assert percent(stat) in text, place
    for expected in ["n/a", "failed", "timeout", "200 clean + 64", "Seed"]:
        assert expected in " ".join(text.split())
    assert "badnets[poisoning_rate=0.05]" in text  # brackets are not taken for mark-up
    assert sum(line.count("*") for line in lines) == 1 + sum(len(block.best(attack)) for attack in block.lines)


def test_a_wide_terminal_gets_one_line_an_attack() -> None:
    lines = lines_of(terminal_table(grid(1), 250)[:1], 250)
    assert sum(line.strip().startswith("wanet ") for line in lines) == 1
    assert len(lines) < len(lines_of(terminal_table(grid(1), 80)[:1], 80))


# --- files -------------------------------------------------------------------------------------------


def test_every_file_is_written_and_returned_and_nothing_else(report: tuple[Path, list[Path]]) -> None:
    folder, paths = report
    names = {"table.md", "table.csv", "table.tex", "results.parquet", "index.html"}
    for name in ("acc_asr", "class_statistics", "der", "gallery"):
        names |= {f"figures/{name}.png", f"figures/{name}.pdf"}
    assert {path.relative_to(folder).as_posix() for path in paths} == names
    assert {path for path in folder.rglob("*") if path.is_file()} == set(paths)


def test_pictures_are_not_blank(report: tuple[Path, list[Path]]) -> None:
    for path in report[1]:
        if path.suffix == ".png":
            pixels = imread(path)[..., :3]
            assert min(pixels.shape[:2]) > 200
            assert (pixels < 0.5).any(axis=2).mean() > 0.002, path.name


def test_the_same_frame_gives_the_same_files(tmp_path: Path) -> None:
    first, second = (write_report(small(), tmp_path / name, PICTURES) for name in ("first", "second"))
    assert len(first) == 13
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_parquet_holds_the_frame_as_it_is(report: tuple[Path, list[Path]]) -> None:
    pd.testing.assert_frame_equal(pd.read_parquet(report[0] / "results.parquet"), grid(3))


def test_csv_gives_back_every_mean_spread_and_number_of_seeds(report: tuple[Path, list[Path]]) -> None:
    table = pd.read_csv(report[0] / "table.csv")
    frame = grid(3)
    assert len(table) == len(ATTACKS) * len(DEFENSES)
    for line in table.to_dict("records"):
        rows = frame[(frame["attack_label"] == line["attack"]) & (frame["defense_label"] == line["defense"])]
        rows = rows[rows["status"] == "done"]
        assert (line["seeds"], line["done"]) == (3, len(rows))
        for metric in ("acc", "asr", "ra", "der", "defense_seconds", "auroc"):
            values = rows[metric].dropna().tolist()
            assert line[f"{metric}_n"] == len(values)
            assert line[f"{metric}_mean"] == pytest.approx(mean(values) if values else np.nan, abs=1e-12, nan_ok=True)
            assert line[f"{metric}_std"] == pytest.approx(
                stdev(values) if values[1:] else np.nan, abs=1e-12, nan_ok=True
            )
    assert set(table["done"]) == {0, 2, 3}


def test_latex_escapes_what_it_must() -> None:
    assert escaped_latex(r"50 % & _x_ #1 {a} $b$ \c ~^ <s>") == (
        r"50 \% \& \_x\_ \#1 \{a\} \$b\$ \textbackslash{}c \textasciitilde{}\textasciicircum{} "
        r"\textless{}s\textgreater{}"
    )


@pytest.mark.parametrize(("seeds", "widths"), [(1, [1 + 3 + 4 * 4]), (3, [1 + 3 + 2 * 4, 1 + 2 * 4])])
def test_the_latex_rows_are_as_wide_as_their_table(seeds: int, widths: list[int]) -> None:
    text = latex(blocks(grid(seeds)))
    *parts, attacks, detection, costs = text.split(r"\begin{tabular}")[1:]
    assert {row.count("&") for row in detection.splitlines() if row.endswith(r"\\")} == {4}
    assert attacks.count("&") == (len(ATTACKS) - 1 + 1) * 8  # nine columns, no line for the control
    assert costs.count("&") == (len(DEFENSES) - 1 + 1) * 5 + text.count(r"\&")
    for part, width in zip(parts, widths, strict=True):
        assert part.startswith(f"{{l{'r' * (width - 1)}}}")
        rows = [line for line in part.splitlines() if line.endswith(r"\\")]
        assert len(rows) == 2 + len(ATTACKS) + 1
        for row in rows:
            spans = [int(span) - 1 for span in re.findall(r"\\multicolumn\{(\d)\}", row)]
            assert len(re.findall(r"(?<!\\)&", row)) + 1 + sum(spans) == width, row
    assert text.count(r"\textbf{") == 5  # one for each attack but none, one for the average


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_compiles(tmp_path: Path) -> None:
    frame = grid(3).assign(model_label=HOSTILE)
    text = latex(blocks(frame))
    head = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}"
    (tmp_path / "paper.tex").write_text(f"{head}\n{text}\n\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


class Page(HTMLParser):
    """The tags of a page and its visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.seen.append(data)


def test_the_page_is_well_formed_shows_reasons_as_text_and_every_link_leads_somewhere(
    report: tuple[Path, list[Path]],
) -> None:
    page = Page((report[0] / "index.html").read_text())
    assert not page.open
    assert "script" not in {tag for tag, _ in page.tags}
    assert HOSTILE in page.seen
    text = " ".join(page.seen)
    for expected in ["stopped after 60 s", "LinAlgError", "0123abc", "torch 2.11.0", "200 clean + 64 suspected", "n/a"]:
        assert expected in text
    links = [value for _, attrs in page.tags for name, value in attrs.items() if name in ("href", "src")]
    assert len(links) >= 8
    assert all(link and (report[0] / link).is_file() for link in links)


def test_hostile_names_stay_text_everywhere(tmp_path: Path) -> None:
    frame = small().assign(model_label=HOSTILE, device=HOSTILE, commit=HOSTILE, knowledge=HOSTILE)
    frame.loc[frame["attack"] == "sig", "attack_label"] = HOSTILE
    write_report(frame, tmp_path)
    page = Page((tmp_path / "index.html").read_text())
    assert not page.open
    assert "script" not in {tag for tag, _ in page.tags}
    text = (tmp_path / "table.md").read_text()
    assert "<script" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows} == {6, 7, 10}


def test_markdown_shows_every_status_with_its_reason(report: tuple[Path, list[Path]]) -> None:
    text = (report[0] / "table.md").read_text()
    for expected in [" n/a |", " failed |", " timeout |", "stopped after 60 s", "no suspected images", "(2/3)"]:
        assert expected in text
    assert text.count("±") > 50
    assert len(re.findall(r"\*\*[\d.±]+\*\*", text)) == 5


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
    assert len(terminal_table(frame, 80)) == int(len(frame) > 0) + int(defended) + int(judged)


def test_an_oracle_stands_last_and_is_never_best() -> None:
    frame = tiny(a=0.5, b=0.93, c=0.9)
    frame["oracle"] = frame["defense"] == "b"
    (block,) = blocks(frame)
    assert block.defenses == ["a", "c", "b (oracle)"]
    assert block.best("blend") == {"c"}
    assert "it knows what no defender knows" in latex([block])


def test_the_tables_show_how_well_each_trigger_hides_and_what_each_defense_costs(tmp_path: Path) -> None:
    frame = small().assign(psnr=31.25, ssim=0.9876, l0=9.0, l2=1.234, linf=0.5, n_poisoned=400)
    frame.loc[frame["attack"] == "sig", "n_poisoned"] = 0
    frame.loc[frame["defense"] == "bna", ["ms_per_sample", "ms_per_sample_before"]] = [0.7, 0.2]
    write_report(frame, tmp_path)
    for name in ("table.md", "index.html", "table.tex"):
        text = (tmp_path / name).read_text()
        for expected in ("31.2", "0.988", "1.23", "in training", "0.500"):
            assert expected in text, (name, expected)
    bna = next(line for line in (tmp_path / "table.md").read_text().splitlines() if line.startswith("| bna "))
    assert [cell.strip() for cell in bna.split("|")][2:6:2] == ["200 clean", "0.7"]
    assert bna.split("|")[5].strip() == "0.5"
    attacks = (tmp_path / "table.md").read_text().split("before any defense")[1]
    assert re.search(r"wanet +\| +10 % ", attacks)


def test_detection_and_reconstruction_have_tables_of_their_own(tmp_path: Path) -> None:
    frame = small().assign(auroc=np.nan, tpr=np.nan, fpr=np.nan)
    bna = (frame["defense"] == "bna") & (frame["attack"] == "wanet")
    frame.loc[bna, ["auroc", "tpr", "fpr"]] = [0.987, 0.9, 0.051]
    truth = {"shift_truth": {"3": {"cosine": 0.12345, "correlation": 0.5, "length": 0.25}}}
    frame.loc[(frame["defense"] == "bna") & (frame["attack"] == "sig"), "diagnostics"] = json.dumps(truth)
    write_report(frame, tmp_path)
    text = (tmp_path / "table.md").read_text()
    [line] = text.split("Detection of triggered")[1].split("\n\n")[1].splitlines()[2:]
    assert [cell.strip() for cell in line.split("|")[1:-1]] == ["wanet", "bna", "98.7", "90.0", "5.1"]
    [line] = text.split("Reconstructed")[1].split("\n\n")[1].splitlines()[2:]
    assert [cell.strip() for cell in line.split("|")[1:-1]] == ["sig", "bna", "3", "1", "0.123", "0.500", "0.250"]
    for name in ("table.tex", "index.html"):
        assert "Reconstructed shift" in (tmp_path / name).read_text()


def test_a_figure_for_each_data_set(tmp_path: Path) -> None:
    frame = small()[lambda rows: (rows["attack"] == "sig") & (rows["defense"] != "fire")]
    paths = write_report(pd.concat([frame, frame.assign(dataset_label="cifar10")]), tmp_path)
    assert len({path for path in paths if path.name.startswith("der-") and path.suffix == ".png"}) == 2


# --- figures -----------------------------------------------------------------------------------------


def test_the_difference_is_amplified_as_far_as_grey_allows() -> None:
    clean = np.zeros((1, 4, 4))
    assert factor(clean, clean + 0.04) == 10
    assert factor(clean, clean + 0.05) == 10
    assert factor(clean, clean + 0.06) == 5
    assert factor(clean, clean + 1) == 0.5


def test_the_class_figure_marks_targets_and_flagged_classes() -> None:
    frame = grid(1)
    frame = frame[(frame["attack"] == "sig") & (frame["defense"] == "bna")]
    noted = {"class_statistic": {"name": "norm", "values": [1.0, 0.2, None, 0.9], "flagged": [3]}}
    figure = class_statistics(blocks(frame.assign(targets="[1]", diagnostics=json.dumps(noted)))[0])
    assert figure is not None
    drawn = {
        (str(line.get_marker()), line.get_markersize()): np.column_stack(line.get_data()).tolist()
        for line in figure.axes[0].lines
    }
    assert drawn["D", 5.5] == [[1, 0.2]]
    assert drawn["o", 11.0] == [[3, 0.9]]
    assert drawn["o", 5.5][0] == [0, 1.0]


def test_importing_the_package_is_cheap() -> None:
    code = (
        "import bench.reports, sys; print([m for m in ('pandas', 'matplotlib', 'torch', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_stream_figure_shows_the_mean_curve_over_seeds() -> None:
    frame = grid(3)
    frame = frame[(frame["attack"] == "sig") & (frame["defense"] == "bna")]
    curves = [{"triggered": [1, 3], "ra": [None, 0.2 * seed]} for seed in range(len(frame))]
    frame = frame.assign(diagnostics=[json.dumps({"stream_curve": curve}) for curve in curves])
    [block] = blocks(frame)
    figure = stream_curves(block)
    assert figure is not None
    [line] = figure.axes[0].lines
    passed, robust = line.get_data()
    assert list(passed) == [1, 3]
    assert np.isnan(robust[0])
    assert robust[1] == pytest.approx(np.mean([20.0 * seed for seed in range(len(frame))]))
    assert stream_curves(blocks(frame.assign(diagnostics="{}"))[0]) is None


def test_a_defense_that_is_dear_to_a_benign_model_is_named(tmp_path: Path) -> None:
    frame = grid(1)
    benign = frame["attack"] == "none"
    frame.loc[benign, ["acc", "acc_before"]] = 0.97
    frame.loc[benign & (frame["defense"] == "bna"), "acc"] = 0.939
    frame.loc[benign & (frame["defense"] == "fire"), "acc"] = 0.945
    write_report(frame, tmp_path)
    for name in ("table.md", "table.tex", "index.html"):
        assert "Costs a benign model more than 3 points of ACC: bna (3.1)." in (tmp_path / name).read_text()
    frame.loc[benign, "acc"] = 0.96
    assert "Costs a benign" not in latex(blocks(frame))


def test_a_table_that_is_too_high_for_a_page_goes_on_the_next() -> None:
    one = grid(1)
    many = pd.concat([one.assign(defense=f"{name}{k}", defense_label=f"{name}{k}") for k, name in enumerate("abcdef")])
    attacks = [f"attack{k}" for k in range(20)]
    many = pd.concat([many.assign(attack=name, attack_label=name) for name in attacks])
    [block] = blocks(many)
    text = latex([block])
    tables = [part.split(r"\end{table*}")[0] for part in text.split(r"\begin{table*}")[1:]]
    assert len(tables) > 1
    assert all(table.count("attack19") <= 3 for table in tables)
    assert ", continued." in tables[1]
    assert sum(table.count("attack19 ") for table in tables) >= 2


def test_an_attack_that_nothing_is_applicable_to_is_no_part_of_the_average() -> None:
    frame = grid(1)
    frame = frame[frame["status"] == "done"]
    [before] = blocks(frame)
    nowhere = frame[frame["attack"] == "sig"].assign(attack="ctrl", attack_label="ctrl", status="not-applicable")
    figures = ["acc", "asr", "ra", "der", "acc_before", "asr_before", "ra_before"]
    [block] = blocks(pd.concat([frame, nowhere.assign(**dict.fromkeys(figures, np.nan))]))
    assert "ctrl" in block.attacks
    for defense in before.defenses:
        assert block.cells["Average", defense].total == before.cells["Average", defense].total
    assert block.best("Average") == before.best("Average")
    assert "Average: over the attacks other than none and those not applicable" in latex([block])
