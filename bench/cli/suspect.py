"""The commands for the owner of a network that somebody else has trained. Heavy imports wait until one is called."""

import json as writer
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter
from rich.markup import escape

from bench.cli.options import with_options
from bench.cli.output import complain, print_lines
from bench.cli.paths import GivenPath
from bench.errors import RequestError
from bench.plan.option_types import Options, directory_named
from bench.suspect.options import RepairOptions, ScanOptions

Read = TypeVar("Read", bound=Options)


@with_options(ScanOptions.model_fields, (ScanOptions,))
def scan(
    checkpoint: Path,
    /,
    *,
    json: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    out: GivenPath | None = None,
    **options: Any,
) -> int:
    """Look for a backdoor in a network that somebody else has trained: which classes look like its target?

    Exit status: 0 nothing found, 3 suspicious, 1 no method gave an answer, 2 the request was wrong.

    Parameters
    ----------
    checkpoint
        Its weights: safetensors, or a state dict that torch.save wrote. No code in the file is run.
    json
        Print everything as JSON.
    out
        A directory to write a page to, with the class statistics and the reconstructed triggers as pictures.
    """
    chosen = _read(ScanOptions, options)
    chosen.required("model", "images")
    page = None if out is None else directory_named("out", out) / "index.html"
    from bench.api import open_registry
    from bench.suspect.brought import bring
    from bench.suspect.methods import MANY, detectors, profile_for
    from bench.suspect.page import written_page
    from bench.suspect.scan import scan_subject
    from bench.suspect.told import scan_lines

    registry = open_registry(chosen.plugin, complain)
    detectors(registry, chosen.defenses)  # so that a wrong one is said before any work
    brought = bring(checkpoint, chosen, registry)
    methods = detectors(registry, chosen.defenses, profile_for(len(brought.subject.images), MANY))
    for line in brought.pictures.notes:
        complain(line)
    found = scan_subject(brought.subject, methods, registry, chosen.seed, complain)
    if json:
        print(writer.dumps({"network": brought.facts, **found.as_dict()}, indent=1))  # noqa: T201
    else:
        print_lines([escape(line) if isinstance(line, str) else line for line in scan_lines(found, brought.facts)])
    if page is not None:
        _write_page(page, written_page(found, brought.facts))
    return 1 if not found.done else 3 if found.suspicious else 0


@with_options(RepairOptions.model_fields, (RepairOptions,))
def repair(checkpoint: Path, /, *, out: GivenPath | None = None, **options: Any) -> None:
    """Repair a network that somebody else has trained, and say what that costs in accuracy.

    The repaired network is written under the checkpoint's own names, with its provenance in the file's metadata.

    Parameters
    ----------
    checkpoint
        Its weights: safetensors, or a state dict that torch.save wrote. No code in the file is run.
    out
        The safetensors file to write; an existing file is not replaced.
    """
    chosen = _read(RepairOptions, options)
    chosen.required("model", "images", "defense")
    if out is None or out.suffix != ".safetensors":
        raise RequestError(f"--out {out or ''}: expected a file to write, NAME.safetensors")
    out = _new_file(out, "out")
    from bench.api import open_registry
    from bench.suspect.brought import bring
    from bench.suspect.methods import profile_for, repair_named
    from bench.suspect.repair import repair_subject
    from bench.suspect.repaired_file import write
    from bench.suspect.told import repair_lines

    registry = open_registry(chosen.plugin, complain)
    repair_named(registry, chosen.defense or "")  # so that a wrong one is said before any work
    brought = bring(checkpoint, chosen, registry)
    method = repair_named(registry, chosen.defense or "", profile_for(len(brought.subject.images)))
    for line in brought.pictures.notes:
        complain(line)
    repaired = repair_subject(brought.subject, method, registry, chosen.held_out, chosen.seed)
    write(out, repaired, brought, registry, chosen.seed)
    print_lines([*map(escape, repair_lines(repaired, brought.facts)), escape(f"written: {out}")])


def _read(kind: type[Read], typed: Mapping[str, Any]) -> Read:
    values = {name: value[0] if isinstance(value, list) and len(value) == 1 else value for name, value in typed.items()}
    return kind.read(values)


def _write_page(page: Path, text: str) -> None:
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
    complain(f"written: {page}")


def _new_file(path: Path, option: str) -> Path:
    """A file that is not there yet. Raises RequestError if it is, or if its directory is a file."""
    if path.exists():
        raise RequestError(f"--{option} {path}: is there already, and is not replaced; expected another name")
    directory_named(option, path.parent)
    return path
