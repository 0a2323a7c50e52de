"""The plugin of timm's networks: how its name is written."""

from pathlib import Path

from bench.models import timm as timm_plugin
from bench.plan.plan import make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request


def test_the_architecture_is_written_as_name():
    registry = Registry([Path(timm_plugin.__file__)])
    request = Request(
        models="timm[name=mobilenetv3_small_050]", datasets="mnist5k", attacks="none", defenses="none", seeds=(0,)
    )
    [cell] = make_plan(request, registry, Path()).cells
    assert cell.victim.model.label == "timm[name=mobilenetv3_small_050]"
    again = registry.create("model", "timm", cell.victim.model.parameters)  # as a worker does
    assert again.model_dump()["name"] == "mobilenetv3_small_050"
