"""What the pages name exists: links and headings, files, options of commands, selections of plugins."""

import re
from functools import cache
from pathlib import Path

from bench.cli.main import app
from bench.errors import RequestError
from bench.plan import recipes
from bench.plan.registry import Registry
from bench.plan.selection import parse

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
CURRENT = [page for page in PAGES if page.name != "CHANGELOG.md"]  # which tells of former versions
KINDS = ("dataset", "model", "attack", "defense")
HELPERS = re.compile(r"^\| ((?:`\w+\.py`(?:, )?)+) \|", re.M)


@cache
def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)


@cache
def headings(page: Path) -> set[str]:
    """The anchors that a page's headings have on GitHub."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_link_leads_to_a_file_and_a_heading_that_exist() -> None:
    wrong = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (anchor and anchor not in headings(file)):
                wrong.append(f"{page.relative_to(ROOT)}: {target}")
    assert wrong == []


def test_every_selection_of_a_page_can_be_made() -> None:
    registry = Registry()
    named = {kind: {entry.name for entry in registry.entries(kind)} for kind in KINDS} | {
        "recipe": set(recipes.RECIPES)
    }
    made, wrong = 0, []
    for page in CURRENT:
        for text in sorted(set(re.findall(r"\b[a-z0-9_]+\[[\w=|+./,\-* ]+\]", page.read_text()))):
            refused = [refusal(registry, kind, text) for kind in named if text.partition("[")[0] in named[kind]]
            made += not all(refused)
            wrong += [f"{page.name}: {text}: {refused[0]}"] if refused and all(refused) else []
    assert wrong == []
    assert made > 100


def refusal(registry: Registry, kind: str, text: str) -> str:
    """Why a selection with a whole name cannot be made; empty if it can."""
    try:
        if kind == "recipe":
            recipes.chosen(text)
        for choice in parse(text) if kind != "recipe" else ():
            preset = registry.preset(kind, choice.pattern, choice.preset) if choice.preset else {}
            registry.create(kind, choice.pattern, {**preset, **choice.parameters})
    except RequestError as error:
        return str(error)
    return ""


def test_every_command_of_a_page_has_the_options_that_it_is_called_with() -> None:
    called, wrong = 0, []
    for page in CURRENT:
        for command, words in re.findall(r"\bbench ([a-z]+)\b([^\n`#]*)", page.read_text().replace("\\\n", " ")):
            if command == "import":  # of Python
                continue
            given = set(re.findall(r"(?<=\s)--[a-z][a-z-]*", words))
            called += len(given)
            wrong += [f"{page.name}: bench {command} {option}" for option in given - options(command)]
    assert wrong == []
    assert called > 100


@cache
def options(command: str) -> set[str]:
    names = {name for argument in app[command].assemble_argument_collection() for name in argument.names}
    return names | set(app.help_flags)


def test_the_helpers_of_the_tests_that_are_listed_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = [name for row in HELPERS.findall(text) for name in re.findall(r"`(\w+\.py)`", row)]
    assert len(named) > 10
    assert [name for name in named if not (ROOT / "tests" / name).exists()] == []


def test_every_table_has_its_head_and_rows_of_as_many_cells() -> None:
    """A blank line within a table ends it on the page, and the rows after it are shown as text."""
    wrong, tables = [], 0
    for page in PAGES:
        for table in re.findall(r"(?:^\|.*\n?)+", prose(page), re.M):
            rows = [re.findall(r"(?<!\\)\|", row) for row in table.splitlines()]
            tables += 1
            if not re.fullmatch(r"\|[\s:|-]+\|", table.splitlines()[min(1, len(rows) - 1)]):
                wrong.append((page.name, table[:40]))
            wrong += [(page.name, table[:40]) for row in rows if len(row) != len(rows[0])]
    assert wrong == []
    assert tables > 100
