"""What a plugin says is kept with its cell."""

import io

import pytest
from rich.console import Console

import bench
from bench.engine.display import Lines
from bench.records import LogLines
from bench.store.store import Store

PLUGINS = """
from typing import ClassVar
from bench import Attack, Repair

class Talks(Repair):
    name: ClassVar[str] = "talks"
    def repair(self, model, known, context):
        context.log("nothing was found;\\nthe network is left as it is")
        return model

class Chatters(Attack):
    name: ClassVar[str] = "chatters"
    def trigger(self, images, context):
        return images * 0
    def poison(self, train, context):
        context.log("poisoned as usual")
        return super().poison(train, context)
"""


def test_what_a_plugin_logs_is_in_the_record(tmp_path):
    (tmp_path / "talk.py").write_text(PLUGINS)
    results = bench.run(
        datasets="digits[train_size=100]",
        models="resnet18[width=4]",
        attacks="chatters",
        defenses="none,talks",
        plugin=[tmp_path / "talk.py"],
        reference=20,
        store=tmp_path / "store",
        executor="inline",
    )
    said = dict(zip(results.frame.defense, results.frame.log, strict=True))
    assert said == {"none": "", "talks": "nothing was found; the network is left as it is"}
    assert results.frame.victim_log.tolist() == ["poisoned as usual"] * 2
    [stored] = [record for record in Store(tmp_path / "store").records() if record.defense == "talks"]
    assert stored.log == said["talks"]


@pytest.mark.parametrize("executor", ["inline", "local"])
def test_what_a_plugin_logs_is_printed_while_the_run_goes_on(executor, tmp_path):
    (tmp_path / "talk.py").write_text(PLUGINS)
    said = io.StringIO()
    bench.run(
        datasets="digits[train_size=100]",
        models="resnet18[width=4]",
        attacks="chatters",
        defenses="talks",
        plugin=[tmp_path / "talk.py"],
        reference=20,
        store=tmp_path / "store",
        executor=executor,
        listener=Lines(Console(file=said, width=200)),
    )
    assert "chatters × talks seed 0 says: nothing was found; the network is left as it is" in said.getvalue()
    assert "says: poisoned as usual" in said.getvalue()


def test_a_flood_of_lines_is_cut():
    log = LogLines()
    for number in range(1000):
        log.append(f"{number} " + "x" * 1000)
    assert len(log.lines) == LogLines.MOST
    assert max(map(len, log.lines)) == LogLines.LONGEST
