"""The kit for pytest."""

from collections.abc import Callable
from pathlib import Path

from bench.plugin.base import Plugin
from bench.testing.kit import look, properties_of
from bench.testing.properties import Property
from bench.testing.subject import subject_of


def check_plugin(plugin: type[Plugin] | Plugin, *, data: Path | None = None) -> Callable[[Property], None]:
    """A test of a plugin, one case a property: ``test_mine = check_plugin(Mine)`` in a test file.

    plugin: its class, or a plugin with parameters. data: the folder of the data sets. A property that does not apply is
    skipped, with the reason. A case is named after its property, so ``pytest -k batch-sizes`` runs one.
    """
    import pytest

    subject = subject_of(plugin, data)

    @pytest.mark.parametrize("plugin_property", properties_of(subject.kind), ids=lambda one: one.name)
    def test(plugin_property: Property) -> None:
        finding = look(subject, plugin_property)
        if finding.status == "not applicable":
            pytest.skip(str(finding))
        if finding.status == "failed":
            pytest.fail(f"{subject.title}: {finding}", pytrace=False)

    return test
