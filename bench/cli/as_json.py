"""Plugins and results as JSON, for programs; ``docs/running.md`` lists the fields."""

import inspect
import json
import math
from typing import Any

from bench.cli.output import write_out
from bench.plan.registry import Registry
from bench.records import Record


def print_json(value: Any) -> None:
    """One JSON value on the standard output. What JSON has no number for, such as NaN, is null."""
    write_out(json.dumps(_plain(value), indent=1, ensure_ascii=True, allow_nan=False))


def plugins_json(registry: Registry, kinds: list[str]) -> dict[str, Any]:
    """All plugins of some kinds."""
    entries = [entry for kind in kinds for entry in registry.entries(kind)]
    return {
        "plugins": [
            {
                "kind": entry.kind,
                "name": entry.name,
                "summary": entry.summary,
                "origin": entry.origin,
                "problem": entry.problem,
            }
            for entry in entries
        ]
    }


def described_json(names: list[tuple[str, str]], registry: Registry) -> dict[str, Any]:
    """Plugins by kind and name, with their parameters and presets."""
    described = []
    for kind, name in names:
        plugin = registry.load(kind, name)
        properties = plugin.model_json_schema()["properties"]
        presets = registry.presets(kind, name)
        parameters = [
            {
                "name": field,
                "default": properties[field].get("default"),
                "schema": {key: value for key, value in properties[field].items() if key not in _SAID_ELSEWHERE},
                "description": info.description or "",
            }
            for field, info in plugin.model_fields.items()
        ]
        described.append(
            {
                "kind": kind,
                "name": name,
                "version": plugin.version,
                "source": plugin.source,
                "documentation": inspect.cleandoc(plugin.__doc__ or ""),
                "parameters": parameters,
                "presets": {preset: dict(values) for preset, values in presets.items()},
            }
        )
    return {"plugins": described}


def result_json(record: Record, traceback: str | None) -> dict[str, Any]:
    """A record, its texts of JSON as what they hold; and the traceback of one that has failed."""
    columns = record.model_dump()
    for name, value in columns.items():
        if isinstance(value, str) and value[:1] in ("{", "["):
            columns[name] = _read(value)
    return {"record": columns, "traceback": traceback}


_SAID_ELSEWHERE = ("title", "default", "description")


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
