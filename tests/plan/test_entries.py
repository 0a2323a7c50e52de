"""What is installed is read no more often than it takes."""

import ast
from collections import Counter
from importlib.metadata import PathDistribution

from bench.plan.entries import Entry, described
from bench.plan.registry import KINDS, Registry


def test_the_description_of_a_package_is_read_once_for_all_of_its_plugins(monkeypatch):
    original, read = PathDistribution.read_text, Counter()

    def counted(self, name):
        read[self._path, name] += 1
        return original(self, name)

    monkeypatch.setattr(PathDistribution, "read_text", counted)
    registry = Registry(lazily=True)
    assert sum(len(registry.entries(kind)) for kind in KINDS) > 40
    described_in = {path: times for (path, name), times in read.items() if name == "METADATA"}
    assert described_in
    assert set(described_in.values()) == {1}


def test_a_module_is_looked_at_again_only_if_it_was_edited(tmp_path, monkeypatch):
    original, parsed = ast.parse, []
    monkeypatch.setattr(ast, "parse", lambda text, *how, **more: parsed.append(text) or original(text, *how, **more))
    monkeypatch.syspath_prepend(tmp_path)
    file, entry = tmp_path / "looked_at.py", Entry("defense", "mine", "looked_at:Mine", "package x")
    file.write_text('"""One."""\nclass Mine: ...\n')
    assert [described(entry).summary for _ in range(3)] == ["One."] * 3
    assert len(parsed) == 1
    file.write_text('"""Another."""\nclass Mine: ...\n')
    assert described(entry).summary == "Another."
    file.write_text('"""Another."""\nclass Other: ...\n')
    assert described(entry).problem == f"AttributeError: {file} defines no Mine"
