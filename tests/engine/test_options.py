"""Options of how to run that concern the process of a worker, and those of the processes that it starts."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
import tiny
import torch

import bench
from bench.engine.options import RunOptions
from bench.errors import RequestError
from bench.records import Record
from bench.store.store import Store

PRIORITY = """
import os
from typing import ClassVar
from bench import Repair

class Priority(Repair):
    name: ClassVar[str] = "priority"

    def repair(self, model, known, context):
        context.note("priority", os.getpriority(os.PRIO_PROCESS, 0))
        return model
"""
OPTIONS = {"nice": 7, "deterministic": True, "keep_networks": True}
Run = tuple[Mapping[str, Record], Store]


def run(folder: Path, **options) -> Run:
    """The records of a run, by defense, and its store; with one that says its priority and one that is inexact."""
    (folder / "priority.py").write_text(PRIORITY)
    files = [tiny.plugins(folder), folder / "priority.py", tiny.PLUGIN_FOLDER / "inexact.py"]
    request = {**tiny.GRID, "attacks": "corner", "defenses": "halve,inexact,priority", "plugin": files}
    results = bench.run(**request, store=folder / "store", **options)
    return MappingProxyType({record.defense: record for record in results.records}), Store(folder / "store")


@pytest.fixture(scope="module")
def inline(tmp_path_factory) -> Run:
    """Without any of the options, in this process."""
    return run(tmp_path_factory.mktemp("inline"), executor="inline")


@pytest.fixture(scope="module")
def apart(tmp_path_factory) -> Run:
    """With all of them, in processes of their own."""
    return run(tmp_path_factory.mktemp("apart"), workers=1, **OPTIONS)


def test_workers_give_way_as_far_as_they_are_told(apart):
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert json.loads(apart[0]["priority"].diagnostics)["priority"] == min(19, own + OPTIONS["nice"])


@pytest.mark.slow
def test_workers_that_are_told_nothing_give_no_way(tmp_path):
    records, _ = run(tmp_path, workers=1)
    assert json.loads(records["priority"].diagnostics)["priority"] == os.getpriority(os.PRIO_PROCESS, 0)


def test_workers_allow_only_exact_operations_if_told(apart, inline):
    assert {name: record.status for name, record in inline[0].items()} == dict.fromkeys(inline[0], "done")
    assert not any(record.deterministic for record in inline[0].values())
    records = apart[0]
    assert [records[name].status for name in ("halve", "inexact")] == ["done", "failed"]
    assert "does not have a deterministic implementation" in records["inexact"].reason
    assert records["halve"].deterministic
    assert {name: record.key for name, record in records.items()} == {
        name: record.key for name, record in inline[0].items()
    }


def test_a_repaired_network_is_kept_too_where_the_defense_has_a_process_of_its_own(apart, inline):
    """``test_keep_networks.py`` says which network that is."""
    (records, store), (here, other) = apart, inline
    kept = store.tensors("cells", records["halve"].key, "network.safetensors")
    victim = other.tensors("victims", here["halve"].victim_key, "model.safetensors")
    weight = victim["1.weight"].clone()
    weight[:, ::2] *= 0.5
    assert set(kept) == set(victim)
    assert torch.equal(kept["1.weight"], weight)
    assert torch.equal(kept["1.bias"], victim["1.bias"])


def test_a_process_of_the_users_own_keeps_its_priority():
    with pytest.raises(RequestError, match="--nice 3: goes with --executor local or ray, not with inline"):
        RunOptions.read({"nice": 3, "executor": "inline"})
