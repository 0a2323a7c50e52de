"""The rates that a scan prints are counted right, by the script that counts them, and read by their schema."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from report_frames import record

from bench.records import Record
from bench.suspect import rates
from bench.suspect.rates import Measured, Rates

FILE = Path(__file__).parents[2] / "benchmarks" / "scan_rates.py"


@pytest.fixture
def script(monkeypatch):
    spec = importlib.util.spec_from_file_location("scan_rates", FILE)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "scan_rates", module)
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def cell(attack: str, method: str, flagged: list[int] | None, seed: int = 11, **changed) -> Record:
    """A record of a network of four classes, of which 1 is the target of an attack."""
    statistic = {"class_statistic": {"name": "z", "values": [0.0] * 4, "flagged": flagged or []}}
    fields = {
        "victim_key": f"{attack}-{seed}",
        "targets": "[]" if attack == "none" else "[1]",
        "status": "not-applicable" if flagged is None else "done",
        "diagnostics": "{}" if flagged is None else json.dumps(statistic),
        "valid": True,
        **{f"{kind}_params": "{}" for kind in ("dataset", "model", "attack", "defense")},
    }
    fields |= {"attack": attack, "attack_label": attack, "defense": method, "defense_label": method}
    made = record("badnets", "bna", seed) | fields | changed
    return Record.model_validate({name: value for name, value in made.items() if name in Record.model_fields})


def test_rates_are_counted_for_each_method_and_for_the_verdict(script):
    answers = {  # what bna, nc and tac name
        ("badnets", 11): ([1], [1], []),
        ("blend", 11): ([1], [3], []),
        ("sig", 11): ([2], [2], [1]),
        ("wanet", 11): (None, [1], [1]),
        ("none", 11): ([], [0], []),
        ("none", 12): ([2], [2], []),
    }
    records = [
        cell(attack, method, flagged, seed)
        for (attack, seed), named in answers.items()
        for method, flagged in zip(("bna", "nc", "tac"), named, strict=True)
    ]
    records += [cell("badnets", method, [0], 5) for method in ("bna", "nc", "tac")]  # another seed
    records += [cell("lira", method, [0], valid=False) for method in ("bna", "nc", "tac")]  # it had not worked
    records += [cell("bpp", "bna", [0])]  # not all methods were run
    records += [cell("ctrl", method, [0], targets="[0, 1, 2, 3]") for method in ("bna", "nc", "tac")]  # any is right
    [found] = script.measured(records, [11, 12], ["bna", "nc", "tac"], "")
    told = {name: tuple(counts.model_dump().values()) for name, counts in found.counts.items()}
    assert told == {  # right, wrong, none, false alarms, benign, unanswered
        "verdict": (2, 1, 1, 1, 2, 0),
        "bna": (2, 1, 0, 1, 2, 1),
        "nc": (2, 2, 0, 2, 2, 0),
        "tac": (2, 0, 2, 0, 2, 0),
    }
    assert (found.attacks, found.seeds, found.images) == (["badnets", "blend", "sig", "wanet"], [11, 12], 200)


def test_a_scan_prints_the_rates_of_its_methods_and_says_what_is_not_measured(monkeypatch):
    counts = {"right": 17, "wrong": 1, "none": 1, "false_alarms": 0, "benign": 10}
    measured = Measured(
        dataset="mnist5k",
        model="resnet18",
        recipe="quick",
        attacks=["badnets"],
        seeds=[11, 12],
        images=200,
        date="2026-01-01",
        version="0.1.0",
        counts={"verdict": counts, "tac": counts},
    )
    monkeypatch.setattr(rates, "rates", lambda: Rates(measured=[measured]))
    lines = rates.worth(["tac", "mine"])
    assert "seeds 11, 12, 200 images" in lines[0]
    assert lines[1:] == [
        "  verdict: of 19 attacked networks right 17, another class 1, none 1; of 10 benign ones 0 false alarms",
        "  tac: of 19 attacked networks right 17, another class 1, none 1; of 10 benign ones 0 false alarms",
        "  mine: not yet measured",
    ]


def test_the_file_in_the_package_fits_its_schema():
    assert isinstance(Rates.model_validate_json(rates.FILE.read_text()), Rates)
