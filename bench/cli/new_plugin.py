"""``bench new``: a plugin's first file, its test and, if wanted, a package, from the texts in templates/."""

import keyword
import sys
from importlib.util import find_spec
from pathlib import Path
from string import Template

from bench.errors import RequestError, shortened
from bench.plan.registry import KINDS, Registry

_TEMPLATES = Path(__file__).with_name("templates")
_RUNS = {  # what to run a new plugin with
    "defense": "--defenses none,{name} --attacks badnets",
    "attack": "--attacks none,{name} --defenses none,ft",
    "model": "--models {name} --attacks badnets --defenses none,ft",
    "dataset": "--datasets {name} --attacks badnets --defenses none,ft",
}


def begin(kind: str, name: str, out: Path, *, package: bool) -> list[str]:
    """Write the files of a new plugin into ``out``. Returns lines on what was written and what to do next.

    Raises RequestError for a kind that there is not, for a name that no plugin can have, and for a file that is there:
    then nothing is written.
    """
    kind = kind.removesuffix("s")
    if kind not in KINDS:
        raise RequestError(f"new {shortened(kind)}: expected one of {', '.join(KINDS)}")
    _check_name(kind, name)
    files = _package(kind, name) if package else _single(kind, name)
    texts = {out / path: _text(template, kind, name, package) for path, template in files.items()}
    if there := [path for path in texts if path.exists()]:
        raise RequestError(f"new {kind} {name}: {there[0]} exists; nothing was written")
    if not package and find_spec(name) is not None:
        raise RequestError(f"new {kind} {name}: an installed module has this name; expected another, or --package")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    return [*map(str, texts), "", *_next(kind, name, out, package=package)]


def _check_name(kind: str, name: str) -> None:
    given = f"new {kind} {shortened(name)!r}"
    if not (name.isascii() and name.isidentifier() and name == name.lower()) or keyword.iskeyword(name):
        raise RequestError(
            f"{given}: expected a name of lower-case letters, digits and _ that begins with a letter, such as my_{kind}"
        )
    if name == "all" or name.startswith("_") or name in sys.stdlib_module_names:
        raise RequestError(f"{given}: expected another name; this one means something else")
    entry = next((entry for entry in Registry(lazily=True).entries(kind) if entry.name == name), None)
    if entry is not None:
        raise RequestError(f"{given}: expected another name; there is a {kind} of this name ({entry.origin})")


def _single(kind: str, name: str) -> dict[str, str]:
    """The files of a one-file plugin, and the template of each."""
    return {f"{name}.py": f"{kind}.py.txt", f"test_{name}.py": "test.py.txt"}


def _package(kind: str, name: str) -> dict[str, str]:
    module = f"defensebench_{name}"
    folder = module.replace("_", "-")
    return {
        f"{folder}/pyproject.toml": "pyproject.toml.txt",
        f"{folder}/README.md": "README.md.txt",
        f"{folder}/src/{module}/__init__.py": "init.py.txt",
        f"{folder}/src/{module}/{name}.py": f"{kind}.py.txt",
        f"{folder}/tests/test_{name}.py": "test.py.txt",
    }


def _text(template: str, kind: str, name: str, package: bool) -> str:
    module = f"defensebench_{name}"
    return Template((_TEMPLATES / template).read_text(encoding="utf-8")).substitute(
        name=name,
        kind=kind,
        title=name.replace("_", " ").capitalize(),
        Class="".join(part.capitalize() for part in name.split("_")),
        module=f"{module}.{name}" if package else name,
        package=module,
        distribution=module.replace("_", "-"),
        run=_RUNS[kind].format(name=name),
    )


def _next(kind: str, name: str, out: Path, *, package: bool) -> list[str]:
    run = _RUNS[kind].format(name=name)
    if package:
        folder = out / f"defensebench-{name.replace('_', '-')}"
        return [f"pip install -e {folder}", f"bench check {kind}:{name}", f"bench run {run}"]
    file = out / f"{name}.py"
    return [f"bench check {file}", f"bench run --plugin {file} {run}"]
