"""Real workers and real runs: the same table from every executor, and two runs on one store."""

import time

import pandas as pd
import pytest
import tiny

import bench
from bench.store import locks
from bench.store.store import Store

REQUEST = {**tiny.GRID, "attacks": "corner[n=0|1]", "defenses": "none,halve[n=1|2]"}


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> pd.DataFrame:
    """The table of an undisturbed run, inline."""
    folder = tmp_path_factory.mktemp("expected")
    results = bench.run(**REQUEST, plugin=[tiny.plugins(folder)], store=folder / "store", executor="inline")
    assert results.ok
    return tiny.table(results.frame)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_local_gives_the_same_table_as_inline(expected, tmp_path, workers):
    """``test_cell.py`` has the small form: two workers give the table of inline, beside failures."""
    results = bench.run(**REQUEST, plugin=[tiny.plugins(tmp_path)], store=tmp_path / "store", workers=workers)
    pd.testing.assert_frame_equal(tiny.table(results.frame), expected)
    assert set(tiny.log(tmp_path).values()) <= {1, 2}  # halve[n=1] and halve[n=2] once for each of two attacks
    assert not any((tmp_path / "store" / "tmp").iterdir())
    assert not any((tmp_path / "store" / "claims").iterdir())


def test_two_runs_on_one_store_share_the_work_and_print_the_same_table(expected, tmp_path):
    options = {"attacks": REQUEST["attacks"], "defenses": "none,halve[n=1|2,seconds=0.3]", "workers": 1}
    runs = [tiny.start(tmp_path, **options, executor=executor) for executor in ("local", "inline")]
    out, err = zip(*(run.communicate(timeout=120) for run in runs), strict=True)
    assert [run.returncode for run in runs] == [0, 0], err
    assert out[0] == out[1]
    assert "halve" in out[0]
    calls = tiny.log(tmp_path)
    assert (calls["corner[n=0]"], calls["corner[n=1]"], calls["halve[n=1]"], calls["halve[n=2]"]) == (1, 1, 2, 2)
    assert not any((tmp_path / "store" / "claims").iterdir())
    assert not any("failed" in text for text in err)


def test_a_cell_that_another_process_has_locked_is_waited_for(tmp_path):
    """This process locks a cell; the run does all the others, and this one as soon as it is free."""
    file, store = tiny.plugins(tmp_path), tmp_path / "store"
    options = {"attacks": "corner", "defenses": "halve[n=1|2]", "workers": 1}
    made = bench.run(**tiny.GRID, **options, plugin=[file], store=store, executor="inline").records
    key = next(record.key for record in made if record.defense_label == "halve[n=2]")
    Store(store).forget("cells", key)
    (tmp_path / "log").unlink()
    with locks.lock(store, key) as locked:
        assert locked
        run = tiny.start(tmp_path, **options, executor="inline")
        note = next((line for line in run.stderr if "another run" in line), None)  # waits until the run ends
        assert note is not None
        time.sleep(2)
        assert run.poll() is None
        assert not tiny.log(tmp_path)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    assert tiny.log(tmp_path) == {"halve[n=2]": 1}
