"""What an exported file says of itself: texts by name, so that any format takes them."""

import json
from typing import Any

from bench import __version__
from bench.export.origin import KINDS, Origin
from bench.export.sources import Source
from bench.plan.identity import canonical
from bench.records import Record

_IMAGES = "images (N, C, H, W) in [0, 1]"
NORMALISES = f"{_IMAGES}; the network normalises them itself"  # what such a network takes
_FIGURES = ("acc", "asr", "ra", "acc_before", "asr_before")


def metadata(source: Source, origin: Origin) -> dict[str, str]:
    """Where a network comes from: data set, architecture, attack and defense with their parameters, keys, versions.

    acc, asr and ra are shares of the test images, as the record of the cell has them.
    """
    said: dict[str, Any] = {
        "what": "a network that a defense repaired" if source.record else "a victim: a network as it was trained",
        "input": _input(origin),
        "output": "logits (N, classes)",
        "exported_by": f"defensebench {__version__}",
        "key": source.key,
        "victim_key": source.victim_key,
    }
    for kind in KINDS:
        said[kind], said[f"{kind}_parameters"] = origin.names[kind], canonical(origin.parameters[kind])
    said |= {"recipe": origin.recipe, "seed": origin.seed, "evaluated_on": origin.evaluated_on}
    if source.facts.made_of is not None:
        made = source.facts.made_of
        said |= {"recipe_parameters": canonical(made.recipe.parameters), "images": canonical(made.images.model_dump())}
    if source.facts.class_names:
        said["class_names"] = json.dumps(source.facts.class_names)
    if source.record is not None:
        said |= _of_cell(source.record)
    said |= {name: source.maker.get(name) for name in ("code_version", "commit", "device", "packages")}
    return {name: _text(value) for name, value in said.items() if value not in (None, "")}


def _input(origin: Origin) -> str:
    if (applied := origin.applied) is None:
        return NORMALISES
    return f"{_IMAGES}, channels {applied.order}, minus mean {list(applied.mean)}, divided by std {list(applied.std)}"


def _of_cell(record: Record) -> dict[str, Any]:
    return {
        "defense": record.defense,
        "defense_parameters": record.defense_params,
        "given": record.knowledge,
        **{name: value for name in _FIGURES if (value := getattr(record, name)) == value},  # not NaN
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
