"""What the commands that only look at a store say of it: its states, its size and its damage."""

from pathlib import Path

from stores import ABCD, OPTIONS, SELECTED, bench, put, show, spoil, train

from bench.store.store import SECTIONS, Store


def test_status_counts_all_states_of_a_plan(tmp_path, plan, hold, capsys):
    store = Store(tmp_path / "s")
    first, second, third, _ = plan.cells
    train(store, first.victim)
    put(store, first)
    put(store, second, "timeout")
    hold(store, third.key)
    status, out, _ = bench(capsys, "status", "--store", store.root, *OPTIONS)
    assert status == 0
    assert "cells     1 done, 1 running, 1 timeout, 1 waiting\n" in out
    assert f"running   {third.title}\n" in out
    assert "victims   1\n" in out
    study = tmp_path / "study.toml"
    study.write_text("".join(f'{name} = "{value}"\n' for name, value in SELECTED.items()) + f'store = "{store.root}"\n')
    assert bench(capsys, "status", study)[1] == out
    assert "1 done" in bench(capsys, "plan", study)[1]
    out = bench(capsys, "status", "--store", store.root)[1]
    assert "cells     1 done, 1 timeout\n" in out
    assert f"running   {third.key[:12]}\n" in out
    spoil(store, "cells", first.key, "record.json")
    status, out, _ = bench(capsys, "status", "--store", store.root, *OPTIONS)
    assert status == 0
    assert "1 damaged, 1 running, 1 timeout, 1 waiting" in out
    assert f"damaged   cells/{first.key}: record.json is not what was written" in out


def test_sizes_are_those_on_the_disk(littered, capsys):
    def counted(folder: Path) -> int:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    show(littered, ABCD, ABCD)
    sizes = littered.sizes()
    assert {section: sizes[section] for section in SECTIONS} == {
        section: counted(littered.root / section) for section in SECTIONS
    }
    assert sizes["tmp"] == 3000
    assert sum(sizes.values()) == counted(littered.root)
    (littered.root / "tmp" / "big").write_bytes(b"x" * 3 * 2**20)
    assert "on disk   3.0 MiB: victims 0.0, cells 0.0" in bench(capsys, "status", "--store", littered.root)[1]


def test_plan_report_and_show_say_what_is_damaged(tmp_path, plan, capsys):
    store = Store(tmp_path / "s")
    first, second, *_ = plan.cells
    put(store, first)
    put(store, second)
    spoil(store, "cells", first.key, "record.json")
    assert "1 done" in bench(capsys, "plan", "--store", store.root, *OPTIONS)[1]
    status, out, err = bench(capsys, "show", first.key[:10], "--store", store.root)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "damaged: cells/" in err
    status, _, err = bench(capsys, "report", "--store", store.root, "--out", tmp_path / "r")
    assert status == 0
    assert f"left out, damaged: cells/{first.key}" in err
