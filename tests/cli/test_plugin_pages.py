"""The reference pages: written from the plugins, and up to date."""

from pathlib import Path

import pytest

from bench.cli.plugin_pages import page
from bench.plan.registry import Registry

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("kind", ["attack", "dataset", "defense", "model"])
def test_the_page_is_up_to_date(kind):
    written = (DOCS / f"{kind}s.md").read_text()
    assert written == page(kind, Registry()), f"run: python -m bench.cli.plugin_pages {kind}s > docs/{kind}s.md"


@pytest.mark.parametrize("kind", ["attack", "dataset", "defense", "model"])
def test_every_parameter_has_its_default_its_bounds_and_a_description(kind):
    registry = Registry()
    text = page(kind, registry)
    for entry in registry.entries(kind):
        section = text.split(f"\n## {entry.name}\n")[1].split("\n## ")[0]
        plugin = registry.load(kind, entry.name)
        assert plugin.source in section
        for name, field in plugin.model_fields.items():
            assert field.description, f"{plugin.name}: {name}"
            row = next(line for line in section.splitlines() if line.startswith(f"| `{name}` |"))
            default, values, what = (cell.strip() for cell in row.replace("\\|", "/").split("|")[2:5])
            assert default
            assert values
            assert what == field.description.replace("|", "/"), name
