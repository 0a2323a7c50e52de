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


def test_a_method_without_records_is_left_out_and_a_victim_that_not_all_were_run_against(script, capsys):
    records = [cell(attack, method, [1]) for attack in ("badnets", "blend") for method in ("bna", "tac")]
    records += [cell("wanet", "tac", [1])]
    [found] = script.measured(records, None, ["bna", "nc", "tac"])
    assert (list(found.counts), sorted(found.parameters)) == (["verdict", "bna", "tac"], ["bna", "tac"])
    assert found.attacks == ["badnets", "blend"]
    said = capsys.readouterr().out
    assert "no records of nc" in said
    assert "1 networks are left out" in said


def test_what_was_measured_with_is_kept(script):
    made = cell("badnets", "tac", [1], dataset="cifar10", defense_params='{"beta": 2.0}', finished="2026-01-02T03:04")
    [found] = script.measured([made], None, ["tac"])
    assert (found.shape, found.parameters, found.date) == ((3, 32, 32), {"tac": {"beta": 2.0}}, "2026-01-02")


def measured(dataset: str, shape: tuple[int, int, int], images: int, right: int, benign: int = 10) -> Measured:
    """A measurement of 19 victims with ``tac`` and ``nc``."""
    counts = {"right": right, "wrong": 18 - right, "none": 1, "false_alarms": 1, "benign": benign}
    return Measured(
        dataset=dataset,
        shape=shape,
        model="resnet18",
        recipe="quick",
        attacks=["badnets"],
        seeds=[11, 12, 13],
        images=images,
        date="2026-01-01",
        version="0.1.0",
        parameters={"tac": {"beta": 2.0, "sizes": [1, 2]}, "nc": {}},
        counts={"verdict": counts, "tac": counts, "nc": counts},
    )


@pytest.fixture
def known(monkeypatch):
    """Measurements on digits and on real images."""
    both = Rates(measured=[measured("digits", (1, 28, 28), 200, 17), measured("photos", (3, 32, 32), 2500, 9, 1)])
    monkeypatch.setattr(rates, "rates", lambda: both)


@pytest.mark.parametrize(
    ("shape", "images", "first"),
    [
        ((1, 28, 28), 200, "digits (grey, 28x28)"),
        ((1, 32, 32), 2500, "digits (grey, 28x28)"),
        ((3, 32, 32), 200, "photos (colour, 32x32)"),
        ((3, 224, 224), 60, "photos (colour, 32x32)"),
    ],
)
def test_a_scan_prints_the_rates_on_the_kind_of_images_that_is_nearest(known, shape, images, first):
    lines = rates.worth(shape, images, {})
    assert f"measured on {first}, the nearest to these images: resnet18, recipe quick" in lines[0]
    assert "seeds 11-13" in lines[0]
    [other] = {"digits (grey, 28x28)", "photos (colour, 32x32)"} - {first}
    assert lines[-1].startswith(f"  on {other}, verdict of tac, nc: of 19 attacked networks")


def test_a_scan_prints_the_rates_of_its_methods_and_says_what_is_not_measured(known):
    lines = rates.worth((1, 28, 28), 200, {"tac": {"beta": 2.0, "sizes": (1, 2)}, "mine": {}})
    # Wilson's interval of 17 of 19, written out
    share, z, n = 17 / 19, 1.959964, 19
    centre, half = share + z * z / (2 * n), z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    low, high = (100 * (centre + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    told = f"of 19 attacked networks 17 right [{low:.0f}–{high:.0f} %], 1 another class, 1 none; of 10 benign "
    assert lines[1].startswith(f"  verdict of tac, nc: {told}")
    assert lines[2] == "  verdict of tac, mine: not yet measured"
    assert lines[3].startswith(f"  tac: {told}")
    assert "parameters" not in lines[3]
    assert lines[4] == "  mine: not yet measured"


def test_the_verdict_of_the_same_methods_is_measured(known):
    asked = {"nc": {}, "tac": {}}
    assert "not yet measured" not in " ".join(rates.worth((1, 28, 28), 200, asked))


def test_few_networks_and_other_parameters_are_said(known):
    lines = rates.worth((3, 32, 32), 200, {"tac": {"beta": 4.0, "sizes": (1, 2)}})
    assert "these are few networks, 19 attacked and 1 benign" in lines[1]
    assert lines[4].endswith("(measured with other parameters than here: beta)")


def test_the_file_in_the_package_is_what_the_records_in_the_repository_say(script, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(FILE.parents[1])
    out = tmp_path / "rates.json"
    command = ["docs/results/scan", "docs/results/cifar10"]
    assert f"python benchmarks/scan_rates.py {' '.join(command)}\n" in script.__doc__
    monkeypatch.setattr(sys, "argv", ["scan_rates.py", *command, "--out", str(out)])
    script.main()
    made, kept = (Rates.model_validate_json(path.read_text()) for path in (out, rates.FILE))
    assert made == kept, "the records were changed: run the command in benchmarks/scan_rates.py"
