"""What a plugin logs is stored with its cell and printed during the run."""

import io

import pytest
import tiny
from rich.console import Console

import bench
from bench.engine.display import Lines
from bench.records import LogLines
from bench.store.store import Store


@pytest.fixture(scope="module", params=["inline", "local"])
def talk(request, tmp_path_factory) -> tuple[bench.Results, Store, str]:
    """A run in which an attack and a defense log: its results, its store, and what was printed meanwhile."""
    folder, printed = tmp_path_factory.mktemp("talk"), io.StringIO()
    results = bench.run(
        **tiny.GRID,
        attacks="chatters",
        defenses="none,talks",
        plugin=[tiny.PLUGIN_FOLDER / "tiny_plugins.py", tiny.PLUGIN_FOLDER / "talkative.py"],
        store=folder / "store",
        executor=request.param,
        listener=Lines(Console(file=printed, width=200)),
    )
    return results, Store(folder / "store"), printed.getvalue()


def test_what_a_plugin_logs_is_in_the_record(talk):
    results, store, _ = talk
    logged = dict(zip(results.frame.defense, results.frame.log, strict=True))
    assert logged == {"none": "", "talks": "nothing was found; the network is left as it is"}
    assert results.frame.victim_log.tolist() == ["poisoned as usual"] * 2
    [stored] = [record for record in store.records() if record.defense == "talks"]
    assert stored.log == logged["talks"]


def test_what_a_plugin_logs_is_printed_during_the_run(talk):
    printed = talk[2]
    assert "chatters × talks seed 0 says: nothing was found; the network is left as it is" in printed
    assert "says: poisoned as usual" in printed


def test_a_flood_of_lines_is_cut():
    log = LogLines()
    for number in range(1000):
        log.append(f"{number} " + "x" * 1000)
    assert len(log.lines) == LogLines.MOST
    assert max(map(len, log.lines)) == LogLines.LONGEST
