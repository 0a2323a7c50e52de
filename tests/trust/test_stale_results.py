"""Code that is edited between two runs, or during one: no result of the old code is shown as one of the new."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from edited import as_in_a_new_process, codes, made, prepare, run, words
from stores import bench

import bench as package
from bench.plan import fingerprints
from bench.store.store import Store


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    return prepare(tmp_path, monkeypatch)


def test_cells_of_a_defense_whose_helper_was_edited_are_computed_again(folder, capsys):
    run(folder, capsys)
    before, old = made(folder), codes(folder, "defense")
    assert "its code was changed" not in run(folder, capsys)
    assert made(folder) == before
    (folder / "strength.py").write_text("STRENGTH = 0.0")
    line = "defense 'helped': its code was changed since 1 of these cells was made"
    out = bench(capsys, *words(folder, "plan"))[1]
    assert "(1 done, 1 to compute again); 0 of 1 victims to train" in out
    assert line in out
    assert f"changed   {line}" in bench(capsys, *words(folder, "status"))[1]
    assert f"{line}; it is computed again (--stale keep keeps them)" in run(folder, capsys)
    after, new = made(folder), codes(folder, "defense")
    assert {name for name in before if before[name] != after[name]} == {"corner/helped/0"}
    assert old["none"] == new["none"]
    assert old["helped"].isdisjoint(new["helped"])
    [log] = [record.log for record in Store(folder / "store").records() if record.defense == "helped"]
    assert log == "strength 0.0"  # and not the module that this process had loaded
    assert "its code was changed" not in run(folder, capsys)


def test_victims_of_a_package_that_was_edited_are_made_again_with_their_cells(folder, capsys):
    both = {"attacks": "corner,far", "defenses": "none,halve"}
    run(folder, capsys, **both, seeds="0,1")
    before = made(folder)
    (folder / "installed" / "farpackage" / "parts.py").write_text("COLUMN = 3")
    as_in_a_new_process()
    out = bench(capsys, *words(folder, "plan", **both, seeds="0"))[1]
    assert "(2 done, 2 to compute again); 1 of 2 victims to train" in out
    err = run(folder, capsys, attacks="far", defenses="halve", seeds="0")
    assert "attack 'far': its code was changed since 1 of these victims was made; it and its cells are comput" in err
    assert "1 cell of other requests is made on these victims, to be removed with them" in err
    assert "far/none/0" not in made(folder)
    assert len(codes(folder, "attack")["far"]) == 2  # seed 1 is still of the old code
    run(folder, capsys, **both, seeds="0,1")
    assert len(codes(folder, "attack")["far"]) == 1
    after = made(folder)
    assert {name for name in before if before[name] != after[name]} == {
        f"far/{name}/{seed}" for name in ("none", "halve") for seed in (0, 1)
    }


def test_what_a_benign_network_answered_goes_with_a_victim_that_is_made_again(folder, capsys):
    everything = {"attacks": "none,far,corner", "defenses": "none"}
    run(folder, capsys, **everything)
    store = Store(folder / "store")
    before = {facts.victim: facts.codes for _, facts in store.all_natural()}
    (folder / "installed" / "farpackage" / "parts.py").write_text("COLUMN = 3")
    as_in_a_new_process()
    out = bench(capsys, *words(folder, "plan", **everything))[1]
    assert "1 of 3 victims to train; 1 of 2 triggers to show to a benign network" in out
    run(folder, capsys, attacks="far", defenses="none")  # without the control row
    assert len(list(store.all_natural())) == 1
    run(folder, capsys, **everything)
    after = {facts.victim: facts.codes for _, facts in store.all_natural()}
    [changed] = [victim for victim in before if before[victim] != after[victim]]
    assert after[changed]["attack"] in codes(folder, "attack")["far"]
    assert after[changed]["benign attack"] == before[changed]["benign attack"]


def test_whether_a_changed_defense_can_be_applied_is_asked_again(folder, capsys):
    def state() -> str:
        out = bench(capsys, *words(folder, "plan", defenses="helped"))[1]
        return re.findall(r"^corner +helped .*?[0-9a-f]{12} +(.*)$", out, re.MULTILINE)[0]

    run(folder, capsys, defenses="helped")
    for strength, expected in (
        (9.0, "not-applicable"),
        (8.0, "not-applicable"),
        (0.5, "done"),
        (9.5, "not-applicable"),
    ):
        (folder / "strength.py").write_text(f"STRENGTH = {strength}")
        before = state()
        run(folder, capsys, defenses="helped")
        assert state() == expected
        assert before == {"done": "to do", "not-applicable": "not-applicable: too strong"}[expected]
        assert len(codes(folder, "defense")["helped"]) == 1
        assert "its code was changed" not in run(folder, capsys, defenses="helped")


def test_a_report_of_a_store_with_two_codes_averages_neither(folder, capsys):
    run(folder, capsys, defenses="helped", attacks="corner[n=0|1]")
    (folder / "strength.py").write_text("STRENGTH = 0.0")
    kept = run(folder, capsys, defenses="helped", attacks="corner[n=0|1|2]", stale="keep")
    assert "since 2 of these cells were made; they are kept (--stale keep)" in kept
    assert len(codes(folder, "defense")["helped"]) == 2
    asked = words(folder, defenses="helped", attacks="corner[n=0|1|2]", stale="keep", executor="inline")
    table = bench(capsys, *asked)[1]
    assert bench(capsys, "report", "--store", folder / "store", "--out", folder / "report")[0] == 0
    for text in (table, (folder / "report" / "table.md").read_text()):
        # made within one second, so either may be the newest
        assert re.search("[12] records? of defense helped: other code than the newest", " ".join(text.split())), text


def test_after_an_upgrade_only_what_the_changed_built_ins_made_is_computed_again(folder, capsys, monkeypatch):
    run(folder, capsys, defenses="none,ft,halve")
    before, of_module = made(folder), fingerprints.of_module
    upgraded = {"bench.defenses.ft": "0" * 16}
    monkeypatch.setattr(fingerprints, "of_module", lambda name, file: upgraded.get(name) or of_module(name, file))
    as_in_a_new_process()
    err = run(folder, capsys, defenses="none,ft,halve")
    assert err.count("its code was changed") == 1
    assert "defense 'ft': its code was changed since 1 of these cells was made" in err
    after = made(folder)
    assert {name for name in before if before[name] != after[name]} == {"corner/ft/0"}


@pytest.mark.slow
def test_an_edited_helper_of_a_built_in_is_seen_in_every_command(folder):
    """With a copy of the whole package, whose files are edited between two commands."""
    copy = folder / "copy"
    shutil.copytree(Path(package.__file__).parent, copy / "bench", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(copy), str(folder / "installed")])}

    def command(name: str, **options: str) -> str:
        asked = [sys.executable, "-m", "bench", *words(folder, name, attacks="far", defenses="ft,helped", **options)]
        done = subprocess.run(asked, capture_output=True, text=True, env=environment, cwd=folder, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    command("run", workers="1")
    before = made(folder)
    helper = copy / "bench" / "defenses" / "_finetuning.py"
    helper.write_text(helper.read_text() + "\nEDITED = True\n")
    line = "defense 'ft': its code was changed since 1 of these cells was made"
    assert line in command("plan")
    assert line in command("status")
    assert line in command("run", workers="1")
    after = made(folder)
    assert {name for name in before if before[name] != after[name]} == {"far/ft/0"}
    (folder / "installed" / "farpackage" / "parts.py").write_text("COLUMN = 3")
    again = command("run", workers="1")
    assert "attack 'far': its code was changed since 1 of these victims was made; it and its cells are comp" in again
    assert len(codes(folder, "attack")["far"]) == 1
    assert not {name for name in after if made(folder)[name] == after[name]}


def test_keeping_is_honoured_and_computes_what_is_missing_on_the_victims_that_there_are(folder, capsys):
    run(folder, capsys, attacks="far", defenses="none")
    before = made(folder)
    (folder / "installed" / "farpackage" / "parts.py").write_text("COLUMN = 3")
    as_in_a_new_process()
    out = bench(capsys, *words(folder, "plan", attacks="far", defenses="none,halve", stale="keep"))[1]
    assert "(1 done, 1 to do); 0 of 1 victims to train" in out
    err = run(folder, capsys, attacks="far", defenses="none,halve", stale="keep")
    assert "attack 'far': its code was changed since 1 of these victims was made; it and its cells are kept" in err
    assert made(folder)["far/none/0"] == before["far/none/0"]
    assert len(codes(folder, "attack")["far"]) == 1
    assert Store(folder / "store").count("victims") == 1


def test_what_was_made_before_there_were_fingerprints_is_taken_as_it_is(folder, capsys):
    run(folder, capsys)
    store = Store(folder / "store")
    for record in list(store.records()):
        predictions = store.read("cells", record.key, "predictions.safetensors")
        old = record.model_copy(update={"fingerprints": "{}"})
        content = {"record.json": old.to_json(), "predictions.safetensors": predictions}
        store.write("cells", record.key, content, replace=True)
    before = made(folder)
    (folder / "strength.py").write_text("STRENGTH = 0.0")
    assert "its code was changed" not in run(folder, capsys)
    assert made(folder) == before


@pytest.mark.parametrize("survivors", ["all", "victims", "victims and new victim"])
def test_a_crash_while_stale_results_are_replaced_never_shows_old_ones_as_new(folder, capsys, survivors):
    """What a killed run leaves: nothing replaced yet; the cells gone; a victim made anew, beside a cell of another."""
    chosen = {"attacks": "far", "defenses": "none,halve"}
    run(folder, capsys, **chosen)
    store = Store(folder / "store")
    [victim], cells = store.keys("victims"), store.keys("cells")
    if survivors == "victims":
        store.forget("cells", cells[0])
    (folder / "installed" / "farpackage" / "parts.py").write_text("COLUMN = 3")
    as_in_a_new_process()
    if survivors == "victims and new victim":
        saved = {key: store.contents("cells", key) for key in cells}
        run(folder, capsys, **chosen)
        for key, content in saved.items():
            names = {name: value for name, value in content.items() if name != "hashes.json"}
            store.write("cells", key, names, replace=True)
    before, old = made(folder), store.facts(victim).fingerprints["attack"]
    run(folder, capsys, **chosen)
    assert (store.facts(victim).fingerprints["attack"] == old) == (survivors == "victims and new victim")
    assert codes(folder, "attack")["far"] == {store.facts(victim).fingerprints["attack"]}
    assert all(made(folder)[name] != when for name, when in before.items())
