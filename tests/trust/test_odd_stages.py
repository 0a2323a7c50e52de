"""Plugins that misbehave while a stage is made: their own cells fail, each with one line, and all others are done.

``plugins/odd_*.py`` have the ways. The suite tries them in one process; ``-m slow`` tries all of them in workers.
"""

import importlib
import sys
from pathlib import Path

import pytest
import tiny

import bench
from bench.errors import RequestError, one_line, shortened, whole_trace

FOLDER = tiny.PLUGIN_FOLDER
sys.path.append(str(FOLDER))  # a plugin imports what lies beside it
raises, defenses, victims = map(importlib.import_module, ("odd_raises", "odd_defenses", "odd_victims"))
RAISED = [f"raise.{name}" for name in raises.RAISING]
GIVEN = [f"give.{name}" for name in defenses.GIVEN]
SAID = [f"say.{name}" for name in defenses.SAID]
DONE = [f"do.{name}" for name in defenses.DONE]


def table(kind: str, name: str, ways, *neighbours: str) -> dict[str, object]:
    """The selection of all ways of a plugin between working ones."""
    return {kind: ",".join([neighbours[0], f"{name}[how={'|'.join(ways)}]", *neighbours[1:]])}


SMALL = {
    "what a defense raises": table("defenses", "odd_repair", RAISED, "plain", "plain[n=1]"),
    "what a guard answers": table("defenses", "odd_guard", defenses.GUARDS, "plain", "plain[n=1]"),
    "an attack": table("attacks", "odd_attack", victims.ATTACKS, "corner", "corner[n=1]"),
    "a model": table("models", "odd_model", victims.MODELS, "linear"),
}
LARGE = SMALL | {
    "what a defense gives": table("defenses", "odd_repair", GIVEN, "plain", "plain[n=1]"),
    "what a defense says": table("defenses", "odd_repair", SAID, "plain", "plain[n=1]"),
    "what a defense does": table("defenses", "odd_repair", DONE, "plain", "plain[n=1]"),
}


def check(folder: Path, selected: dict[str, object], capfd, least: int = 4, **how: object) -> None:
    """Run the cells: what misbehaves has failed with a line, its neighbours are done, and no traceback is shown."""
    plugin = [tiny.plugins(folder), FOLDER / "odd_defenses.py", FOLDER / "odd_victims.py"]
    grid = {
        "datasets": "dots",
        "models": "linear",
        "attacks": "none",
        "defenses": "plain",
        "recipes": "quick[epochs=1]",
    }
    results = bench.run(**{**grid, **selected}, plugin=plugin, reference=8, store=folder / "store", **how)
    assert len(results.records) >= least
    for record in results.records:
        odd_ways = [value for label in _labels(record) if (value := label.partition("[how=")[2].removesuffix("]"))]
        harmless = defenses.WORKING | (defenses.UNSEEN if how["executor"] == "inline" else set())
        expected = "done" if not odd_ways or odd_ways[0] in harmless else "failed"
        assert record.status == expected, (_labels(record), record.reason)
        if expected == "failed":
            assert record.reason
            assert shortened(record.reason, 2000) == record.reason
            assert "\n" not in record.reason
    shown = capfd.readouterr()
    assert "Traceback" not in shown.out + shown.err


def _labels(record) -> list[str]:
    return [record.dataset_label, record.model_label, record.attack_label, record.defense_label]


@pytest.mark.parametrize("what", SMALL)
def test_what_misbehaves_fails_alone(tmp_path, capfd, what):
    check(tmp_path, SMALL[what], capfd, executor="inline")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("what", LARGE)
def test_what_misbehaves_fails_alone_in_workers(tmp_path, capfd, what):
    check(tmp_path, LARGE[what], capfd, executor="local", workers=1)


@pytest.mark.parametrize("way", victims.DATA)
def test_a_data_set_that_cannot_be_loaded_is_refused_or_fails_in_one_line(tmp_path, capfd, way):
    refused = ""
    try:
        check(tmp_path, table("datasets", "odd_data", [way], "dots"), capfd, least=2, executor="inline")
    except RequestError as error:
        refused = str(error)
    assert not refused or "odd_data" in refused
    assert shortened(refused, 2000) == refused
    assert "\n" not in refused


def test_there_are_at_least_sixty_ways():
    assert (
        len({*RAISED, *GIVEN, *SAID, *DONE, *defenses.GUARDS, *victims.ATTACKS, *victims.MODELS, *victims.DATA}) >= 60
    )


@pytest.mark.parametrize("name", raises.RAISING)
def test_any_error_has_a_line_and_a_trace(name):
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - any of them
        raises.RAISING[name]()
    line = one_line(caught.value)
    assert line
    assert shortened(line, len(line)) == line
    assert "\n" not in line
    assert line in whole_trace(caught.value) or "Traceback" in whole_trace(caught.value)
