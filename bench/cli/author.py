"""The commands for authors of plugins: begin one, and check one. Heavy imports wait until a command needs them."""

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.markup import escape

from bench.cli.options import merge_options, with_options
from bench.cli.output import print_lines
from bench.cli.paths import GivenPath

if TYPE_CHECKING:
    from bench.testing.properties import Finding
    from bench.testing.subject import Subject

_MARKS = {"ok": "[green]ok[/green]  ", "failed": "[bold red]FAIL[/bold red]", "not applicable": "[dim]–[/dim]   "}


def new(
    kind: str,
    name: str,
    /,
    *,
    package: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    out: GivenPath = Path(),
) -> None:
    """Begin a plugin: write a file that runs as it is, and its test.

    Parameters
    ----------
    kind
        defense, attack, model or dataset.
    name
        The plugin's name, in lower-case letters, digits and _: also that of its file.
    package
        Write a package that can be installed, and announces the plugin, in place of a single file.
    out
        The directory to write to; made if it does not exist.
    """
    from bench.cli.new_plugin import begin

    print_lines([escape(line) for line in begin(kind, name, out, package=package)])


@with_options(["plugin", "data"])
def check(*plugins: str, **options: Any) -> int:
    """Check plugins against the contract: a line for each property, with what was found and what was expected.

    Parameters
    ----------
    plugins
        Files of plugins, and names: name, kind:name, name[param=value], globs.
    """
    from bench.api import data_folder
    from bench.testing.asked import asked
    from bench.testing.kit import examine

    request, _ = merge_options(None, options)
    failed = False
    for subject in asked(plugins, [file.resolve() for file in request.plugin], data_folder(request.data)):
        began, counts = time.perf_counter(), Counter[str]()
        print_lines([_heading(subject)])
        for finding in examine(subject):
            counts[finding.status] += 1
            print_lines([_line(finding)])
        failed = failed or counts["failed"] > 0
        told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items(), reverse=True))
        print_lines([f"{counts.total()} properties: {told}; {time.perf_counter() - began:.1f} s", ""])
    return 1 if failed else 0


def _heading(subject: "Subject") -> str:
    """The plugin, and the parameters that it is run with where they are not its defaults."""
    from bench.plugin.parameters import spelled

    fields = subject.plugin.model_fields
    try:
        run = {name: getattr(subject.quick, name) for name in fields}
    except Exception:  # what is wrong with it, the properties say
        run = {}
    changed = ", ".join(f"{name}={spelled(value)}" for name, value in run.items() if value != fields[name].default)
    return f"[bold]{escape(subject.title)}[/bold]" + escape(f", run with {changed}" * bool(changed))


def _line(finding: "Finding") -> str:
    name, _, rest = str(finding).partition(": ")
    return f"{_MARKS[finding.status]}  {name:<16} {escape(rest)}"
