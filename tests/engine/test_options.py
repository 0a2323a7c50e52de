"""Options of how to run that concern the process of a worker."""

import json
import os

import pytest
import tiny

import bench
from bench.engine.options import RunOptions
from bench.errors import RequestError


@pytest.mark.parametrize("nice", [pytest.param(0, marks=pytest.mark.slow), 7])
def test_workers_give_way_as_far_as_they_are_told(tmp_path, nice):
    file = tmp_path / "priority.py"
    file.write_text(
        "import os\nfrom typing import ClassVar\nfrom bench import Repair\n"
        "class Priority(Repair):\n"
        '    name: ClassVar[str] = "priority"\n'
        "    def repair(self, model, known, context):\n"
        '        context.note("priority", os.getpriority(os.PRIO_PROCESS, 0))\n'
        "        return model\n"
    )
    request = {**tiny.GRID, "attacks": "corner", "defenses": "priority", "plugin": [tiny.plugins(tmp_path), file]}
    results = bench.run(**request, store=tmp_path / "store", workers=1, nice=nice)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert json.loads(results.records[0].diagnostics)["priority"] == min(19, own + nice)


def test_a_process_of_the_users_own_keeps_its_priority():
    with pytest.raises(RequestError, match="--nice 3: goes with --executor local or ray, not with inline"):
        RunOptions.read({"nice": 3, "executor": "inline"})
