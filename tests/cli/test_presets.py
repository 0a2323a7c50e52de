"""Presets and notes on a profile, as the command line and ``bench.run`` have them."""

import pytest

import bench
from bench.cli.main import main
from bench.plan.registry import Registry

GRID = {"attacks": "none", "datasets": "digits[train_size=200]", "reference": 20}
MODEL = "resnet18[width=4]"


def options(**more: object) -> list[str]:
    return [word for name, value in {**GRID, **more}.items() for word in (f"--{name}", str(value))]


@pytest.mark.parametrize(
    ("defense", "expected"),
    [("tac[papr]", "did you mean 'paper'?"), ("none[paper]", "it has none"), ("tac[beta]", "'beta' is a parameter")],
)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_wrong_preset_is_one_line_and_exit_status_2(capsys, tmp_path, command, defense, expected):
    with pytest.raises(SystemExit) as caught:
        main([command, *options(defenses=defense, models=MODEL, store=tmp_path / "store")])
    [line] = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2
    assert expected in line


def test_show_has_every_preset_with_its_values(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    registry = Registry()
    for name in ("tac", "strip", "resnet18"):
        kind = next(kind for kind in ("defense", "model") if name in {e.name for e in registry.entries(kind)})
        with pytest.raises(SystemExit):
            main(["show", name])
        rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"{name}[")]
        presets = registry.presets(kind, name)
        assert len(rows) == len(presets) > 0
        for row, (preset, values) in zip(rows, presets.items(), strict=True):
            assert row.startswith(f"{name}[{preset}] ")
            assert all(f"{parameter}={value}" in row for parameter, value in values.items())
            assert values or "the defaults" in row


def test_a_plan_and_a_run_say_which_plugin_has_no_published_setting(capsys, tmp_path, plugin_file):
    text = (
        "from typing import ClassVar\nfrom bench import Repair\n\n"
        "class Mine(Repair):\n    name: ClassVar[str] = 'mine'\n    times: int = 1\n\n"
        "    def repair(self, model, known, context):\n        return model\n"
    )
    line = "profile paper: no published setting of defense 'mine': its defaults are used"
    asked = {"defenses": "mine", "models": MODEL, "profile": "paper", "plugin": plugin_file("mine", text), "seeds": 0}
    with pytest.raises(SystemExit) as caught:
        main(["plan", *options(**asked, store=tmp_path / "store")])
    assert caught.value.code == 0
    assert capsys.readouterr().err == f"bench: {line}\n"

    class Heard:
        def __init__(self) -> None:
            self.lines: list[str] = []

        def note(self, line: str) -> None:
            self.lines.append(line)
            raise KeyboardInterrupt  # before anything is computed

    heard = Heard()
    with pytest.raises(KeyboardInterrupt):
        bench.run(**{**GRID, **asked, "store": tmp_path / "store"}, listener=heard)
    assert heard.lines == [line]


def test_a_study_file_and_bench_run_take_presets(capsys, tmp_path):
    study = tmp_path / "study.toml"
    study.write_text(f'defenses = "clp[paper]"\nattacks = "none"\ndatasets = "{GRID["datasets"]}"\nreference = 20\n')
    with pytest.raises(SystemExit):
        main(["plan", str(study), "--models", MODEL, "--store", str(tmp_path / "store")])
    assert "clp[paper]" in capsys.readouterr().out
    asked = {**GRID, "models": MODEL, "recipes": "quick[epochs=1]", "executor": "inline", "store": tmp_path / "store"}
    [record] = bench.run(**asked, defenses=["clp[paper]"]).records
    assert (record.status, record.defense_label) == ("done", "clp[paper]")
    [again] = bench.run(**asked, defenses=["clp"]).records
    assert (again.key, again.defense_label) == (record.key, "clp")
