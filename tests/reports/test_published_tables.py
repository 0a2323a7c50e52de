"""Published figures beside measured ones: what is matched, the differences, and how the settings differ."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report_frames import HOSTILE, record

from bench.reports import write_report
from bench.reports.blocks import Block, blocks
from bench.reports.published import Published
from bench.reports.published_tables import published_tables
from bench.reports.side_table import SideTable

PUBLISHED = {
    "source": "Someone, 2030", "arxiv": "", "table": "Table 1", "dataset": "mnist5k", "architecture": "resnet18",
    "width": 64, "train_images": 4000, "epochs": "", "attack": "blend", "label_map": "all-to-one",
    "poisoning_rate": 0.1, "attack_settings": "", "defense": "bna", "defense_settings": "", "reference": 200,
    "reference_from": "train", "acc": 91.5, "asr": 7.5, "ra": "", "der": "", "tpr_assigned": "", "fpr_assigned": "",
    "certainty": "firm", "note": "",
    **{f"{kind}_as_published": f"their {kind}" for kind in ("dataset", "architecture", "attack", "defense")},
}  # fmt: skip

ODD = [
    HOSTILE, "\x1b[31m", "null", "[]", "{", '{"alpha": 1e999}', '{"alpha": [1]}', '{"alpha": "\\u202e"}',
    '{"alpha": ' + "9" * 400 + "}", '{"poisoning_rate": null, "alpha": true}', '{"width": "x", "poisoning_rate": "y"}',
]  # fmt: skip


def published(**changed: Any) -> Published:
    return Published.model_validate(PUBLISHED | changed)


@cache
def block(**changed: str) -> Block:
    """One attack against bna and the control, with the settings of ``PUBLISHED`` but for the width."""
    alike = {
        "model_params": '{"width": 16}',
        "attack_params": '{"poisoning_rate": 0.1, "alpha": 0.2}',
        "defense_params": '{"rule": "esd", "threshold": 7.0}',
    } | changed
    rows = [record("blend", "none", 0, **alike), record("blend", "bna", 0, acc=0.9, asr=0.1, **alike)]
    [made] = blocks(pd.DataFrame(rows))
    return made


def tables(own: Block, *cells: Published) -> tuple[SideTable, SideTable]:
    figures, differences = published_tables(own, cells)
    return figures, differences


def differences(own: Block, **changed: Any) -> str:
    [line] = tables(own, published(**changed))[1].lines
    return line[3]


def test_a_line_has_the_measured_and_the_published_figure_and_their_difference() -> None:
    figures, _ = tables(block(), published())
    assert figures.heads == [
        "attack",
        "defense",
        "source",
        "ACC",
        "ACC publ.",
        "ACC diff.",
        "ASR",
        "ASR publ.",
        "ASR diff.",
    ]
    [line] = figures.lines
    assert line == ["blend", "bna", "Someone, 2030", "90.0", "91.5", "-1.5", "10.0", "7.5", "+2.5"]


def test_the_undefended_network_is_compared_too() -> None:
    own = block()
    figures, _ = tables(own, published(defense="none", asr=100))
    [line] = figures.lines
    asr = 100 * own.before["blend"].stat("asr").mean
    assert line[1] == "no defense"
    assert line[6:] == [f"{asr:.1f}", "100.0", f"{asr - 100:+.1f}"]


@pytest.mark.parametrize(
    "other",
    [
        {"dataset": "cifar10"}, {"dataset": ""}, {"architecture": "vgg16_bn"}, {"architecture": ""}, {"attack": "sig"},
        {"attack": ""}, {"defense": "nc"}, {"defense": ""}, {"label_map": "all-to-all"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_of_something_else_is_not_put_beside(other: dict[str, str]) -> None:
    assert published_tables(block(), (published(**other),)) == []
    assert len(published_tables(block(), (published(), published(**other)))[0].lines) == 1


def test_validation_figures_and_cells_that_are_not_done_have_nothing_beside() -> None:
    assert published_tables(block(evaluated_on="validation"), (published(),)) == []
    rows = [record("blend", "none", 0), record("blend", "bna", 0, status="failed")]
    [own] = blocks(pd.DataFrame(rows))
    assert published_tables(own, (published(),)) == []


def test_a_preact_resnet_stands_beside_a_resnet_of_its_depth_and_is_said() -> None:
    text = differences(block(), architecture="preact_resnet18", architecture_as_published="PreActResNet-18")
    assert "resnet18 (PreActResNet-18)" in text


def test_every_variant_of_a_defense_is_compared_and_its_parameters_are_said() -> None:
    rows = [record("blend", "none", 0)]
    for beta in (1.0, 2.0):
        changed = {"defense_label": f"tac[beta={beta}]", "defense_params": json.dumps({"beta": beta})}
        rows.append(record("blend", "tac[beta=1.0]", 0, **changed))
    [own] = blocks(pd.DataFrame(rows))
    figures, said = tables(own, published(defense="tac", defense_settings="beta=1"))
    assert [line[1] for line in figures.lines] == ["tac[beta=1.0]", "tac[beta=2.0]"]
    assert [(line[2], "beta" in line[3]) for line in said.lines] == [("tac[beta=1.0]", False), ("tac[beta=2.0]", True)]
    assert "beta 2 (1)" in said.lines[1][3]


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ({}, "width 16 (64)"),
        ({"width": 16}, "in nothing that is known"),
        ({"poisoning_rate": 0.018}, "poisoning rate 0.1 (0.018)"),
        ({"train_images": 50000}, "training images 4000 (50000)"),
        ({"reference": 1000, "reference_from": "test"}, "clean reference images 200 (1000)"),
        ({"reference_from": "test"}, "reference images from the training set (from the test set)"),
        ({"epochs": 100}, 'recipe {"epochs": 6} (100 epochs)'),
        ({"attack_settings": "alpha=0.15"}, "alpha 0.2 (0.15)"),
        ({"defense_settings": "rule=mad; threshold=3"}, "rule esd (mad); threshold 7 (3)"),
        ({"note": "the patch is random"}, "(the patch is random)"),
    ],
    ids=str,
)
def test_a_setting_that_differs_is_named_with_both_values(there: dict[str, Any], expected: str) -> None:
    assert expected in differences(block(), **there)


@pytest.mark.parametrize("same", ["alpha=0.2", "alpha=51/255", "unknown=3"])
def test_a_setting_that_agrees_or_that_a_record_does_not_know_is_not_named(same: str) -> None:
    assert differences(block(), attack_settings=same, width=16) == "in nothing that is known"


def test_epochs_in_a_recipe_agree() -> None:
    assert "recipe" not in differences(block(recipe="cpu[epochs=16]"), epochs=16)
    assert "recipe cpu[epochs=16] (160 epochs)" in differences(block(recipe="cpu[epochs=16]"), epochs=160)


def test_what_a_source_does_not_say_is_named() -> None:
    [line] = tables(block(), published(poisoning_rate="", reference=""))[1].lines
    assert line[4] == "epochs of the victim, poisoning rate, clean reference images, parameters of the defense"


@pytest.mark.parametrize(("certainty", "mark"), [("firm", ""), ("second-hand", " ?"), ("not stated", " (?)")])
def test_what_is_not_sure_is_marked(certainty: str, mark: str) -> None:
    figures, _ = tables(block(), published(certainty=certainty))
    assert figures.lines[0][2] == f"Someone, 2030{mark}"
    assert (mark.strip() + ":" in figures.note) == bool(mark)


def test_detection_is_compared_among_inputs_that_are_taken_for_the_target() -> None:
    rows = [record("blend", "none", 0), record("blend", "fire", 0, tpr_assigned=0.96, fpr_assigned=0.2)]
    [own] = blocks(pd.DataFrame(rows))
    figures, _ = tables(own, published(defense="fire", acc="", asr="", tpr_assigned=98.7, fpr_assigned=14))
    assert figures.heads[3:] == ["TPR→t", "TPR→t publ.", "TPR→t diff.", "FPR→t", "FPR→t publ.", "FPR→t diff."]
    assert figures.lines[0][3:] == ["96.0", "98.7", "-2.7", "20.0", "14.0", "+6.0"]


def test_whatever_parameters_a_record_has_the_tables_are_made_and_neutral() -> None:
    rows = []
    for number, text in enumerate(ODD):
        alike = {"attack_label": f"blend{number}", "attack_params": text, "model_params": ODD[-1], "recipe": HOSTILE}
        rows += [record("blend", "none", 0, **alike)]
        rows += [record("blend", "bna", 0, **alike, defense_label=f"bna{number}", defense_params=text)]
    made = tables(blocks(pd.DataFrame(rows))[0], published(attack_settings="alpha=1", defense_settings="alpha=x"))
    assert len(made[0].lines) == len(ODD)
    assert all(cell.isprintable() for table in made for line in table.lines for cell in line)


def test_a_report_has_the_tables_in_every_format_when_asked(tmp_path: Path, no_figures: None) -> None:
    rows = [record("badnets", name, 0, dataset="cifar10", dataset_label="cifar10") for name in ("none", "bna")]
    for asked in (False, True):
        write_report(pd.DataFrame(rows), tmp_path / str(asked), published=asked)
        for name in ("table.md", "index.html"):
            text = (tmp_path / str(asked) / name).read_text()
            assert ("Published beside measured" in text) is asked
            assert ("How the settings differ" in text) is asked
